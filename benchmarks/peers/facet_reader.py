"""Facet: an HDF5Generator over all examples; the variant is its shuffle, `full`, `blocks` or `none`.

It compares an example's bytes with their checksum at the first reading, which is in the warm-up. The variant `always`
does so at every reading: an HDF5Reader of verify="always", shuffled fully.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.job import BATCH, Job
from benchmarks.peers.serving import Epoch, serve_reading
from hdf5_helper import HDF5Generator, HDF5Reader

_FILES = {"raw": "raw.h5", "decode": "encoded.h5", "resize": "encoded.h5", "originals": "originals.h5"}


def open_epochs(job: Job) -> Epoch:
    """Opens the packed file; raw files have their size, encoded ones are asked for the task's."""
    path, size = job.work / _FILES[job.task], (job.side, job.side)
    if job.variant == "always":
        return _verified(path, size)
    shuffle = None if job.variant == "none" else job.variant
    generator = HDF5Generator(path, "all", BATCH, "gender", image_size=size, shuffle=shuffle)
    batches = iter(generator)

    def epoch() -> Iterable[tuple[Any, Any]]:
        return islice(batches, generator.steps_per_epoch)

    return epoch


def _verified(path: Path, size: tuple[int, int]) -> Epoch:
    reader = HDF5Reader(path, image_size=size, verify="always")
    labels, chance = reader.labels("gender"), np.random.default_rng(0)

    def epoch() -> Iterator[tuple[Any, Any]]:
        order = chance.permutation(len(reader))
        for first in range(0, len(reader) - BATCH + 1, BATCH):
            rows = order[first : first + BATCH]
            yield reader.read(rows), labels[rows]

    return epoch


if __name__ == "__main__":
    serve_reading(open_epochs)
