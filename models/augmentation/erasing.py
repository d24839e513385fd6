"""Random erasing: a rectangle of an image is replaced by noise."""

import numpy as np
from numpy.typing import NDArray

from hdf5_helper.hashing import hash_integers
from models.augmentation.draws import Draws

#: Share of the image that is erased, and height by width of the rectangle (Zhong et al., AAAI 2020; at most a fifth of
#: the image instead of their two, so that most of a face remains).
AREA = (0.02, 0.2)
ASPECT = (0.3, 1 / 0.3)


def rectangles(probability: float, draws: Draws, size: tuple[int, int]) -> NDArray[np.int64]:
    """Gives what is erased of each example as (top, left, height, width) in pixels, all 0 for nothing.

    The area is drawn evenly, the ratio of the sides evenly on a logarithmic scale, so that lying and standing
    rectangles are equally likely, and the place evenly among those inside the image.

    Args:
        probability: that anything is erased.
        draws: chance, by example.
        size: (height, width) of the images in pixels.

    Returns:
        int64 (B, 4); sides are cut to those of the image.
    """
    area = size[0] * size[1] * (AREA[0] + (AREA[1] - AREA[0]) * draws.shares("erased"))
    aspect = np.exp(draws.around("aspect", np.log(ASPECT[1])))
    sides = np.stack([np.sqrt(area * aspect), np.sqrt(area / aspect)], axis=-1)
    sides = np.clip(np.rint(sides).astype(np.int64), 1, size)
    free = np.array(size) - sides + 1
    starts = np.floor(np.stack([draws.shares("top"), draws.shares("left")], axis=-1) * free).astype(np.int64)
    found = np.concatenate([starts, sides], axis=-1)
    found[~draws.happens("erasing", probability)] = 0
    return found


def erase(images: NDArray[np.uint8], probability: float, draws: Draws) -> None:
    """Replaces a rectangle of some images by noise, in place: each value evenly from 0–255.

    Noise did best of the paper's fills, and needs no mean of the data.

    Args:
        images: uint8 (B, H, W, 3), overwritten.
        probability: that an image is changed.
        draws: chance, by example.
    """
    if probability == 0:
        return
    found, noise = rectangles(probability, draws, images.shape[1:3]), draws.hashes("noise")
    for row in np.flatnonzero(found.any(axis=1)):
        top, left, height, width = found[row].tolist()
        words = hash_integers(int(noise[row]), np.arange(-(-height * width * 3 // 8)))
        values = words.astype("<u8").view(np.uint8)[: height * width * 3]
        images[row, top : top + height, left : left + width] = values.reshape(height, width, 3)
