"""The one function that brings an image to a size: packer, reader, trainer and predict all call it."""

import cv2
import numpy as np
from numpy.typing import NDArray

from hdf5_helper.errors import FacetError, did_you_mean

UInt8Array = NDArray[np.uint8]

#: How an image of another shape fits: squeezed, cut at the longer sides, or framed in black.
FITS = ("stretch", "crop", "pad")


def parse_size(text: str) -> tuple[int, int]:
    """Reads `150` or `218x178` as (height, width) in pixels.

    Raises:
        FacetError: anything else, or a side outside 1–16384.
    """
    parts = text.lower().split("x")
    if len(parts) not in (1, 2) or not all(part.isdecimal() and 1 <= int(part) <= 16384 for part in parts):
        raise FacetError(f"image size {text!r}: expected one side such as 150, or HEIGHTxWIDTH such as 218x178")
    return int(parts[0]), int(parts[-1])


def fit(image: UInt8Array, size: tuple[int, int], how: str = "stretch") -> UInt8Array:
    """Gives `image` at `size`.

    Args:
        image: uint8 (height, width, 3).
        size: (height, width) of the result.
        how: `stretch` changes the ratio of the sides, `crop` cuts the middle out, `pad` adds black at both ends.

    Returns:
        uint8 (size[0], size[1], 3); area averaging where a side shrinks, bilinear where both grow. The input itself
        where it has that size.
    """
    if how not in FITS:
        raise FacetError(f"fit {how!r}: {did_you_mean(how, FITS)}")
    if image.shape[:2] == size:
        return image
    if how == "stretch":
        return _resize(image, size)
    return _crop(image, size) if how == "crop" else _pad(image, size)


def _resize(image: UInt8Array, size: tuple[int, int]) -> UInt8Array:
    shrinks = size[0] < image.shape[0] or size[1] < image.shape[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (size[1], size[0]), interpolation=how), np.uint8)


def _crop(image: UInt8Array, size: tuple[int, int]) -> UInt8Array:
    scale = max(size[0] / image.shape[0], size[1] / image.shape[1])
    height, width = (min(side, max(1, round(target / scale))) for side, target in zip(image.shape, size, strict=False))
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return _resize(np.ascontiguousarray(image[top : top + height, left : left + width]), size)


def _pad(image: UInt8Array, size: tuple[int, int]) -> UInt8Array:
    scale = min(size[0] / image.shape[0], size[1] / image.shape[1])
    height, width = (min(t, max(1, round(side * scale))) for side, t in zip(image.shape, size, strict=False))
    result = np.zeros((*size, 3), np.uint8)
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    result[top : top + height, left : left + width] = _resize(image, (height, width))
    return result
