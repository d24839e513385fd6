"""Plain h5py on a contiguous dset of pixels (one chunk an image was slower), in each form that is in use.

`read_direct`: a loop of `Dataset.read_direct` into the batch. `index`: a loop of `dset[row]`. `low_level`: the loop
below h5py's selections, its fastest form. `lists`: `dset[sorted rows]`, put back into the batch's order.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.job import BATCH, Job
from benchmarks.peers.serving import Epoch, serve_reading

Array = NDArray[Any]


def open_epochs(job: Job) -> Epoch:
    """Opens the file, which is written first if it is not there."""
    dset = h5py.File(job.made("plain.h5", lambda target: _write(target, job)), "r")["images"]
    labels = job.listing[1]
    gather = _FORMS[job.variant](dset)
    chance = np.random.default_rng(0)

    def epoch() -> Iterator[tuple[Array, Array]]:
        order = chance.permutation(len(dset))
        for first in range(0, len(dset) - BATCH + 1, BATCH):
            rows = order[first : first + BATCH]
            yield gather(rows), labels[rows]

    return epoch


def _write(target: Path, job: Job) -> None:
    with h5py.File(target, "w") as file:
        file["images"] = job.pixels()


def _read_direct(dset: Any) -> Callable[[Array], Array]:
    def gather(rows: Array) -> Array:
        out = np.empty((len(rows), *dset.shape[1:]), np.uint8)
        for place, row in enumerate(rows.tolist()):
            dset.read_direct(out, np.s_[row], np.s_[place])
        return out

    return gather


def _index(dset: Any) -> Callable[[Array], Array]:
    def gather(rows: Array) -> Array:
        out = np.empty((len(rows), *dset.shape[1:]), np.uint8)
        for place, row in enumerate(rows.tolist()):
            out[place] = dset[row]
        return out

    return gather


def _low_level(dset: Any) -> Callable[[Array], Array]:
    one = (1, *dset.shape[1:])
    in_memory, in_file = h5py.h5s.create_simple(one), dset.id.get_space()

    def gather(rows: Array) -> Array:
        out = np.empty((len(rows), *dset.shape[1:]), np.uint8)
        for place, row in enumerate(rows.tolist()):
            in_file.select_hyperslab((row, 0, 0, 0), one)
            dset.id.read(in_memory, in_file, out[place : place + 1], h5py.h5t.NATIVE_UINT8)
        return out

    return gather


def _lists(dset: Any) -> Callable[[Array], Array]:
    def gather(rows: Array) -> Array:
        order = np.argsort(rows)
        out = np.empty((len(rows), *dset.shape[1:]), np.uint8)
        out[order] = dset[rows[order]]
        return out

    return gather


_FORMS = {"read_direct": _read_direct, "index": _index, "low_level": _low_level, "lists": _lists}

if __name__ == "__main__":
    serve_reading(open_epochs)
