"""From an image file's bytes to RGB uint8 pixels: the rules of reading, in one place.

Grey, palette, 16-bit, alpha and CMYK images all become RGB uint8, and the EXIF orientation is applied here and not by
the decoder, so that every reader of the file format can do the same from the stored number. JPEG is decoded by
simplejpeg; every other format, and a JPEG of a kind that simplejpeg does not know, by Pillow. Where both can decode an
image they give the same pixels.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from hdf5_helper.errors import FacetError
from hdf5_helper.images.exif import jpeg_orientation, png_orientation, webp_orientation
from hdf5_helper.images.fit import Size, fit
from hdf5_helper.images.jpeg import Decoded, Target, UnusualJpegError, decode_jpeg
from hdf5_helper.images.jpeg_segments import Bytes, has_end, without_metadata

UInt8Array = NDArray[np.uint8]

_JPEG = b"\xff\xd8\xff"
_SIGNATURES = (
    (_JPEG, "JPEG"),
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

# of what is no JPEG; TIFF is not here: its decoder turns it upright
_ORIENTATIONS: dict[str, Callable[[bytes], int]] = {"PNG": png_orientation, "WebP": webp_orientation}


def image_format(data: Bytes) -> str:
    """Names the image format by its first bytes: JPEG, PNG, WebP, BMP, GIF, TIFF or `unknown`."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    return next((name for signature, name in _SIGNATURES if data[: len(signature)] == signature), "unknown")


def exif_orientation(data: bytes) -> int:
    """Gives the EXIF orientation that is left to apply after decoding, 1–8 (CIPA DC-008, tag 0x0112).

    It is 1 where an image has none, and for TIFF, which the decoder turns itself.
    """
    if data[:3] == _JPEG:
        return jpeg_orientation(data)
    find = _ORIENTATIONS.get(image_format(data))
    return find(data) if find else 1


def orient(image: UInt8Array, orientation: int) -> UInt8Array:
    """Turns stored pixels (height, width, 3) upright, as EXIF orientation 1–8 asks."""
    if orientation in (5, 6, 7, 8):
        image = image.transpose(1, 0, 2)
    if orientation in (2, 6, 3, 7):
        image = image[:, ::-1]
    if orientation in (4, 8, 3, 7):
        image = image[::-1]
    return np.ascontiguousarray(image)


def decode_stored(data: Bytes, target: Target | None = None, out: UInt8Array | None = None) -> Decoded:
    """Gives the pixels of an encoded image as stored, not turned upright (but for TIFF).

    Args:
        data: the image file's bytes.
        target: what the picture is for, turned as it is stored; a JPEG is then decoded at the scale of `fit.reduction`.
        out: C-contiguous memory, used where it has the pixels' shape and the decoder can.

    Returns:
        The pixels, which are `out` itself where that was used, and the size in full.

    Raises:
        FacetError: no image, a damaged or truncated one, or one of too many pixels.
    """
    if data[:3] == _JPEG:
        try:
            return decode_jpeg(data, target, out)
        except UnusualJpegError:
            if not has_end(data):  # Pillow does not always notice that
                raise FacetError("cannot be decoded: damaged or truncated image data") from None
            data = without_metadata(data)  # Pillow warns of damaged EXIF data
    # loaded where it is needed only: most trees hold nothing but JPEG
    from hdf5_helper.images.pillow_images import decode_by_pillow

    pixels = decode_by_pillow(image_format(data), bytes(data))
    return Decoded(pixels, (pixels.shape[0], pixels.shape[1]))


def decode_to(
    data: Bytes,
    size: Size,
    how: str = "stretch",
    orientation: int = 1,
    *,
    out: UInt8Array | None = None,
) -> UInt8Array:
    """Gives the pixels of an encoded image upright and at a size: the one way for raw storage, reading and predicting.

    The picture is fitted as it is stored and turned afterwards, which is less to turn.

    Args:
        data: the image file's bytes.
        size: (height, width) of the result.
        how: `stretch`, `crop` or `pad`, see `fit`.
        orientation: EXIF orientation 1–8.
        out: memory for the result, uint8 (size[0], size[1], 3), C-contiguous.

    Returns:
        uint8 (size[0], size[1], 3), RGB; `out` where that is given.

    Raises:
        FacetError: as `decode`.
    """
    if orientation == 1:
        pixels, whole = decode_stored(data, (size, how), out)
        return pixels if pixels is out else fit(pixels, size, how, whole=whole, out=out)
    stored_size = (size[1], size[0]) if orientation > 4 else size
    pixels, whole = decode_stored(data, (stored_size, how))
    upright = orient(fit(pixels, stored_size, how, whole=whole), orientation)
    if out is None:
        return upright
    out[:] = upright
    return out


def decode(data: Bytes | UInt8Array, orientation: int = 1) -> UInt8Array:
    """Gives the pixels of an encoded image in full size, upright.

    Args:
        data: the image file's bytes.
        orientation: EXIF orientation 1–8.

    Returns:
        uint8 (height, width, 3), RGB.

    Raises:
        FacetError: no image, a damaged or truncated one, or one of too many pixels.
    """
    pixels = decode_stored(data.data if isinstance(data, np.ndarray) else data).pixels
    return pixels if orientation == 1 else orient(pixels, orientation)


def decode_file(data: bytes) -> UInt8Array:
    """Gives the upright pixels of a whole image file, uint8 (height, width, 3), RGB; raises as `decode`."""
    return decode(data, exif_orientation(data))


def decode_file_to(data: bytes, size: Size, how: str = "stretch") -> UInt8Array:
    """Gives the upright pixels of a whole image file at a size; arguments, result and errors as `decode_to`."""
    return decode_to(data, size, how, exif_orientation(data))
