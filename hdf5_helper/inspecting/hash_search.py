"""Pairs of 64-bit hashes that differ in a few bits only: by comparing all, or by an index over parts of the bits.

Both give the same pairs. Comparing all takes about a billion pairs a second on one core. The index is multi-index
hashing (M. Norouzi, A. Punjani, D. Fleet, "Fast Search in Hamming Space with Multi-Index Hashing", CVPR 2012): of three
words, two hashes within `distance` bits have one that differs in `distance` // 3 bits at most, so it is looked up with
that many of its bits flipped. The words take every third bit, since neighbouring bits of a difference hash go together.
"""

from collections.abc import Iterator
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from hdf5_helper.hashing import UInt64Array

#: int64 (k, 2): a position in the one list and one in the other.
Pairs = NDArray[np.int64]

_WORDS = 3
_BITS = 64
# 16 × 8,192 comparisons take 1 MB, which stays in a core's cache: twice as fast as longer runs
_TILE_ROWS, _TILE_COLUMNS = 16, 8192
_STEP_TILES = 1024  # between two signs of progress
_SLAB = 1 << 20  # pairs looked at together
_NO_PAIRS = np.empty((0, 2), np.int64)


def compare_all(left: UInt64Array, right: UInt64Array, distance: int) -> Iterator[tuple[Pairs, float]]:
    """Gives the pairs within `distance` bits, each once, in parts, with the share of the work done by then.

    A part has about a million pairs at most, so that hashes that crowd together take no more memory than others.
    """
    tiles, held = [_NO_PAIRS], 0
    for row, column in _corners(len(left), len(right)):
        tiles.append(_tile(left, right, row, column, distance))
        held += len(tiles[-1])
        if held > _SLAB or len(tiles) > _STEP_TILES:
            yield np.concatenate(tiles), row / len(left)
            tiles, held = [_NO_PAIRS], 0
    yield np.concatenate(tiles), 1.0


def _corners(height: int, width: int) -> Iterator[tuple[int, int]]:
    return ((row, column) for row in range(0, height, _TILE_ROWS) for column in range(0, width, _TILE_COLUMNS))


def _tile(left: UInt64Array, right: UInt64Array, row: int, column: int, distance: int) -> Pairs:
    rows, columns = left[row : row + _TILE_ROWS, None], right[None, column : column + _TILE_COLUMNS]
    near = np.bitwise_count(rows ^ columns) <= distance
    found = np.flatnonzero(near)  # many times as fast as np.argwhere
    return np.stack([found // near.shape[1] + row, found % near.shape[1] + column], axis=1) if len(found) else _NO_PAIRS


def look_up(left: UInt64Array, right: UInt64Array, distance: int) -> Iterator[tuple[Pairs, float]]:
    """Gives the pairs within `distance` bits, each once, in parts, as `compare_all` does."""
    radius, larger = divmod(distance, _WORDS)
    # with distance = 3 · radius + larger, one of the first `larger` + 1 words is within `radius`, or another is within
    # `radius` - 1 (Norouzi et al., proposition 2)
    looks = [(word, radius if word <= larger else radius - 1) for word in range(_WORDS)]
    total = sum(1 for word, reach in looks for _ in _flips(word, reach))
    done = 0
    for word, reach in looks:
        mask = _mask(word)
        rows, columns = (np.argsort(hashes & mask, kind="stable") for hashes in (left, right))
        keys = right[columns] & mask
        for flip in _flips(word, reach):
            wanted = (left[rows] & mask) ^ flip
            starts, stops = (np.searchsorted(keys, wanted, side) for side in ("left", "right"))
            done += 1
            for places in _ranges(starts, stops - starts):
                pairs = np.stack([rows[places[0]], columns[places[1]]], axis=1)
                bits = left[pairs[:, 0]] ^ right[pairs[:, 1]]
                near = np.bitwise_count(bits) <= distance
                for earlier, within in looks[:word]:  # which has given the pair already
                    near &= np.bitwise_count(bits & _mask(earlier)) > within
                yield pairs[near], done / total


def _mask(word: int) -> np.uint64:
    return np.uint64(sum(1 << bit for bit in range(word, _BITS, _WORDS)))


def _flips(word: int, reach: int) -> Iterator[np.uint64]:
    """Gives every way to flip at most `reach` bits of a word."""
    bits = range(word, _BITS, _WORDS)
    for count in range(reach + 1):
        for chosen in combinations(bits, count):
            yield np.uint64(sum(1 << bit for bit in chosen))


def _ranges(starts: NDArray[np.int64], counts: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], ...]]:
    """Gives (i, starts[i] + 0 … counts[i] - 1) for every i as two arrays, about a slab at a time."""
    found = np.flatnonzero(counts)
    ends = np.cumsum(counts[found])
    cuts = np.searchsorted(ends, np.arange(_SLAB, ends[-1] if len(ends) else 0, _SLAB)) + 1
    for chosen in np.split(found, np.unique(cuts)):
        lengths = counts[chosen]
        within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        yield np.repeat(chosen, lengths), np.repeat(starts[chosen], lengths) + within
