"""The generator of the old AFAD scripts: float32 pixels in one contiguous HDF5 dset, slice by slice, unshuffled."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from benchmarks.peers.job import BATCH, Job
from benchmarks.peers.serving import Epoch, serve_reading


def open_epochs(job: Job) -> Epoch:
    """Opens the file, which is written first if it is not there."""
    file = h5py.File(job.made("float.h5", lambda target: _write(target, job)), "r")
    images, labels = file["data"], file["labels"]

    def epoch() -> Iterator[tuple[Any, Any]]:
        for first in range(0, len(images), BATCH):
            yield images[first : first + BATCH], labels[first : first + BATCH]

    return epoch


def _write(target: Path, job: Job) -> None:
    pixels, (_paths, labels) = job.pixels(), job.listing
    with h5py.File(target, "w") as file:
        images = file.create_dataset("data", pixels.shape, np.float32)
        for first in range(0, len(pixels), 1000):
            images[first : first + 1000] = pixels[first : first + 1000]
        file["labels"] = labels.astype(int)


if __name__ == "__main__":
    serve_reading(open_epochs)
