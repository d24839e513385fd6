"""Batches of activations in the place of images: read where they are kept, computed when they are needed where not."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hdf5_helper.reading.order import Indices
from hdf5_helper.reading.threads import ahead
from models.training.activations.level import Block, Level, Values, merged
from models.training.activations.views import Pixels, Views
from models.training.feeding import Batch, EvaluationFeed, TrainingFeed

# to fill a block up, rows are looked for in the batches of the next so many blocks
_LOOK_AHEAD_BLOCKS = 16

OnFilled = Callable[[int], None]


class Wanted(NamedTuple):
    """What a batch holds: int64 (b,) each."""

    rows: Indices
    views: Indices


class _Cell(NamedTuple):
    """A row that is missing, and for which step."""

    step: int
    row: int
    view: int


@dataclass(frozen=True)
class _Read:
    """What was read for one step.

    Attributes:
        step: which.
        wanted: what its batch holds.
        there: bool (b,), which rows were kept.
        values: (m, …), of those.
        blocks: what is to be computed before this batch can be given, with the cells of each row.
    """

    step: int
    wanted: Wanted
    there: NDArray[np.bool_]
    values: Values
    blocks: tuple[tuple[tuple[_Cell, ...], Block], ...]


class _Reading:
    """Reads for one step after the other, on one thread.

    A block that a step needs is filled up with the missing rows of later steps, in the order in which they are needed.
    """

    def __init__(self, level: Level, wanted: Callable[[int], Wanted], steps: range, pixels: Pixels) -> None:
        self._level, self._wanted, self._pixels = level, wanted, pixels
        self._unseen = deque(steps)
        self._seen: dict[int, tuple[Wanted, NDArray[np.bool_]]] = {}
        self._missing: deque[_Cell] = deque()

    def read(self, step: int) -> _Read:
        """Reads what is kept of a step's rows, and what its missing rows are computed from."""
        while step not in self._seen:
            self._look_on()
        wanted, there = self._seen.pop(step)
        blocks = []
        while self._missing and self._missing[0].step == step:
            blocks.append(self._next_block())
        values = self._level.read(wanted.rows[there], wanted.views[there])
        return _Read(step, wanted, there, values, tuple(blocks))

    def _look_on(self) -> int:
        """Finds out what is missing of one step more; gives how many rows it has."""
        step = self._unseen.popleft()
        wanted = self._wanted(step)
        there = self._level.has(*wanted)
        self._seen[step] = wanted, there
        cells = zip(wanted.rows[~there].tolist(), wanted.views[~there].tolist(), strict=True)
        self._missing.extend(_Cell(step, row, view) for row, view in dict.fromkeys(cells))  # a padded batch repeats one
        return len(there)

    def _next_block(self) -> tuple[tuple[_Cell, ...], Block]:
        looked = 0
        size = self._level.block
        while self._unseen and len(self._missing) < size and looked < _LOOK_AHEAD_BLOCKS * size:
            looked += self._look_on()
        cells = tuple(self._missing.popleft() for _ in range(min(len(self._missing), size)))
        rows, views = (np.array(numbers, np.int64) for numbers in zip(*((c.row, c.view) for c in cells), strict=True))
        return cells, self._level.prepare(rows, views, self._pixels)


def _filled(
    level: Level, wanted: Callable[[int], Wanted], steps: range, pixels: Pixels, on_filled: OnFilled
) -> Iterator[tuple[int, Values]]:
    """Gives by step what its batch holds, and computes what is missing on the thread that asks.

    A missing row's values are held until its batch is given, as there may have been no room to keep them.
    """
    reading, held = _Reading(level, wanted, steps, pixels), dict[_Cell, Values]()
    for read in ahead(reading.read, steps, depth=_depth(level, wanted, steps)):
        for cells, block in read.blocks:
            held.update(zip(cells, level.finish(block), strict=True))
            on_filled(len(cells))
        yield read.step, _completed(read, held)


def _depth(level: Level, wanted: Callable[[int], Wanted], steps: range) -> int:
    """Gives how many batches are read ahead: two, and those whose rows the block of the first of them may hold."""
    return 2 + (-(-level.block // len(wanted(steps[0]).rows)) if steps else 0)


def _completed(read: _Read, held: dict[_Cell, Values]) -> Values:
    """Gives the values of a step's rows, (b, …), and lets go of those that were held for it."""
    if read.there.all():
        return read.values
    rows, views = (numbers[~read.there].tolist() for numbers in read.wanted)
    cells = [_Cell(read.step, row, view) for row, view in zip(rows, views, strict=True)]
    values = merged(read.there, read.values, np.stack([held[cell] for cell in cells]))
    for cell in set(cells):
        del held[cell]
    return values


def _nobody(_rows: int) -> None:
    """Hears of computed rows and does nothing."""


class CachedTrainingFeed:
    """The batches of a training feed, with activations in the place of its images.

    Attributes:
        steps, batch_size: batches of an epoch, rows of each over all workers.

    Args:
        feed: whose rows, labels and images; mixup is not for it.
        level: of the activations, with a file for each of the views.
        views: which one an example has in an epoch.
        on_filled: hears of each block how many rows were computed, on the thread that takes the batches.
    """

    def __init__(self, feed: TrainingFeed, level: Level, views: Views, on_filled: OnFilled = _nobody) -> None:
        self._feed, self._level, self._views, self._on_filled = feed, level, views, on_filled
        self.steps, self.batch_size = feed.steps, feed.batch_size

    def batches(self, epoch: int, first: int = 0) -> Iterator[Batch]:
        """Gives the batches of an epoch (from 1), from step `first` (from 0) on; what is kept is read two ahead."""

        def wanted(step: int) -> Wanted:
            rows = self._feed.indices(epoch, step)
            return Wanted(rows, self._views.of(epoch, rows))

        for step, values in _filled(self._level, wanted, range(first, self.steps), self._pixels, self._on_filled):
            yield self._feed.labelled(epoch, step, values)

    def _pixels(self, rows: Indices, views: Indices) -> NDArray[np.uint8]:
        return self._views.pixels(self._feed.pixels(rows), views, rows)


class CachedEvaluationFeed:
    """The batches of an evaluation feed, with activations of the plain view in the place of its images.

    Attributes:
        steps, batch_size, count: batches, rows of each over all workers, rows that count.

    Args:
        feed: whose rows, labels and images.
        level: of the activations, with one file.
        on_filled: as for `CachedTrainingFeed`.
    """

    def __init__(self, feed: EvaluationFeed, level: Level, on_filled: OnFilled = _nobody) -> None:
        self._feed, self._level, self._on_filled = feed, level, on_filled
        self.steps, self.batch_size, self.count = feed.steps, feed.batch_size, feed.count

    def batches(self) -> Iterator[Batch]:
        """Gives all batches; what is kept is read two ahead."""

        def wanted(step: int) -> Wanted:
            rows = self._feed.indices(step)
            return Wanted(rows, np.zeros(len(rows), np.int64))

        for step, values in _filled(self._level, wanted, range(self.steps), self._pixels, self._on_filled):
            yield self._feed.labelled(step, values)

    def _pixels(self, rows: Indices, _views: Indices) -> NDArray[np.uint8]:
        return self._feed.pixels(rows)
