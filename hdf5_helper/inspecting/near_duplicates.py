"""Images on two sides of a split that are not the same bytes but the same picture."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from hdf5_helper.inspecting.hash_search import Pairs, compare_all, look_up
from hdf5_helper.inspecting.perceptual import Prints, likeness, print_images
from hdf5_helper.progress import Progress
from hdf5_helper.reading.packed_index import PackedIndex

Likeness = NDArray[np.float32]

#: Bits in which the hashes of a pair may differ, and how like its thumbnails must be. Measured on all pairs within
#: seven sets of real faces (10,717 images): 1,933 pairs are within 6 bits, nine tenths of them of different people. 98
#: of them, beside the 48 that are the same byte by byte, are at least 0.84 alike, and each shows one picture or one
#: moment twice; the likest wrong pair has 0.822. Of 1,000 images 98 % are found again after JPEG quality 10, 96 % after
#: 2 of 128 pixels are cut off at each side, 97 % after a turn by 2 degrees.
DISTANCE = 6
LEAST_LIKENESS = 0.84

#: Images of one split with the same hash that are compared at most, the first of them: thousands of title cards would
#: otherwise be compared by their square. In the sets of real faces two different images at most share a hash.
MOST_ALIKE = 64

#: Pairs that are given at most, the likest.
MOST_PAIRS = 100_000

_GATHERED = 1 << 16  # pairs whose thumbnails are in memory at once: 32 MB

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


@dataclass(frozen=True)
class NearDuplicates:
    """What is the same picture on two sides.

    Attributes:
        pairs: the likest first, `MOST_PAIRS` at most.
        pairs_left_out: how many more were found.
        images_left_out: how many were not compared, since `MOST_ALIKE` others in their split have the same hash.
    """

    pairs: tuple[NearPair, ...]
    pairs_left_out: int
    images_left_out: int


def find_near_duplicates(index: PackedIndex, progress: Progress) -> NearDuplicates:
    """Looks at all images of a file; nothing is changed.

    Args:
        index: of an open file. Images that are the same byte by byte count once, and are no pair of their own.
        progress: watches.
    """
    prints = print_images(index.path, progress)
    different = [_first_of_each(index.checksums, index.split(name), 1) for name in index.splits]
    different = [rows[_has_edges(prints.thumbnails[rows])] for rows in different]
    sides = [_first_of_each(prints.hashes, rows, MOST_ALIKE) for rows in different]
    both = list(combinations(sides, 2))
    progress.start("comparing images across splits", sum(len(left) for left, _ in both))
    likest = _Likest()
    for left, right in both:
        for rows, like in _across(index, prints, (left, right), progress):
            likest.add(rows, like)
    progress.stop()
    rows, like = likest.cut()
    distances = np.bitwise_count(prints.hashes[rows[:, 0]] ^ prints.hashes[rows[:, 1]])
    found = zip(rows.tolist(), distances.tolist(), like.tolist(), strict=True)
    pairs = (NearPair((left, right), distance, round(alike, 4)) for (left, right), distance, alike in found)
    return NearDuplicates(
        tuple(sorted(pairs, key=lambda pair: (-pair.likeness, pair.rows))),
        likest.left_out,
        sum(map(len, different)) - sum(map(len, sides)),
    )


class _Likest:
    """The likest of all pairs that it is shown, `MOST_PAIRS` at most, and the number of the others."""

    def __init__(self) -> None:
        self._rows, self._like = np.empty((0, 2), np.int64), np.empty(0, np.float32)
        self.left_out = 0

    def add(self, rows: Pairs, like: Likeness) -> None:
        """Takes more pairs in."""
        self._rows, self._like = np.concatenate([self._rows, rows]), np.concatenate([self._like, like])
        if len(self._rows) > 2 * MOST_PAIRS:
            self.cut()

    def cut(self) -> tuple[Pairs, Likeness]:
        """Gives the likest, int64 (k, 2) and float32 (k,), and forgets the others."""
        kept = np.lexsort((self._rows[:, 1], self._rows[:, 0], -self._like))[:MOST_PAIRS]
        self.left_out += len(self._rows) - len(kept)
        self._rows, self._like = self._rows[kept], self._like[kept]
        return self._rows, self._like


def _first_of_each(keys: NDArray[np.uint64], rows: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Gives the first of `rows` for each different key, `most` of them at most."""
    order = np.argsort(keys[rows], kind="stable")
    ordered = keys[rows[order]]
    before = np.arange(len(rows)) - np.searchsorted(ordered, ordered)
    return rows[np.sort(order[before < most])]


def _has_edges(thumbnails: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Says of which thumbnails something can be alike at all: blank pictures share one hash, and nothing is in them."""
    return np.asarray(thumbnails.max(axis=(1, 2)) != thumbnails.min(axis=(1, 2)))


def _likeness(prints: Prints, rows: Pairs) -> Likeness:
    """Gives how alike the images of pairs are, float32 (k,); thumbnails are gathered for a few at a time."""
    parts = [rows[first : first + _GATHERED].T for first in range(0, len(rows), _GATHERED)]
    found = [likeness(prints.thumbnails[left], prints.thumbnails[right]) for left, right in parts]
    return np.concatenate([np.empty(0, np.float32), *found])


def _across(
    index: PackedIndex, prints: Prints, sides: tuple[NDArray[np.int64], NDArray[np.int64]], progress: Progress
) -> Iterator[tuple[Pairs, Likeness]]:
    """Gives the pairs between two sides that are alike, in parts: their rows and their likeness."""
    search = compare_all if len(index) <= MOST_COMPARED else look_up
    told = 0
    for places, share in search(prints.hashes[sides[0]], prints.hashes[sides[1]], DISTANCE):
        rows = np.stack([side[places[:, number]] for number, side in enumerate(sides)], axis=1)
        rows = rows[index.checksums[rows[:, 0]] != index.checksums[rows[:, 1]]]
        like = _likeness(prints, rows)
        alike = like >= LEAST_LIKENESS
        if alike.any():
            yield rows[alike], like[alike]
        done = int(share * len(sides[0]))
        progress.advance(done - told)
        told = done
