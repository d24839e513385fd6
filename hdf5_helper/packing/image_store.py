"""How an image is kept in a file: its own bytes, or its pixels at one size; and what is noted of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import xxhash
from numpy.typing import NDArray

from hdf5_helper.errors import FacetError
from hdf5_helper.images.decode import ENCODED_FORMATS, decode_file, decode_to, exif_orientation, image_format
from hdf5_helper.images.fit import fit
from hdf5_helper.images.image_facts import ImageFacts, channel_mean, examine
from hdf5_helper.sources.records import RejectedError
from hdf5_helper.storage import file_format as names

UInt8Array = NDArray[np.uint8]

#: An image file's bytes, or upright pixels (height, width, 3), RGB.
Image = bytes | UInt8Array

#: What is noted of every image, with the dtype of its dset.
FACTS: dict[str, Any] = {names.CHECKSUM: np.uint64, names.CHANNEL_MEAN: np.float32}
ENCODED_FACTS: dict[str, Any] = FACTS | {
    names.ENCODED_LENGTH: np.uint32,
    names.ENCODED_HEIGHT: np.uint16,
    names.ENCODED_WIDTH: np.uint16,
    names.ENCODED_ORIENTATION: np.uint8,
}

_JPEG_QUALITY = 95  # of images that --max-size makes smaller: no difference that a face network would see


@dataclass(frozen=True)
class EncodedStore:
    """Keeps the bytes of image files.

    Attributes:
        max_size: an image whose longer side has more pixels is shrunk to that, where its file becomes shorter.
    """

    max_size: int | None = None

    @property
    def facts(self) -> dict[str, Any]:
        """What `keep` notes, with dtypes."""
        return ENCODED_FACTS

    def keep(self, image: Image, room: UInt8Array) -> dict[str, Any]:
        """Puts the bytes to store of an image into `room`, which they need not fill; pixels become a PNG file.

        Args:
            image: as it comes.
            room: uint8 (n,), where it is kept.

        Returns:
            The facts.

        Raises:
            RejectedError: it cannot be decoded, or is of a format that this storage does not keep.
        """
        data = image if isinstance(image, bytes) else _encoded(image, ".png")
        check_format(data)
        facts = _examined(data)
        if self.max_size is not None and max(facts.height, facts.width) > self.max_size:
            smaller = _shrunk(data, self.max_size)
            if len(smaller) < len(data):
                data, facts = smaller, _examined(smaller)
        room[: len(data)] = np.frombuffer(data, np.uint8)
        room[len(data) :] = 0
        return {
            names.CHECKSUM: xxhash.xxh3_64_intdigest(data),
            names.CHANNEL_MEAN: facts.channel_mean,
            names.ENCODED_LENGTH: len(data),
            names.ENCODED_HEIGHT: facts.height,
            names.ENCODED_WIDTH: facts.width,
            names.ENCODED_ORIENTATION: facts.orientation,
        }


@dataclass(frozen=True)
class RawStore:
    """Keeps pixels.

    Attributes:
        size: (height, width).
        fit: `stretch`, `crop` or `pad`.
    """

    size: tuple[int, int]
    fit: str

    @property
    def facts(self) -> dict[str, Any]:
        """What `keep` notes, with dtypes."""
        return FACTS

    def keep(self, image: Image, room: UInt8Array) -> dict[str, Any]:
        """Puts the pixels to store of an image into `room`, which they fill; otherwise as EncodedStore's."""
        pixels = room.reshape(*self.size, 3)
        if isinstance(image, np.ndarray):
            fit(image, self.size, self.fit, out=pixels)
        else:
            with _rejected():
                decode_to(image, self.size, self.fit, exif_orientation(image), out=pixels)
        return {names.CHECKSUM: xxhash.xxh3_64_intdigest(room.data), names.CHANNEL_MEAN: channel_mean(pixels)}


ImageStore = EncodedStore | RawStore


def check_format(data: bytes) -> None:
    """Rejects what encoded storage does not keep, by name."""
    kind = image_format(data)
    if kind not in ENCODED_FORMATS:
        found = "is no image" if kind == "unknown" else f"is {kind}"
        raise RejectedError(f"{found}, expected {', '.join(ENCODED_FORMATS)} (or --storage raw)")


@contextmanager
def _rejected() -> Iterator[None]:
    """Makes a damaged image a reject."""
    try:
        yield
    except FacetError as error:
        raise RejectedError(str(error)) from None


def _examined(data: bytes) -> ImageFacts:
    with _rejected():
        return examine(data)


def _shrunk(data: bytes, longest: int) -> bytes:
    """Gives an upright JPEG whose longer side has `longest` pixels."""
    with _rejected():
        pixels = decode_file(data)
    scale = longest / max(pixels.shape)
    height, width = (max(1, round(side * scale)) for side in pixels.shape[:2])
    return _encoded(fit(pixels, (height, width)), ".jpg", cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY)


def _encoded(pixels: UInt8Array, suffix: str, *parameters: int) -> bytes:
    """Gives pixels as an image file."""
    done, data = cv2.imencode(suffix, pixels[..., ::-1], parameters)
    if not done:
        raise RejectedError(f"cannot be encoded as {suffix}")
    return bytes(data)
