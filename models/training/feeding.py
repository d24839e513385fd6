"""Batches for the steps: read, augmented and weighted on a thread of their own, two ahead of the training."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdf5_helper.reading.generator import HDF5Generator
from hdf5_helper.reading.order import Indices
from hdf5_helper.reading.reader import HDF5Reader
from hdf5_helper.reading.threads import ahead
from models.augmentation.applying import augmented
from models.augmentation.mixing import mixed, partners, shares
from models.augmentation.recipe import Augmentation
from models.heads.head import Floats, Head


@dataclass(frozen=True)
class Batch:
    """What one step takes.

    Attributes:
        inputs: images, uint8 (or float32 of the same range) (B, H, W, 3), RGB; or activations (B, …) of them.
        targets: float32 (B,) or (B, k) by label, see `models.heads.head.Head`.
        weights: float32 (B,) or (B, A) by label: class weight, 0 where unknown or padded.
        counted: float32 of the same shape by label: 1, or 0 where unknown or padded.
        totals: known labels by label in the whole batch, of which these rows may be one worker's share.
    """

    inputs: NDArray[Any]
    targets: dict[str, Floats]
    weights: dict[str, Floats]
    counted: dict[str, Floats]
    totals: dict[str, float]


def make_batch(
    inputs: NDArray[Any],
    labels: dict[str, NDArray[Any]],
    heads: tuple[Head, ...],
    weights: dict[str, Floats],
    totals: dict[str, float] | None = None,
) -> Batch:
    """Puts a batch together from stored labels; `weights` are used where the label is known.

    Args:
        inputs: as Batch has them.
        labels: (B, …) by label, as stored.
        heads: one a label.
        weights: float32 (B,) or (B, A) by label.
        totals: as Batch has them; without them these rows are the whole batch.
    """
    counted = {head.label: head.known(labels[head.label]).astype(np.float32) for head in heads}
    targets = {head.label: head.targets(labels[head.label]) for head in heads}
    weighted = {name: _as_wide(weights[name], known) * known for name, known in counted.items()}
    return Batch(inputs, targets, weighted, counted, totals or {n: float(c.sum()) for n, c in counted.items()})


def mixed_batch(batch: Batch, other: Batch, part: Floats) -> Batch:
    """Gives `part` (B,) of each example of a batch and the rest of another one's (Zhang et al. 2018, "mixup").

    A label counts where both know it, so that nothing is learnt of half a label.
    """

    def mix(mine: dict[str, Floats], theirs: dict[str, Floats]) -> dict[str, Floats]:
        return {n: _as_wide(part, v) * v + _as_wide(1 - part, v) * theirs[n] for n, v in mine.items()}

    both = {name: counted * other.counted[name] for name, counted in batch.counted.items()}
    weights = {name: values * both[name] for name, values in mix(batch.weights, other.weights).items()}
    images = mixed(batch.inputs, other.inputs, part)
    return replace(batch, inputs=images, targets=mix(batch.targets, other.targets), weights=weights, counted=both)


def _as_wide(values: Floats, like: Floats) -> Floats:
    """Gives (B,) as (B, 1) beside (B, k)."""
    return values[:, None] if values.ndim < like.ndim else values


class TrainingFeed:
    """One worker's share of the training batches, each a pure function of (epoch, step).

    Attributes:
        steps, batch_size: batches of an epoch, rows of each over all workers.

    Args:
        generator: of the train split, with the worker as its replica.
        heads: one a label.
        class_weights: float32 (N,) or (N, A) by label, for every example of the file.
        augmentation: what is done to the images.
        margin: (rows, columns) around the window that the model sees, see `models.network.window_margin`.
    """

    def __init__(
        self,
        generator: HDF5Generator,
        heads: tuple[Head, ...],
        class_weights: dict[str, Floats],
        augmentation: Augmentation,
        margin: tuple[int, int] = (0, 0),
    ) -> None:
        self._generator, self._heads, self._class_weights = generator, heads, class_weights
        self._augmentation, self._margin = augmentation, margin
        self._values = {head.label: generator.reader.labels(head.label) for head in heads}
        self._all_known = all(self._known(head, generator.order.rows).all() for head in heads)
        self._seed = generator.order.seed
        self.steps = generator.steps_per_epoch
        self.batch_size = generator.batch_size

    def batch(self, epoch: int, step: int) -> Batch:
        """Gives one batch; epoch from 1, step from 0."""
        indices = self._generator.indices(epoch, step)  # which also reads ahead
        batch = self.labelled(epoch, step, self._augmented(epoch, indices))
        if not self._augmentation.mixup:
            return batch
        others = partners(self._seed, epoch, indices, self._generator.order.rows)
        part = shares(self._augmentation.mixup, self._seed, epoch, indices)
        return mixed_batch(batch, self._labelled(others, self._augmented(epoch, others)), part)

    def indices(self, epoch: int, step: int) -> Indices:
        """Gives the example indices of this worker's share of a batch, int64 (b,)."""
        return self._generator.order.batch(epoch, step, self._generator.replica, self._generator.replicas)

    def pixels(self, indices: Indices) -> NDArray[np.uint8]:
        """Gives the images of any examples as they are stored, uint8 (b, H, W, 3)."""
        return self._generator.reader.read(indices)

    def labelled(self, epoch: int, step: int, inputs: NDArray[Any]) -> Batch:
        """Gives a batch with `inputs` (b, …), made elsewhere, beside its labels and weights; mixup mixes neither."""
        return replace(self._labelled(self.indices(epoch, step), inputs), totals=self._totals(epoch, step))

    def _labelled(self, indices: Indices, inputs: NDArray[Any]) -> Batch:
        labels = {name: values[indices] for name, values in self._values.items()}
        weights = {name: self._class_weights[name][indices] for name in labels}
        return make_batch(inputs, labels, self._heads, weights)

    def _augmented(self, epoch: int, indices: Indices) -> NDArray[np.uint8]:
        return augmented(self.pixels(indices), self._augmentation, self._seed, epoch, indices, self._margin)

    def _totals(self, epoch: int, step: int) -> dict[str, float]:
        """Gives the known labels of the whole batch; where all are known, nobody's rows need be worked out."""
        order = self._generator.order
        rows = order.rows[: order.batch_size] if self._all_known else order.batch(epoch, step)
        known = {head.label: self._known(head, rows) for head in self._heads}
        if self._augmentation.mixup and not self._all_known:
            others = partners(self._seed, epoch, rows, order.rows)
            known = {head.label: known[head.label] & self._known(head, others) for head in self._heads}
        return {label: float(cells.sum()) for label, cells in known.items()}

    def _known(self, head: Head, rows: Indices) -> NDArray[np.bool_]:
        return head.known(self._values[head.label][rows])

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
        heads: one a label.
        batch_size: rows of every batch, divisible by `workers`.
        worker, workers: whose share, and how many share.
    """

    def __init__(
        self,
        reader: HDF5Reader,
        rows: Indices,
        heads: tuple[Head, ...],
        batch_size: int,
        *,
        worker: int = 0,
        workers: int = 1,
    ) -> None:
        self._reader, self._rows, self._heads = reader, rows, heads
        self._values = {head.label: reader.labels(head.label) for head in heads}
        self.batch_size, self.count = batch_size, len(rows)
        self.steps = -(-len(rows) // batch_size)
        share = batch_size // workers
        self._mine = slice(worker * share, (worker + 1) * share)

    def batch(self, step: int) -> Batch:
        """Gives one batch, step from 0."""
        return self.labelled(step, self.pixels(self.indices(step)))

    def indices(self, step: int) -> Indices:
        """Gives the example indices of this worker's share of a batch, int64 (b,), with those that pad it."""
        rows = self._rows[step * self.batch_size : (step + 1) * self.batch_size]
        return np.concatenate([rows, np.repeat(rows[:1], self.batch_size - len(rows))])[self._mine]

    def pixels(self, indices: Indices) -> NDArray[np.uint8]:
        """Gives the images of any examples as they are stored, uint8 (b, H, W, 3)."""
        return self._reader.read(indices)

    def labelled(self, step: int, inputs: NDArray[Any]) -> Batch:
        """Gives a batch with `inputs` (b, …), made elsewhere, beside its labels."""
        indices, left = self.indices(step), len(self._rows) - step * self.batch_size
        counts = (np.arange(self.batch_size) < left).astype(np.float32)[self._mine]
        labels = {name: values[indices] for name, values in self._values.items()}
        batch = make_batch(inputs, labels, self._heads, dict.fromkeys(labels, counts))
        return replace(batch, counted=batch.weights)

    def batches(self) -> Iterator[Batch]:
        """Gives all batches, two ahead."""
        return ahead(self.batch, range(self.steps))
