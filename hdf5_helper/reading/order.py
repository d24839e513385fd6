"""In which order examples are read: a pure function of (seed, epoch, step), with nothing to skip through or to save.

A full shuffle is a keyed permutation that is computed for the wanted positions alone: a Feistel network (Luby and
Rackoff, 1988) over splitmix64 on the smallest even number of bits that holds n, walked along its cycle until the value
lies below n (Black and Rogaway, "Ciphers with arbitrary finite domains", 2002).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from hdf5_helper.errors import FacetError, did_you_mean
from hdf5_helper.hashing import UInt64Array, hash_integer, hash_integers, splitmix64

Indices = NDArray[np.int64]

#: `full` permutes all rows; `blocks` permutes blocks of rows and shuffles inside a window of them; None keeps order.
SHUFFLES = ("full", "blocks")

_Through = Callable[["_Networks", UInt64Array], UInt64Array]

_Result = TypeVar("_Result")

_ROUNDS = 8
_AHEAD_ROWS = 16384  # worked out at once
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
    return _walk(_Networks.of(np.array([key], np.uint64), np.array([n])), positions, _feistel)


def positions_of(key: int, n: int, values: Indices) -> Indices:
    """Gives where in the permutation of `permute` the `values` stand: its inverse, of the same types."""
    return _walk(_Networks.of(np.array([key], np.uint64), np.array([n])), values, _feistel_back)


class _Networks(NamedTuple):
    """One network for all positions, or one for each: k is 1 or their number.

    Attributes:
        keys: uint64 (_ROUNDS, k), of the rounds.
        half: uint64 (k,), bits of one half.
        n: uint64 (k,), sizes of the domains.
    """

    keys: UInt64Array
    half: UInt64Array
    n: UInt64Array

    @classmethod
    def of(cls, key: UInt64Array, n: Indices) -> Self:
        """Gives the networks of `permute(key, n, …)`, for arrays (k,) of both."""
        bits = np.frexp((n - 1).astype(np.float64))[1].astype(np.int64)  # what int.bit_length gives
        keys = splitmix64(hash_integers(key) + np.arange(_ROUNDS, dtype=np.uint64)[:, None])
        return cls(keys, np.maximum(1, (bits + 1) // 2).astype(np.uint64), n.astype(np.uint64))

    def at(self, which: Indices) -> Self:
        """Gives the networks of some positions."""
        return self if len(self.n) == 1 else type(self)(self.keys[:, which], self.half[which], self.n[which])


def _walk(networks: _Networks, starts: Indices, through: _Through) -> Indices:
    """Sends `starts` through their networks until all lie in the domains."""
    values = through(networks, starts.astype(np.uint64))
    outside = np.flatnonzero(values >= networks.n)
    while outside.size:
        again = networks.at(outside)
        values[outside] = through(again, values[outside])
        outside = outside[values[outside] >= again.n]
    return values.astype(np.int64)


def _feistel(networks: _Networks, values: UInt64Array) -> UInt64Array:
    shift, mask = networks.half, (np.uint64(1) << networks.half) - np.uint64(1)
    left, right = values >> shift, values & mask
    for key in networks.keys:
        left, right = right, left ^ (splitmix64(right ^ key) & mask)
    return np.asarray((left << shift) | right)


def _feistel_back(networks: _Networks, values: UInt64Array) -> UInt64Array:
    """Undoes `_feistel`: the keys come in the opposite order."""
    shift, mask = networks.half, (np.uint64(1) << networks.half) - np.uint64(1)
    left, right = values >> shift, values & mask
    for key in networks.keys[::-1]:
        left, right = np.asarray(right ^ (splitmix64(left ^ key) & mask)), left
    return np.asarray((left << shift) | right)


class _Latest:
    """Remembers the latest result of each kind: batches are asked for one after the other."""

    def __init__(self) -> None:
        self._results: dict[str, tuple[Any, Any]] = {}

    def of(self, kind: str, key: Any, work: Callable[[], _Result]) -> _Result:
        """Gives `work()`, or what it gave when it was asked for with the same key last; threads may work twice."""
        found = self._results.get(kind)
        if found is None or found[0] != key:
            found = self._results[kind] = key, work()
        result: _Result = found[1]
        return result


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
    _latest: _Latest = field(default_factory=_Latest, init=False, repr=False, compare=False)

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

    def batch(self, epoch: int, step: int, replica: int = 0, replicas: int = 1) -> Indices:
        """Gives the example indices of one step, or one replica's share of them, int64 (batch_size // replicas,).

        A share costs as much as a batch of its size does: the rows of others are not worked out.

        Args:
            epoch: from 1.
            step: in [0, steps_per_epoch).
            replica: whose share, in [0, replicas).
            replicas: how many share the batch; batch_size is divisible by it.
        """
        share = self.batch_size // replicas
        run, place = divmod(step, _steps_at_once(share))
        key = (epoch, run, replica, replicas)
        rows = self._latest.of("rows", key, lambda: self._run(epoch, run, replica * share, share))
        return rows[place * share : (place + 1) * share].copy()

    def _run(self, epoch: int, run: int, first: int, share: int) -> Indices:
        """Gives the example indices from `first` on in each of the steps that are worked out together."""
        at_once = _steps_at_once(share)
        steps = np.arange(run * at_once, min((run + 1) * at_once, self.steps_per_epoch), dtype=np.int64)
        positions = ((steps * self.batch_size + first)[:, None] + np.arange(share)).reshape(-1)
        positions = positions[positions < len(self.rows)]  # the last batch in the rows' own order may lack some
        if self.shuffle == "full":
            positions = permute(hash_integer(self.seed, epoch), len(self.rows), positions)
        elif self.shuffle == "blocks":
            positions = self._by_blocks(epoch, positions)
        return self.rows[positions]

    def window(self, epoch: int, step: int) -> int:
        """Gives the number of the window of eight blocks in which the last row of a step lies, under `blocks`."""
        run, place = divmod(step, _steps_at_once(self.batch_size))
        return int(self._latest.of("windows", (epoch, run), lambda: self._windows(epoch, run))[place])

    def _windows(self, epoch: int, run: int) -> Indices:
        at_once = _steps_at_once(self.batch_size)
        steps = np.arange(run * at_once, (run + 1) * at_once, dtype=np.int64)
        return self._blocks(epoch).slots((steps + 1) * self.batch_size - 1, _WINDOW_BLOCKS)

    def window_rows(self, epoch: int, window: int) -> Indices:
        """Gives the example indices of a window under `blocks`, block after block; none behind the last window."""
        slots = np.arange(window * _WINDOW_BLOCKS, (window + 1) * _WINDOW_BLOCKS)
        count = self._blocks(epoch).count
        numbers = permute(hash_integer(self.seed, epoch), count, slots[slots < count])
        starts = (numbers * self.block_rows).tolist()
        return np.concatenate([self.rows[:0], *(self.rows[start : start + self.block_rows] for start in starts)])

    def _blocks(self, epoch: int) -> "_Blocks":
        return self._latest.of(
            "blocks", epoch, lambda: _Blocks(hash_integer(self.seed, epoch), len(self.rows), self.block_rows)
        )

    def _by_blocks(self, epoch: int, positions: Indices) -> Indices:
        """Mixes the rows inside each window of eight permuted blocks; works out only the blocks that are wanted."""
        key, blocks = hash_integer(self.seed, epoch), self._blocks(epoch)
        windows = blocks.slots(positions, _WINDOW_BLOCKS)
        low, high = (blocks.starts((windows + more) * _WINDOW_BLOCKS) for more in (0, 1))
        mixed = low + _walk(_Networks.of(hash_integers(key, windows), high - low), positions - low, _feistel)
        slots = blocks.slots(mixed, 1)
        wanted, inverse = np.unique(slots, return_inverse=True)
        numbers = permute(key, blocks.count, wanted)[inverse]
        return np.asarray(numbers * self.block_rows + mixed - blocks.starts(slots))


def _steps_at_once(rows: int) -> int:
    """The next steps are worked out with the first: 16,384 positions cost 1.5 ms, and 2,048 0.6 ms."""
    return max(1, _AHEAD_ROWS // rows)


class _Blocks:
    """Blocks of rows in permuted order, slot by slot; one of them, the file's last, may be shorter.

    Args:
        key: chooses the permutation.
        n: number of rows.
        rows: of a block.
    """

    def __init__(self, key: int, n: int, rows: int) -> None:
        self.count = -(-n // rows)
        self._n, self._rows = n, rows
        self._lacking = self.count * rows - n
        self._short = int(positions_of(key, self.count, np.array([self.count - 1]))[0])

    def starts(self, slots: Indices) -> Indices:
        """Gives the position at which each slot begins; slots after the last begin at the end."""
        return np.minimum(slots * self._rows - self._lacking * (slots > self._short), self._n)

    def slots(self, positions: Indices, group: int) -> Indices:
        """Gives the number of the group of `group` slots in which each position lies."""
        rows = self._rows * group
        behind = (positions + self._lacking) // rows  # right for all that begin behind the short block
        return np.where(behind * group > self._short, behind, positions // rows)
