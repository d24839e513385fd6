"""Facet: an HDF5Generator over all examples; the variant is its shuffle, `full`, `blocks` or `none`."""

from collections.abc import Iterable
from itertools import islice
from typing import Any

from benchmarks.peers.job import BATCH, Job
from benchmarks.peers.serving import Epoch, serve_reading
from hdf5_helper import HDF5Generator

_FILES = {"raw": "raw.h5", "decode": "encoded.h5", "resize": "encoded.h5", "originals": "originals.h5"}


def open_epochs(job: Job) -> Epoch:
    """Opens the packed file; raw files have their size, encoded ones are asked for the task's."""
    generator = HDF5Generator(
        job.work / _FILES[job.task],
        "all",
        BATCH,
        "gender",
        image_size=(job.side, job.side),
        shuffle=None if job.variant == "none" else job.variant,
    )
    batches = iter(generator)

    def epoch() -> Iterable[tuple[Any, Any]]:
        return islice(batches, generator.steps_per_epoch)

    return epoch


if __name__ == "__main__":
    serve_reading(open_epochs)
