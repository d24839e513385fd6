"""Copies stored images from one laid-out place to another, without decoding them."""

import itertools
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hdf5_helper.packing.laid_out import LaidOut
from hdf5_helper.progress import Progress
from hdf5_helper.storage.file_layout import Extents
from hdf5_helper.storage.positional import copy_pieces

_SYNCED = 32 << 20  # bytes that go to the disk at a time
_MOST_ROWS = 512  # copied between two movements of the progress bar


@dataclass(frozen=True)
class CopiedImages:
    """Images in open files, in the order in which they are wanted.

    Attributes:
        files: descriptor, and place of the dset of images, of each file.
        file: int64 (n,), the number of the file in which an image is.
        starts: int64 (n,), its first byte in that dset.
        lengths: int64 (n,), its bytes.
    """

    files: Sequence[tuple[int, Extents]]
    file: NDArray[np.int64]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]

    def runs(self) -> Iterator[tuple[int, int]]:
        """Gives [first, last) of images that follow one another in one file, so that they are copied at once."""
        follows = (self.file[1:] == self.file[:-1]) & (self.starts[1:] == (self.starts + self.lengths)[:-1])
        borders = [0, *(np.flatnonzero(~follows) + 1).tolist(), len(self.starts)]
        for border, next_border in itertools.pairwise(borders):
            for first in range(border, next_border, _MOST_ROWS):
                yield first, min(first + _MOST_ROWS, next_border)


def copy_images(images: CopiedImages, target: LaidOut, progress: Progress) -> None:
    """Copies image i to the room of row i of `target`, for all of them.

    What is copied goes to the disk meanwhile: waiting for that at the end took a third as long again.
    """
    copied = 0
    with ThreadPoolExecutor(1, "facet-sync") as pool:
        synced = pool.submit(os.fsync, target.handle)
        for first, last in images.runs():
            handle, extents = images.files[images.file[first]]
            start, stop = int(images.starts[first]), int(images.starts[last - 1] + images.lengths[last - 1])
            copy_pieces(handle, extents.pieces(start, stop), target.handle, target.room(first, last))
            progress.advance(last - first)
            copied += stop - start
            if copied >= _SYNCED:
                synced.result()  # the system tells of an error once
                synced, copied = pool.submit(os.fsync, target.handle), 0
        synced.result()
