"""Images on two sides of a split that are not the same bytes but the same picture."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from hdf5_helper.inspecting.hash_search import compare_all, look_up
from hdf5_helper.inspecting.perceptual import Prints, likeness, print_images
from hdf5_helper.progress import Progress
from hdf5_helper.reading.packed_index import PackedIndex

#: Bits in which the hashes of a pair may differ, and how like its thumbnails must be. Measured on all pairs within
#: seven sets of real faces (10,717 images): 1,933 pairs are within 6 bits, nine tenths of them of different people. 98
#: of them, beside the 48 that are the same byte by byte, are at least 0.84 alike, and each shows one picture or one
#: moment twice; the likest wrong pair has 0.822. Of 1,000 images 98 % are found again after JPEG quality 10, 96 % after
#: 2 of 128 pixels are cut off at each side, 97 % after a turn by 2 degrees.
DISTANCE = 6
LEAST_LIKENESS = 0.84

#: Above so many examples the hashes are looked up in an index; below, comparing all takes seconds.
MOST_COMPARED = 300_000


@dataclass(frozen=True)
class NearPair:
    """Two examples in different splits that show the same picture.

    Attributes:
        rows: their example indices, that of the earlier split first.
        distance: bits in which their difference hashes differ, 0–64.
        likeness: of their thumbnails, at most 1.
    """

    rows: tuple[int, int]
    distance: int
    likeness: float


def find_near_duplicates(index: PackedIndex, progress: Progress) -> list[NearPair]:
    """Looks at all images of a file; nothing is changed.

    Args:
        index: of an open file. Images that are the same byte by byte count once, and are no pair of their own.
        progress: watches.

    Returns:
        The pairs across splits, the likest first.
    """
    prints = print_images(index.path, progress)
    sides = [_different(index, index.split(name)) for name in index.splits]
    both = list(combinations(sides, 2))
    progress.start("comparing images across splits", sum(len(left) for left, _ in both))
    found = [pair for left, right in both for pair in _across(index, prints, (left, right), progress)]
    progress.stop()
    return sorted(found, key=lambda pair: (-pair.likeness, pair.rows))


def _different(index: PackedIndex, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Gives the first of `rows` for each different image."""
    return rows[np.sort(np.unique(index.checksums[rows], return_index=True)[1])]


def _across(
    index: PackedIndex, prints: Prints, sides: tuple[NDArray[np.int64], NDArray[np.int64]], progress: Progress
) -> Iterator[NearPair]:
    search = compare_all if len(index) <= MOST_COMPARED else look_up
    told, seen = 0, set()
    for places, share in search(prints.hashes[sides[0]], prints.hashes[sides[1]], DISTANCE):
        rows = np.stack([side[places[:, number]] for number, side in enumerate(sides)], axis=1)
        rows = rows[index.checksums[rows[:, 0]] != index.checksums[rows[:, 1]]]
        like = likeness(prints.thumbnails[rows[:, 0]], prints.thumbnails[rows[:, 1]])
        for number in np.flatnonzero(like >= LEAST_LIKENESS).tolist():
            pair = (int(rows[number, 0]), int(rows[number, 1]))
            if pair not in seen:
                seen.add(pair)
                distance = np.bitwise_count(prints.hashes[pair[0]] ^ prints.hashes[pair[1]])
                yield NearPair(pair, int(distance), round(float(like[number]), 4))
        done = int(share * len(sides[0]))
        progress.advance(done - told)
        told = done
