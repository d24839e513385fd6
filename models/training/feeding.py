"""Batches for the steps: read, mirrored and weighted on a thread of their own, two ahead of the training."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from hdf5_helper.hashing import hash_integers
from hdf5_helper.labels import known
from hdf5_helper.reading.generator import HDF5Generator
from hdf5_helper.reading.order import Indices
from hdf5_helper.reading.reader import HDF5Reader
from hdf5_helper.reading.threads import ahead

Floats = NDArray[np.float32]

#: Mixed into the seed so that mirroring and order are not the same bits.
_MIRROR = 0x6D6972726F72


@dataclass(frozen=True)
class Batch:
    """What one step takes.

    Attributes:
        images: uint8 (or float32 of the same range) (B, H, W, 3), RGB.
        targets: float32 (B,) by label, 0 where unknown.
        weights: float32 (B,) by label: class weight, 0 where unknown or padded.
        counted: float32 (B,) by label: 1, or 0 where unknown or padded.
        totals: known labels by label in the whole batch, of which these rows may be one worker's share.
    """

    images: NDArray[Any]
    targets: dict[str, Floats]
    weights: dict[str, Floats]
    counted: dict[str, Floats]
    totals: dict[str, float]


def make_batch(
    images: NDArray[Any],
    labels: dict[str, NDArray[Any]],
    weights: dict[str, Floats],
    totals: dict[str, float] | None = None,
) -> Batch:
    """Puts a batch together from stored labels; `weights` are used where the label is known.

    Args:
        images: as Batch has them.
        labels: (B,) by label, as stored.
        weights: float32 (B,) by label.
        totals: as Batch has them; without them these rows are the whole batch.
    """
    counted = {name: known(name, values).astype(np.float32) for name, values in labels.items()}
    targets = {n: np.where(counted[n] > 0, v.astype(np.float32), np.float32(0)) for n, v in labels.items()}
    weighted = {name: weights[name] * counted[name] for name in labels}
    return Batch(images, targets, weighted, counted, totals or {n: float(c.sum()) for n, c in counted.items()})


def mirrored(images: NDArray[np.uint8], seed: int, epoch: int, indices: Indices) -> NDArray[np.uint8]:
    """Mirrors half of the images left to right, chosen by (seed, epoch, example index)."""
    flags = (hash_integers(seed ^ _MIRROR, epoch, indices) & np.uint64(1)).astype(bool)
    for row in flags.nonzero()[0]:
        cv2.flip(images[row], 1, images[row])  # 35 times as fast as NumPy's reversed axis
    return images


class TrainingFeed:
    """One worker's share of the training batches, each a pure function of (epoch, step).

    Attributes:
        steps, batch_size: batches of an epoch, rows of each over all workers.

    Args:
        generator: of the train split, with the worker as its replica.
        class_weights: float32 (N,) by label, one weight an example of the file.
        augment: `none` or `mirror`.
    """

    def __init__(self, generator: HDF5Generator, class_weights: dict[str, Floats], augment: str) -> None:
        self._generator, self._class_weights, self._augment = generator, class_weights, augment
        self._known = {name: known(name, generator.reader.labels(name)) for name in generator.labels}
        self._all_known = {name: bool(values[generator.order.rows].all()) for name, values in self._known.items()}
        self.steps = generator.steps_per_epoch
        self.batch_size = generator.batch_size

    def batch(self, epoch: int, step: int) -> Batch:
        """Gives one batch; epoch from 1, step from 0."""
        indices = self._generator.indices(epoch, step)
        images, labels = self._generator.read(indices)
        if self._augment == "mirror":
            images = mirrored(images, self._generator.order.seed, epoch, indices)
        weights = {name: self._class_weights[name][indices] for name in labels}
        return make_batch(images, labels, weights, self._totals(epoch, step))

    def _totals(self, epoch: int, step: int) -> dict[str, float]:
        """Gives the known labels of the whole batch; where all are known, nobody's rows need be worked out."""
        if all(self._all_known.values()):
            return dict.fromkeys(self._known, float(self.batch_size))
        rows = self._generator.order.batch(epoch, step)
        return {name: float(values[rows].sum()) for name, values in self._known.items()}

    def batches(self, epoch: int, first: int = 0) -> Iterator[Batch]:
        """Gives the batches of an epoch from step `first` on, two ahead."""
        return ahead(lambda step: self.batch(epoch, step), range(first, self.steps))


class EvaluationFeed:
    """One worker's share of the rows of a split, in file order, the last batch padded with rows that do not count.

    Attributes:
        steps, batch_size, count: batches, rows of each over all workers, rows that count.

    Args:
        reader: an open file.
        rows: int64 (n,), example indices.
        labels: names of labels.
        batch_size: rows of every batch, divisible by `workers`.
        worker, workers: whose share, and how many share.
    """

    def __init__(
        self,
        reader: HDF5Reader,
        rows: Indices,
        labels: tuple[str, ...],
        batch_size: int,
        *,
        worker: int = 0,
        workers: int = 1,
    ) -> None:
        self._reader, self._rows = reader, rows
        self._values = {label: reader.labels(label) for label in labels}
        self.batch_size, self.count = batch_size, len(rows)
        self.steps = -(-len(rows) // batch_size)
        share = batch_size // workers
        self._mine = slice(worker * share, (worker + 1) * share)

    def batch(self, step: int) -> Batch:
        """Gives one batch, step from 0."""
        rows = self._rows[step * self.batch_size : (step + 1) * self.batch_size]
        padded = np.concatenate([rows, np.repeat(rows[:1], self.batch_size - len(rows))])[self._mine]
        counts = (np.arange(self.batch_size) < len(rows)).astype(np.float32)[self._mine]
        labels = {name: values[padded] for name, values in self._values.items()}
        batch = make_batch(self._reader.read(padded), labels, dict.fromkeys(labels, counts))
        return replace(batch, counted=batch.weights)

    def batches(self) -> Iterator[Batch]:
        """Gives all batches, two ahead."""
        return ahead(self.batch, range(self.steps))
