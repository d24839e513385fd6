"""Every image that is no ordinary JPEG to RGB pixels, by Pillow: it raises where OpenCV and libpng write to stderr.

The plugin of a format is called by its class and not through `Image.open`, which would try others and warns of large
images before it can be asked how large they are.
"""

import ctypes
import errno
import io
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
    _imaging,
)

from hdf5_helper.errors import FacetError
from hdf5_helper.images.pixel_limit import check_pixels

UInt8Array = NDArray[np.uint8]

_PLUGINS: dict[str, Callable[..., ImageFile.ImageFile]] = {
    "BMP": BmpImagePlugin.BmpImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "WebP": WebPImagePlugin.WebPImageFile,
}
_DAMAGED = "cannot be decoded: damaged or truncated image data"


def decode_by_pillow(kind: str, data: bytes) -> UInt8Array:
    """Gives the pixels of an image file as stored, not turned; only TIFF comes upright.

    Args:
        kind: BMP, GIF, JPEG, PNG, TIFF or WebP; anything else is refused.
        data: the file's bytes.

    Returns:
        uint8 (height, width, 3), RGB: of the first picture, without alpha, 16 bits by their upper eight.

    Raises:
        FacetError: damaged or truncated data, or more pixels than `pixel_limit` allows.
        OSError: ENOMEM, where this machine has no memory left for the image, which may be whole.
    """
    if kind not in _PLUGINS:
        raise FacetError("cannot be decoded: is no image of a known format")
    if kind == "TIFF":
        _silence_tiff()
    try:
        with _PLUGINS[kind](io.BytesIO(data)) as image:
            check_pixels(image.height, image.width)
            return _rgb(image)
    except FacetError:
        raise
    except MemoryError as error:
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)) from error
    except Exception:  # noqa: BLE001 - what damaged data makes of a decoder has no end of kinds
        raise FacetError(_DAMAGED) from None


@cache
def _silence_tiff() -> None:
    """Has neither Pillow's log nor its own libtiff write errors to stderr: these are raised as well.

    The library is found among those that Pillow's core was linked to; where it is not, as on Windows, it goes on
    writing.
    """
    logging.getLogger("PIL.TiffImagePlugin").addHandler(logging.NullHandler())
    with suppress(OSError, AttributeError):
        set_handler = ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler
        set_handler.argtypes, set_handler.restype = [ctypes.c_void_p], ctypes.c_void_p
        set_handler(None)


def _rgb(image: Any) -> UInt8Array:
    image.load()
    if image.mode.startswith("I;16"):
        return np.repeat((np.asarray(image) >> 8).astype(np.uint8)[..., None], 3, axis=2)
    image.info.pop("transparency", None)  # alpha is left out, and nobody warned of it
    return np.array(image.convert("RGB"), np.uint8)
