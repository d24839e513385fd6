"""FFCV's file, written as its documentation shows: an indexable dataset of (image, label), two workers.

JPEG images are encoded again, as FFCV does, at the quality of the sample tree (92): the same bytes to decode.
"""

from pathlib import Path

import cv2
import numpy as np
from ffcv.fields import IntField, RGBImageField
from ffcv.writer import DatasetWriter
from numpy.typing import NDArray

from benchmarks.peers.job import Job

_QUALITY = 92


class Faces:
    """The images, decoded when asked for, at `side` if given."""

    def __init__(self, job: Job, side: int | None) -> None:
        self._paths, self._labels = job.listing
        self._side = side

    def __len__(self) -> int:
        """Gives the number of images."""
        return len(self._paths)

    def __getitem__(self, row: int) -> tuple[NDArray[np.uint8], int]:
        """Gives pixels uint8 (H, W, 3), RGB, and the label."""
        pixels = cv2.cvtColor(cv2.imread(str(self._paths[row])), cv2.COLOR_BGR2RGB)
        if self._side is not None:
            pixels = cv2.resize(pixels, (self._side, self._side))
        return np.asarray(pixels, np.uint8), int(self._labels[row])


def write(job: Job, target: Path, *, raw: bool) -> int:
    """Writes the file, and gives the number of images."""
    faces = Faces(job, 150 if raw else None)
    image = RGBImageField(write_mode="raw") if raw else RGBImageField(write_mode="jpg", jpeg_quality=_QUALITY)
    DatasetWriter(str(target), {"image": image, "label": IntField()}, num_workers=2).from_indexed_dataset(faces)
    return len(faces)
