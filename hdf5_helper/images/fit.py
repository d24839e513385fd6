"""The one function that brings an image to a size: packer, reader, trainer and predict all call it."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from hdf5_helper.errors import FacetError, did_you_mean

UInt8Array = NDArray[np.uint8]

#: (height, width) in pixels.
Size = tuple[int, int]

#: How an image of another shape fits: squeezed, cut at the longer sides, or framed in black.
FITS = ("stretch", "crop", "pad")

_LEAST_RATIO = 4  # of the sides, for the first reduction: at least twice the result remains


def parse_size(text: str, what: str = "image size") -> Size:
    """Reads `150` or `218x178` as (height, width) in pixels; `what` it is, for the sentence.

    Raises:
        FacetError: anything else, or a side outside 1–16384.
    """
    parts = text.lower().split("x")
    if len(parts) not in (1, 2) or not all(part.isdecimal() and 1 <= int(part) <= 16384 for part in parts):
        raise FacetError(f"{what} {text!r}: expected one side such as 150, or HEIGHTxWIDTH such as 218x178")
    return int(parts[0]), int(parts[-1])


def reduction(stored: Size, size: Size, how: str = "stretch") -> int:
    """Gives by what a JPEG may be shrunk while it is decoded, before `fit` brings it to `size`: 1, 2, 4 or 8.

    At least twice the result remains, so that averaging areas still decides how it looks. Measured as PSNR against
    decoding in full and averaging areas, for all three fits to squares of 64, 96, 128 and 150 pixels: originals of
    Adience, about 600×600, are at 46 to 55 dB over all images and no image is below 39 dB (150 pixels, `stretch`: 53
    and 49 dB); portraits of 183 to 1,280 pixels are at 47 to 50 dB, and none is below 38 dB. Where 1.5 to 2 times the
    result remain, images fall to 37 dB; where 1 to 1.5 times, to 31 dB.

    Args:
        stored: (height, width) of the image in the file.
        size: (height, width) wanted, turned as the stored image is.
        how: `stretch`, `crop` or `pad`; what `pad` makes of an image fills `size` in one direction only.
    """
    ratios = stored[0] // size[0], stored[1] // size[1]
    ratio = max(ratios) if how == "pad" else min(ratios)
    return 8 if ratio >= 16 else 4 if ratio >= 8 else 2 if ratio >= _LEAST_RATIO else 1


def in_full(stored: NDArray[np.integer[Any]], size: Size, how: str) -> NDArray[np.bool_]:
    """Says for which of the images with sides `stored`, integers (n, 2), `reduction` is 1; bool (n,)."""
    ratios = stored // np.array(size)
    ratio = ratios.max(axis=1) if how == "pad" else ratios.min(axis=1)
    return np.asarray(ratio < _LEAST_RATIO)


def fit(
    image: UInt8Array,
    size: Size,
    how: str = "stretch",
    *,
    whole: Size | None = None,
    out: UInt8Array | None = None,
) -> UInt8Array:
    """Gives `image` at `size`.

    Args:
        image: uint8 (height, width, 3).
        size: (height, width) of the result.
        how: `stretch` changes the ratio of the sides, `crop` cuts the middle out, `pad` adds black at both ends.
        whole: (height, width) in full of an image that was decoded at the scale of `reduction`.
        out: memory for the result, uint8 (size[0], size[1], 3), C-contiguous.

    Returns:
        uint8 (size[0], size[1], 3); area averaging where a side shrinks, bilinear where both grow: `out` where that is
        given, else the input itself where it has that size.
    """
    if how not in FITS:
        raise FacetError(f"fit {how!r}: {did_you_mean(how, FITS)}")
    if image.shape[:2] == size:
        if out is None:
            return image
        out[:] = image
        return out
    if out is None:
        out = np.empty((*size, 3), np.uint8)
    whole = whole or (image.shape[0], image.shape[1])
    step = reduction(whole, size, how) if image.shape[:2] != whole else 1
    if how == "crop":
        _resize(_middle(image, whole, size), out)
    elif how == "pad":
        out[:] = 0
        _resize(image, _framed(out, whole), (whole[0] / step, whole[1] / step))
    else:
        _resize(image, out, (whole[0] / step, whole[1] / step))
    return out


def _resize(image: UInt8Array, out: UInt8Array, sides: tuple[float, float] | None = None) -> None:
    """Fills `out`; `sides` are those of the picture, where the last row or column of `image` is only partly of it."""
    shrinks = out.shape[0] < image.shape[0] or out.shape[1] < image.shape[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    if sides is None or sides == image.shape[:2]:
        cv2.resize(image, out.shape[1::-1], dst=out, interpolation=how)
    else:  # with scales instead of a size OpenCV rounds to that size, and averages over fractions of pixels
        cv2.resize(image, None, out, out.shape[1] / sides[1], out.shape[0] / sides[0], how)


def _middle(image: UInt8Array, whole: Size, size: Size) -> UInt8Array:
    """Gives the largest part of the ratio of `size` out of the middle of `image`.

    It begins and ends at multiples of the reduction, so that it is the same part of an image decoded in full.
    """
    step = reduction(whole, size, "crop")
    scale = max(size[0] / whole[0], size[1] / whole[1])
    sides = [min(side, max(1, round(target / scale))) // step for side, target in zip(whole, size, strict=True)]
    starts = [(side // step - part) // 2 for side, part in zip(whole, sides, strict=True)]
    zoom = step if image.shape[:2] == whole else 1
    (top, left), (height, width) = ((value * zoom for value in values) for values in (starts, sides))
    return image[top : top + height, left : left + width]


def _framed(out: UInt8Array, whole: Size) -> UInt8Array:
    """Gives the largest part of the ratio of `whole` out of the middle of `out`."""
    size = out.shape[:2]
    scale = min(size[0] / whole[0], size[1] / whole[1])
    height, width = (min(t, max(1, round(side * scale))) for side, t in zip(whole, size, strict=True))
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    return out[top : top + height, left : left + width]
