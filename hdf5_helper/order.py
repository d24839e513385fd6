"""In which order examples are read: a pure function of (seed, epoch, step), with nothing to skip through or to save.

A full shuffle is a keyed permutation that is computed for the wanted positions alone: a Feistel network (Luby and
Rackoff, 1988) over splitmix64 on the smallest even number of bits that holds n, walked along its cycle until the value
lies below n (Black and Rogaway, "Ciphers with arbitrary finite domains", 2002).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hdf5_helper.errors import FacetError, did_you_mean
from hdf5_helper.hashing import UInt64Array, hash_integer, splitmix64

Indices = NDArray[np.int64]

#: `full` permutes all rows; `blocks` permutes blocks of rows and shuffles inside a window of them; None keeps order.
SHUFFLES = ("full", "blocks")

_ROUNDS = 8
_WINDOW_BLOCKS = 8  # blocks read and mixed at a time: 8 × 4 MB stay in the page cache of any machine


def permute(key: int, n: int, positions: Indices) -> Indices:
    """Gives the values of a pseudorandom permutation of range(n) at `positions`.

    Args:
        key: chooses the permutation.
        n: size of the domain, at least 1.
        positions: int64 (k,), each in [0, n).

    Returns:
        int64 (k,), each in [0, n); different positions give different values.
    """
    half = max(1, ((n - 1).bit_length() + 1) // 2)
    keys = splitmix64(np.uint64(hash_integer(key)) + np.arange(_ROUNDS, dtype=np.uint64))
    values = _feistel(keys, half, positions.astype(np.uint64))
    outside = np.flatnonzero(values >= n)
    while outside.size:
        values[outside] = _feistel(keys, half, values[outside])
        outside = outside[values[outside] >= n]
    return values.astype(np.int64)


def _feistel(keys: UInt64Array, half: int, values: UInt64Array) -> UInt64Array:
    mask, shift = np.uint64((1 << half) - 1), np.uint64(half)
    left, right = values >> shift, values & mask
    for key in keys:
        left, right = right, left ^ (splitmix64(right ^ key) & mask)
    return np.asarray((left << shift) | right)


@dataclass(frozen=True)
class Order:
    """The order of one split's rows over all epochs.

    Attributes:
        rows: int64 (n,), the example indices to go through, at least one.
        batch_size: the global batch; an epoch has n // batch_size full steps and leaves out other rows each epoch.
        seed: chooses the permutations.
        shuffle: `full`, `blocks` or None (the rows' own order, and then a last smaller batch).
        block_rows: rows that are read together under `blocks`.
    """

    rows: Indices
    batch_size: int
    seed: int = 0
    shuffle: str | None = "full"
    block_rows: int = 512

    def __post_init__(self) -> None:
        """Refuses what gives no batch."""
        if self.shuffle is not None and self.shuffle not in SHUFFLES:
            raise FacetError(f"shuffle {self.shuffle!r}: {did_you_mean(self.shuffle, SHUFFLES)}, or None")
        if self.batch_size < 1 or self.block_rows < 1:
            raise FacetError(f"batch_size must be at least 1, found {self.batch_size}")
        if len(self.rows) < (self.batch_size if self.shuffle else 1):
            raise FacetError(f"batch_size {self.batch_size}: only {len(self.rows)} examples to take it from")

    @property
    def steps_per_epoch(self) -> int:
        """Number of batches in an epoch."""
        full, rest = divmod(len(self.rows), self.batch_size)
        return full if self.shuffle else full + bool(rest)

    def batch(self, epoch: int, step: int) -> Indices:
        """Gives the example indices of one step, int64 (batch_size,).

        Args:
            epoch: from 1.
            step: in [0, steps_per_epoch).
        """
        start = step * self.batch_size
        positions = np.arange(start, min(start + self.batch_size, len(self.rows)), dtype=np.int64)
        if self.shuffle == "full":
            positions = permute(hash_integer(self.seed, epoch), len(self.rows), positions)
        elif self.shuffle == "blocks":
            positions = self._by_blocks(epoch, positions)
        return self.rows[positions]

    def _by_blocks(self, epoch: int, positions: Indices) -> Indices:
        n, key = len(self.rows), hash_integer(self.seed, epoch)
        count = -(-n // self.block_rows)
        blocks = permute(key, count, np.arange(count, dtype=np.int64))
        starts = np.concatenate([[0], np.cumsum(np.minimum(self.block_rows, n - blocks * self.block_rows))])
        edges = np.append(starts[:-1:_WINDOW_BLOCKS], n)
        mixed = np.empty_like(positions)
        windows = np.searchsorted(edges, positions, side="right") - 1
        for window in np.unique(windows):
            here = windows == window
            low, size = int(edges[window]), int(edges[window + 1] - edges[window])
            mixed[here] = low + permute(hash_integer(key, int(window)), size, positions[here] - low)
        places = np.searchsorted(starts, mixed, side="right") - 1
        return np.asarray(blocks[places] * self.block_rows + mixed - starts[places])
