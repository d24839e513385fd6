"""A sheet of training examples, each beside what augmentation makes of it in the first epochs."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hdf5_helper.inspecting.grid import CELL, COLUMNS, caption, check_picture, draw_cells, evenly, write_picture
from hdf5_helper.inspecting.perceptual import open_small, read_upright
from hdf5_helper.reading.reader import HDF5Reader
from models.augmentation.applying import augmented
from models.augmentation.mixing import mixed, partners, shares
from models.augmentation.recipe import Augmentation

UInt8Array = NDArray[np.uint8]

_WINDOW = 16  # a model's own crop leaves this part of each side away at both ends, as 16 of 256 pixels


def write_augmented_grid(source: Path, target: Path, augmentation: Augmentation, seed: int, count: int = 6) -> int:
    """Draws training examples of a packed file into a PNG file: each as it is, then its views of epochs 1 to 7.

    Args:
        source: a packed file.
        target: the name of the picture.
        augmentation: what may happen; where it crops, views are what the model sees if its crop is 7/8 of each side.
        seed: as that of a run.
        count: examples, one a line.

    Returns:
        How many examples are shown: `count`, or all of the train split where there are fewer.

    Raises:
        FacetError: `target` is no `.png` name or cannot be written, or `source` cannot be read.
    """
    check_picture(target, "--grid")
    with open_small(source, (CELL, CELL), "stretch") as reader:
        train = reader.split("train") if "train" in reader.splits else np.arange(len(reader))
        views = _Views(reader, train, augmentation, seed)
        rows = train[evenly(len(train), count)].tolist()
        cells = [cell for row in rows for cell in views.line(row)]
    write_picture(target, draw_cells([image for image, _text in cells], [text for _image, text in cells], together=1))
    return len(rows)


@dataclass(frozen=True)
class _Views:
    """What training sees of an example; attributes as in `write_augmented_grid`, `train` the rows of the split."""

    reader: HDF5Reader
    train: NDArray[np.int64]
    augmentation: Augmentation
    seed: int

    def line(self, row: int) -> list[tuple[UInt8Array, tuple[str, str]]]:
        """Gives image and caption of the example itself, then of its views."""
        itself = read_upright(self.reader, np.array([row]))[0], caption(self.reader, row)
        return [itself, *(self._view(row, epoch) for epoch in range(1, COLUMNS))]

    def _view(self, row: int, epoch: int) -> tuple[UInt8Array, tuple[str, str]]:
        images, text = self._augmented(row, epoch), ""
        if self.augmentation.mixup:
            indices = np.array([row])
            partner = int(partners(self.seed, epoch, indices, self.train)[0])
            own = shares(self.augmentation.mixup, self.seed, epoch, indices)
            images = mixed(images, self._augmented(partner, epoch), own)
            text = f"{own[0]:.0%} + {1 - own[0]:.0%} of {partner}"
        return images[0], (f"epoch {epoch}", text)

    def _augmented(self, row: int, epoch: int) -> UInt8Array:
        """Gives a view as uint8 (1, H, W, 3)."""
        images = np.ascontiguousarray(read_upright(self.reader, np.array([row])))
        down, across = (side // _WINDOW for side in images.shape[1:3])
        augmented(images, self.augmentation, self.seed, epoch, np.array([row]), (down, across))
        return images[:, down:-down, across:-across] if self.augmentation.crop else images
