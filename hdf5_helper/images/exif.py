"""The EXIF orientation of an image file, found without decoding it.

EXIF data is a small TIFF file (CIPA DC-008, "Exif 2.32"), which JPEG keeps in a segment, PNG and WebP in a chunk.
"""

import struct
import zlib
from collections.abc import Iterator

from hdf5_helper.images.jpeg_segments import APP1, segments

_ORIENTATION = 0x0112
_ENTRY_TYPES = {1: "B", 3: "H", 4: "I"}  # of a whole number: byte, short, long
_TIFF_ORDERS = {b"II*\x00": "<", b"MM\x00*": ">"}
_PREFIX = b"Exif\x00\x00"
# ImageMagick writes EXIF data into PNG as text: a line "exif", its length, and hexadecimal digits
_PNG_TEXT = b"Raw profile type exif\x00"
_MOST_TEXT = 1 << 20


def jpeg_orientation(data: bytes) -> int:
    """Gives the EXIF orientation of a JPEG file, 1–8; 1 where it has none."""
    for marker, start, stop in segments(data):
        if marker == APP1 and data.startswith(_PREFIX, start):
            return tiff_orientation(data[start + len(_PREFIX) : stop])
    return 1


def png_orientation(data: bytes) -> int:
    """Gives the EXIF orientation of a PNG file, 1–8; 1 where it has none."""
    for kind, content in _png_chunks(data):
        if kind == b"eXIf":
            return tiff_orientation(content)
        if kind in (b"tEXt", b"zTXt") and content.startswith(_PNG_TEXT):
            return tiff_orientation(_profile(kind, content[len(_PNG_TEXT) :]))
    return 1


def webp_orientation(data: bytes) -> int:
    """Gives the EXIF orientation of a WebP file, 1–8; 1 where it has none."""
    at = 12
    while at + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, at)
        if kind == b"EXIF":
            return tiff_orientation(data[at + 8 : at + 8 + length])
        at += 8 + length + length % 2
    return 1


def tiff_orientation(exif: bytes) -> int:
    """Gives the orientation that EXIF data say, 1–8; 1 where they say none or are damaged."""
    exif = exif.removeprefix(_PREFIX)
    order = _TIFF_ORDERS.get(exif[:4])
    if order is None:
        return 1
    try:
        first = struct.unpack_from(f"{order}I", exif, 4)[0]
        for entry in range(struct.unpack_from(f"{order}H", exif, first)[0]):
            at = first + 2 + 12 * entry
            tag, kind, count = struct.unpack_from(f"{order}HHI", exif, at)
            if tag == _ORIENTATION and count == 1 and kind in _ENTRY_TYPES:
                value = struct.unpack_from(order + _ENTRY_TYPES[kind], exif, at + 8)[0]
                return value if 1 <= value <= 8 else 1
    except struct.error:
        return 1
    return 1


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 8
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind in (b"eXIf", b"tEXt", b"zTXt"):
            yield kind, data[at + 8 : at + 8 + length]
        at += 12 + length


def _profile(kind: bytes, text: bytes) -> bytes:
    try:
        if kind == b"zTXt":
            text = zlib.decompressobj().decompress(text[1:], _MOST_TEXT)
        return bytes.fromhex(b"".join(text.split(b"\n")[3:]).decode("ascii"))
    except (zlib.error, ValueError):
        return b""
