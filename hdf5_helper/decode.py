"""From an image file's bytes to RGB uint8 pixels: the rules of reading, in one place.

Grey, palette, 16-bit, alpha and CMYK images all become RGB uint8, and the EXIF orientation is applied here and not by
the decoder, so that every reader of the file format can do the same from the stored number.
"""

import io

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hdf5_helper.errors import FacetError

UInt8Array = NDArray[np.uint8]

_SIGNATURES = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"BM", "BMP"),
    (b"GIF8", "GIF"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
)

#: Formats whose files may lie in encoded storage as they are.
ENCODED_FORMATS = ("JPEG", "PNG", "WebP", "BMP")

#: Suffixes of files that are taken for images, in lower case; other files in a tree are ignored and counted.
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")

_EXIF_ORIENTATION = 0x0112
# What stands in a file of each format that may have EXIF data; anywhere, since WebP keeps it behind the image and PNG
# may. ImageMagick writes it into PNG as text. TIFF is not here: OpenCV turns it upright whatever it is told.
_EXIF_MARKS = {"JPEG": (b"Exif",), "PNG": (b"eXIf", b"Raw profile type exif"), "WebP": (b"EXIF",)}
_FLAGS = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION


def image_format(data: bytes) -> str:
    """Names the image format by its first bytes: JPEG, PNG, WebP, BMP, GIF, TIFF or `unknown`."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    return next((name for signature, name in _SIGNATURES if data.startswith(signature)), "unknown")


def exif_orientation(data: bytes) -> int:
    """Gives the EXIF orientation that is left to apply after decoding, 1–8 (CIPA DC-008, tag 0x0112).

    It is 1 where an image has none, and for TIFF, which the decoder turns itself.
    """
    if not any(mark in data for mark in _EXIF_MARKS.get(image_format(data), ())):
        return 1
    try:
        with Image.open(io.BytesIO(data)) as image:
            value = image.getexif().get(_EXIF_ORIENTATION, 1)
    except Exception:  # noqa: BLE001 - a damaged EXIF block leaves the picture usable
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def orient(image: UInt8Array, orientation: int) -> UInt8Array:
    """Turns stored pixels (height, width, 3) upright, as EXIF orientation 1–8 asks."""
    if orientation in (5, 6, 7, 8):
        image = image.transpose(1, 0, 2)
    if orientation in (2, 6, 3, 7):
        image = image[:, ::-1]
    if orientation in (4, 8, 3, 7):
        image = image[::-1]
    return np.ascontiguousarray(image)


def decode(data: bytes | memoryview | UInt8Array, orientation: int = 1) -> UInt8Array:
    """Gives the pixels of an encoded image, upright.

    Args:
        data: the image file's bytes.
        orientation: EXIF orientation 1–8.

    Returns:
        uint8 (height, width, 3), RGB.

    Raises:
        FacetError: the bytes are no image, or a truncated one.
    """
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), _FLAGS)
    except cv2.error as error:
        raise FacetError(f"cannot be decoded: {error.err}") from None
    if pixels is None:
        raise FacetError("cannot be decoded: damaged or truncated image data")
    return orient(np.asarray(pixels, np.uint8), orientation)


def decode_file(data: bytes) -> UInt8Array:
    """Gives the upright pixels of a whole image file, uint8 (height, width, 3), RGB; raises as `decode`."""
    return decode(data, exif_orientation(data))
