"""Training and validation on others' data: keras.utils.PyDataset, tf.data.Dataset, Python generators, arrays."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdf5_helper.errors import FacetError
from hdf5_helper.progress import Say, no_words
from hdf5_helper.reading.order import Indices, Order
from hdf5_helper.reading.threads import ahead
from models.heads.head import Head
from models.training.class_weights import example_weights
from models.training.feeding import Batch
from models.training.foreign_batches import BatchMaker, by_label, class_weights_for, sample_weights, stored
from models.training.foreign_streams import Stream, is_arrays, stream_of, stream_of_arrays


class ForeignBatches:
    """Batches of others' data, a training or a validation source.

    Attributes:
        steps: batches of an epoch.
        batch_size: rows of each.
        count: rows at most: those that fill up a smaller batch are among them.

    Args:
        stream: the data.
        make: makes batches out of theirs, of a known size.
        steps: batches of an epoch; by default those that the data have.

    Raises:
        FacetError: more are wanted than there are, or it is not known how many.
    """

    def __init__(self, stream: Stream, make: BatchMaker, steps: int | None = None) -> None:
        if steps is not None and not 1 <= steps <= (stream.length or steps):
            held = f"at most {stream.length}, which is all there are" if stream.length else "at least 1"
            raise FacetError(f"{make.name}: {steps} steps an epoch, expected {held}")
        self._stream, self._make, self.batch_size = stream, make, make.rows
        self.steps = steps or stream.length or 0
        if not self.steps:
            raise FacetError(f"{make.name}: does not say how many batches an epoch has, expected a number of steps")
        self.count = self.steps * self.batch_size

    def batches(self, epoch: int = 1, first: int = 0) -> Iterator[Batch]:
        """Gives the batches of an epoch from step `first` on, read ahead on threads of their own."""
        read, threads = self._stream.begin(epoch, first), self._stream.threads

        def batch(step: int) -> Batch:
            raw = read(step)
            if raw is None:
                ended = f"{self._make.name}: ended after {step} of {self.steps} batches"
                raise FacetError(f"{ended}, expected a function that begins anew for each epoch, or no end")
            return self._make.batch(raw, step + 1)

        yield from ahead(batch, range(first, self.steps), threads, depth=threads + 1)
        self._stream.end()


class ForeignData:
    """Somebody's data, opened once and looked at: what is not as it must be is heard of before anything is trained.

    Attributes:
        name: for sentences.
        batch_size: rows of a batch.
        seed: of the order of arrays.
        first: the first batch.
        kind: what the data are, such as `Dataset` or `arrays`.

    Args:
        data: see `stream_of`, or whole arrays (images, labels[, sample_weight]).
        make: what the batches must be.
        batch_size: of arrays, or all rows where there are fewer.
        seed: as the attribute.

    Raises:
        FacetError: what is not as it must be.
    """

    def __init__(self, data: Any, make: BatchMaker, batch_size: int = 64, seed: int = 0) -> None:
        self.name, self.seed = make.name, seed
        self._parts = _parts(data, make) if is_arrays(data) else None
        self.kind = "arrays" if self._parts else type(data).__name__
        if self._parts is None:
            self._stream = stream_of(data, make.name)
        else:
            self._stream = stream_of_arrays(
                self._parts, Order(np.arange(len(self._parts[0])), batch_size, shuffle=None)
            )
        first = self._stream.first()
        if first is None:
            raise FacetError(f"{make.name}: gives no batch, expected at least one")
        self._make = make.sized_by(first)
        self.batch_size, self.first = self._make.rows, self._make.batch(first, 1)

    def for_training(
        self, steps: int | None = None, class_weights: str = "none", say: Say = no_words
    ) -> ForeignBatches:
        """Gives training batches; those of arrays are full, and shuffled anew each epoch.

        Args:
            steps: batches of an epoch; needed where the data do not say.
            class_weights: as the setting; `balanced` for arrays alone.
            say: is told where a resumed run needs the data's help to be exact.

        Raises:
            FacetError: steps or class weights that the data cannot have.
        """
        if self._parts is not None:
            rows = self._known_rows()
            size = min(self.batch_size, len(rows))
            if size < self.batch_size:
                say(f"batch size {size} instead of {self.batch_size}: no more labels are known in {self.name}")
            stream = _shuffled(self._parts, Order(rows, size, self.seed), self._make.heads, class_weights, say)
            return ForeignBatches(stream, replace(self._make, rows=size), steps)
        weighted = replace(self._make, class_weights=class_weights_for(class_weights, self._make.labels, self.name))
        opened = ForeignBatches(self._stream, weighted, steps)
        say(f"resuming is exact at epoch boundaries only, as far as {self.name} gives the same batches again")
        return opened

    def for_validation(self, steps: int | None = None) -> ForeignBatches:
        """Gives validation batches, those of arrays in their order to the last row."""
        return ForeignBatches(self._stream, self._make, steps)

    def known_values(self, head: Head) -> NDArray[Any]:
        """Gives the known labels of a head: all of arrays, else those of the first batch, as targets (n, …)."""
        if self._parts:
            values = self._parts[1][head.label]
            return np.asarray(values[head.known(values)])
        return self.first.targets[head.label][self.first.counted[head.label] > 0]

    def _known_rows(self) -> Indices:
        labels = self._parts[1] if self._parts else {}
        known = [h.known(labels[h.label]).reshape(len(labels[h.label]), -1).any(axis=1) for h in self._make.heads]
        rows = np.flatnonzero(np.any(known, axis=0))
        if not len(rows):
            raise FacetError(f"{self.name}: has no example with a known {' or '.join(labels)}")
        return rows


def _shuffled(parts: Any, order: Order, heads: tuple[Head, ...], class_weights: str, say: Say) -> Stream:
    images, labels, weights = parts
    by_class = {h.label: example_weights(class_weights, h, labels[h.label], order.rows, say) for h in heads}
    weights = {n: (by_class[n].T * weights[n]).T for n in labels}
    return stream_of_arrays((images, labels, weights), order)


def _parts(data: Any, make: BatchMaker) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """Gives images (n, H, W, 3), labels as stored and sample weights, (n,) by label, of arrays."""
    images, *others = data
    images, place = np.asarray(images), make.name
    if not len(images):
        raise FacetError(f"{place}: gives no batch, expected at least one")
    values = by_label(others[0], make.labels, place)
    labels = {head.label: stored(head, values[head.label], len(images), place) for head in make.heads}
    return images, labels, sample_weights(others[1] if others[1:] else None, make.labels, len(images), place)
