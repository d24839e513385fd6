"""From pixels to the bytes of image files, the ordinary ones and the odd ones of real trees."""

import io

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

UInt8Array = NDArray[np.uint8]

_QUALITY = 92
_EXIF_ORIENTATION = 0x0112


def jpeg(image: UInt8Array) -> bytes:
    """Gives `image` (height, width, 3), RGB, as a JPEG file."""
    return _encode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])


def grey_jpeg(image: UInt8Array) -> bytes:
    """Gives `image` as a JPEG file of one channel."""
    return _encode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])


def png_16_bit(image: UInt8Array) -> bytes:
    """Gives `image` as a PNG file of 16 bits a channel."""
    return _encode(".png", image[..., ::-1].astype(np.uint16) * 257, [])


def cmyk_jpeg(image: UInt8Array) -> bytes:
    """Gives `image` as a JPEG file in printing colours."""
    return _save(Image.fromarray(image).convert("CMYK"), "JPEG")


def gif(image: UInt8Array) -> bytes:
    """Gives `image` as a GIF file."""
    return _save(Image.fromarray(image), "GIF")


def rotated_jpeg(image: UInt8Array) -> bytes:
    """Gives `image` as a JPEG file that lies on its side, and whose EXIF orientation 6 says how to turn it upright."""
    exif = Image.Exif()
    exif[_EXIF_ORIENTATION] = 6
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(np.rot90(image))).save(buffer, "JPEG", quality=_QUALITY, exif=exif)
    return buffer.getvalue()


def _encode(suffix: str, image: NDArray[np.generic], options: list[int]) -> bytes:
    _done, data = cv2.imencode(suffix, np.ascontiguousarray(image), options)
    return bytes(data)


def _save(image: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()
