"""The kinds of data that others have, each as one thing: where an epoch begins, and how batches are read in turn."""

from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass
from itertools import chain
from typing import Any

from numpy.typing import NDArray

from hdf5_helper.errors import FacetError
from hdf5_helper.reading.order import Indices, Order

#: Gives the batch of a step as the data have it, None behind the last; is called with each step in turn.
Read = Callable[[int], Any]


@dataclass(frozen=True)
class Stream:
    """Data in batches.

    Attributes:
        length: batches of an epoch, None where the data do not say or have no end.
        first: gives the first batch and does not use it up; None where there is none.
        begin: takes epoch (from 1) and step (from 0), and gives what reads from there.
        end: is called when all steps of an epoch have been read.
        exact: whether any step of any epoch is the same in every process.
        threads: how many may read at once.
    """

    length: int | None
    first: Callable[[], Any]
    begin: Callable[[int, int], Read]
    end: Callable[[], None] = lambda: None
    exact: bool = False
    threads: int = 1


def stream_of(data: Any, name: str) -> Stream:
    """Opens a PyDataset, a tf.data.Dataset, a function that gives iterators, or anything to iterate.

    Args:
        data: an iterator goes on from epoch to epoch, and so does a Dataset without end; all else begins anew.
        name: of it, for the error.

    Raises:
        FacetError: it is none of these.
    """
    import keras
    import tensorflow as tf

    if isinstance(data, keras.utils.PyDataset):
        return _by_number(data)
    if isinstance(data, tf.data.Dataset):
        length = int(data.cardinality())
        if length == tf.data.INFINITE_CARDINALITY:
            return _going_on(data.as_numpy_iterator())
        return _anew(data.as_numpy_iterator, None if length == tf.data.UNKNOWN_CARDINALITY else length)
    if isinstance(data, Iterator):
        return _going_on(data)
    if isinstance(data, Iterable) and not isinstance(data, str | bytes | dict):
        return _anew(lambda: iter(data), len(data) if isinstance(data, Sized) else None)
    if callable(data):
        return _anew(lambda: iter(data()), None)
    raise FacetError(
        f"{name}: found {type(data).__name__}, expected an HDF5Generator, keras.utils.PyDataset, tf.data.Dataset,"
        " a function that gives a generator, or arrays (images, labels)"
    )


def is_arrays(data: Any) -> bool:
    """Says whether data are one whole set, (images, labels) or (images, labels, sample_weight), and not batches."""
    return isinstance(data, Sequence) and len(data) in (2, 3) and hasattr(data[0], "shape")


def stream_of_arrays(parts: tuple[Any, ...], order: Order) -> Stream:
    """Gives the batches of whole arrays in an order.

    Args:
        parts: arrays (n, …), or dicts of such, cut all alike.
        order: of their rows.
    """

    def rows(part: Any, indices: Indices) -> Any:
        return {name: values[indices] for name, values in part.items()} if isinstance(part, dict) else part[indices]

    def batch(epoch: int, step: int) -> tuple[NDArray[Any], ...]:
        indices = order.batch(epoch, step)
        return tuple(rows(part, indices) for part in parts)

    return Stream(
        order.steps_per_epoch,
        lambda: batch(1, 0),
        lambda epoch, _first: lambda step: batch(epoch, step),
        exact=True,
    )


def _by_number(data: Any) -> Stream:
    length, given = data.num_batches, [0]

    def begin(_epoch: int, _first: int) -> Read:
        before = 0 if length else given[0]  # one without end goes on

        def read(step: int) -> Any:
            given[0] = max(given[0], before + step + 1)
            return data[before + step]

        data.on_epoch_begin()
        return read

    def first() -> Any:
        return None if length == 0 else data[0]

    return Stream(length, first, begin, data.on_epoch_end, threads=max(1, data.workers))


def _anew(iterate: Callable[[], Iterator[Any]], length: int | None) -> Stream:
    def begin(_epoch: int, first: int) -> Read:
        batches = iterate()
        for _ in range(first):
            next(batches, None)
        return lambda _step: next(batches, None)

    return Stream(length, lambda: next(iterate(), None), begin)


def _going_on(iterator: Iterator[Any]) -> Stream:
    first = next(iterator, None)
    batches = chain([first] if first is not None else [], iterator)
    return Stream(None, lambda: first, lambda _epoch, _first: lambda _step: next(batches, None))
