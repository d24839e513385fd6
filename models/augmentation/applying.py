"""Augmented images: the same pixels for the same seed, epoch and example, in whatever batch, thread or process."""

import numpy as np
from numpy.typing import NDArray

from models.augmentation.color import jitter
from models.augmentation.draws import Draws
from models.augmentation.erasing import erase
from models.augmentation.geometry import matrices, warp
from models.augmentation.recipe import Augmentation


def augmented(
    images: NDArray[np.uint8],
    augmentation: Augmentation,
    seed: int,
    epoch: int,
    indices: NDArray[np.int64],
    margin: tuple[int, int] = (0, 0),
) -> NDArray[np.uint8]:
    """Augments images in place: moved by one warp, recoloured, erased; mixing them is `models.augmentation.mixing`.

    Args:
        images: uint8 (B, H, W, 3), RGB, overwritten.
        augmentation: what may happen.
        seed: of the run.
        epoch: from 1; each epoch sees other views.
        indices: int64 (B,), example indices.
        margin: pixels, (down, across), that the model's own crop leaves at each side; `crop` moves images by at most
            that many.

    Returns:
        `images`.
    """
    draws = Draws(seed, epoch, indices)
    size = (images.shape[1], images.shape[2])
    warp(images, matrices(augmentation, seed, epoch, indices, size, margin=margin), augmentation.fill)
    jitter(images, augmentation, draws)
    erase(images, augmentation.erasing, draws)
    return images
