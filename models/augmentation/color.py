"""Colour jitter: brightness, contrast and saturation in one pass over the pixels."""

import cv2
import numpy as np
from numpy.typing import NDArray

from models.augmentation.draws import Draws
from models.augmentation.recipe import Augmentation

#: Grey of red, green and blue (ITU-R BT.601), as Pillow and torchvision weigh them.
GREY = np.array([0.299, 0.587, 0.114])

_KINDS = ("brightness", "contrast", "saturation")


def jitter(images: NDArray[np.uint8], augmentation: Augmentation, draws: Draws) -> None:
    """Changes colours in place by factors of [1 - share, 1 + share), one an example and kind.

    Args:
        images: uint8 (B, H, W, 3), RGB, overwritten.
        augmentation: its shares; without any nothing happens.
        draws: chance, by example.
    """
    shares = [getattr(augmentation, kind) for kind in _KINDS]
    if any(shares):
        factors = np.stack([1 + draws.around(kind, share) for kind, share in zip(_KINDS, shares, strict=True)], axis=-1)
        for image, values in zip(images, factors, strict=True):
            recolor(image, *values.tolist())


def recolor(image: NDArray[np.uint8], brightness: float, contrast: float, saturation: float) -> None:
    """Changes the colours of one image in place.

    As torchvision defines them, in this order: brightness mixes with black, contrast with the mean grey of the image,
    saturation with each pixel's own grey. All three are linear, so that one matrix does them; values are cut to 0–255
    once, at the end, and not between them. OpenCV's fixed point is within 1 of the exact value.

    Args:
        image: uint8 (H, W, 3), RGB, C-contiguous, overwritten.
        brightness: factor of at least 0; 1 changes nothing.
        contrast: the same.
        saturation: the same.
    """
    grey = brightness * float(GREY @ cv2.mean(image)[:3])
    linear = brightness * contrast * ((1 - saturation) * np.tile(GREY, (3, 1)) + saturation * np.eye(3))
    offset = np.full((3, 1), (1 - contrast) * grey)
    cv2.transform(image, np.hstack([linear, offset]), image)
