"""The writer of the old AFAD scripts: Pillow, nearest-neighbour to 150×150, float32, a buffer of 1,000, h5py.

It does not wait for the disk.
"""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
from PIL import Image

from benchmarks.peers.job import Job
from benchmarks.peers.serving import serve_writing

_BUFFER = 1000


def prepare(job: Job) -> Callable[[Path], int]:
    """Lists the images."""
    paths, labels = job.listing

    def write(target: Path) -> int:
        with h5py.File(target, "w") as file:
            images = file.create_dataset("data", (len(paths), 150, 150, 3), np.float32)
            for first in range(0, len(paths), _BUFFER):
                images[first : first + _BUFFER] = [_pixels(path) for path in paths[first : first + _BUFFER]]
            file["labels"] = labels.astype(int)
        return len(paths)

    return write


def _pixels(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB").resize((150, 150), Image.Resampling.NEAREST), np.float32)


if __name__ == "__main__":
    serve_writing(prepare)
