"""Images on which an exported graph is compared with its model: real ones where a data file is at hand."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hdf5_helper.errors import FacetError
from hdf5_helper.hashing import hash_integers, uniform
from models.description import ModelDescription
from models.model_data import open_for

#: How many images a comparison takes.
COUNT = 64


@dataclass(frozen=True)
class Examples:
    """Images and where they come from.

    Attributes:
        images: uint8 (n, H, W, 3), RGB, n ≥ 1.
        source: in words, such as `64 test images of faces.h5`.
    """

    images: NDArray[np.uint8]
    source: str

    def __post_init__(self) -> None:
        """Refuses nothing to compare on."""
        if self.images.ndim != 4 or not len(self.images):
            raise FacetError(f"images of shape {self.images.shape}: expected (n, H, W, 3), at least one")


def made_up_examples(image_size: tuple[int, int], count: int = COUNT) -> Examples:
    """Gives images that are the same everywhere: half of them noise, half of them smooth ramps in random directions."""
    height, width = image_size
    noise_count = count // 2
    index = np.arange(noise_count * height * width * 3)
    noise = (uniform(hash_integers(1, index)) * 256).astype(np.uint8).reshape(noise_count, height, width, 3)
    ends = uniform(hash_integers(2, np.arange((count - noise_count) * 9))).reshape(-1, 1, 1, 3, 3) * 255
    down = np.linspace(0, 1, height).reshape(1, -1, 1, 1)
    across = np.linspace(0, 1, width).reshape(1, 1, -1, 1)
    ramps = ends[..., 0] * (1 - down) + ends[..., 1] * down * (1 - across) + ends[..., 2] * down * across
    return Examples(np.concatenate([noise, ramps.astype(np.uint8)]), f"{count} made-up images")


def examples_from(
    data: Path,
    description: ModelDescription,
    count: int = COUNT,
    splits: tuple[str, ...] = ("test", "validation", "train"),
) -> Examples:
    """Gives the first images of a split of a data file.

    Args:
        data: an HDF5 file of `facet pack`.
        description: of the model: image size, fit, and the fold that splits the file it was trained on.
        count: how many at most.
        splits: the first of them that is not empty is taken.

    Raises:
        FacetError: no such file, no file of Facet's, or an empty one.
    """
    with open_for(description, data) as reader:
        for split in splits:
            rows = reader.split(split)[:count]
            if len(rows):
                return Examples(reader.read(rows), f"{len(rows)} {split} images of {data.name}")
    raise FacetError(f"{data}: holds no examples, expected at least one")
