"""What images look like, in 64 bits and in a thumbnail, so that re-encoded and resized copies are found again.

The 64 bits are a difference hash: the image is brought to 9×8 grey pixels, and each bit says whether a pixel is darker
than its right neighbour (dHash: N. Krawetz, "Kind of Like That", The Hacker Factor Blog, 2013). Aligned faces are lit
alike and framed alike, so many different ones have near hashes. A hash is therefore only a proposal; `likeness`, the
correlation of the edges in two thumbnails, decides.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from hdf5_helper.cores import available_cores
from hdf5_helper.hashing import UInt64Array
from hdf5_helper.progress import Progress
from hdf5_helper.reading.reader import HDF5Reader
from hdf5_helper.storage.file_format import ATTRIBUTE_CHANNELS_FIRST

UInt8Array = NDArray[np.uint8]

_READ_SIDE = 64  # encoded images are read at this size, so that large ones may be decoded at reduced scale
_THUMBNAIL_SIDE = 16
_BATCH = 256
_PAIRS = 1024  # compared at a time: their edges take 4 MB


@dataclass(frozen=True)
class Prints:
    """What every example of a file looks like.

    Attributes:
        hashes: uint64 (N,), difference hashes.
        thumbnails: uint8 (N, 16, 16), grey.
    """

    hashes: UInt64Array
    thumbnails: UInt8Array


def print_images(path: Path, progress: Progress) -> Prints:
    """Reads all images of a file once, on all cores, and gives their prints; raises as HDF5Reader does."""
    with open_small(path, (_READ_SIDE, _READ_SIDE), "stretch") as reader:
        count = len(reader)
        prints = Prints(np.zeros(count, np.uint64), np.zeros((count, _THUMBNAIL_SIDE, _THUMBNAIL_SIDE), np.uint8))
        progress.start("looking at images", count)
        batches = [np.arange(first, min(first + _BATCH, count)) for first in range(0, count, _BATCH)]
        for rows, hashes, thumbnails in _printed(reader, batches):
            prints.hashes[rows], prints.thumbnails[rows] = hashes, thumbnails
            progress.advance(len(rows))
        progress.stop()
    return prints


def open_small(path: Path, size: tuple[int, int], fit: str) -> HDF5Reader:
    """Opens so that images come at one size: encoded ones at `size`, raw ones at their own; one thread a `read`."""
    reader = HDF5Reader(path, workers=1)
    if reader.storage == "raw":
        return reader
    reader.close()
    return HDF5Reader(path, image_size=size, fit=fit, workers=1)


def read_upright(reader: HDF5Reader, rows: NDArray[np.int64]) -> UInt8Array:
    """Gives the images of `rows` as uint8 (B, H, W, 3), whatever order of axes the file asks its readers for."""
    images = reader.read(rows)
    return images.transpose(0, 2, 3, 1) if reader.attributes.get(ATTRIBUTE_CHANNELS_FIRST) else images


def _printed(
    reader: HDF5Reader, batches: list[NDArray[np.int64]]
) -> Iterator[tuple[NDArray[np.int64], UInt64Array, UInt8Array]]:
    def look(rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], UInt64Array, UInt8Array]:
        greys = to_grey(read_upright(reader, rows))
        return rows, difference_hashes(greys), _shrunk(greys, _THUMBNAIL_SIDE, _THUMBNAIL_SIDE)

    workers = available_cores()
    with ThreadPoolExecutor(workers, "facet-look") as threads:
        # a few batches at a time, so that an error or Ctrl-C does not wait for all of them
        for first in range(0, len(batches), 2 * workers):
            yield from threads.map(look, batches[first : first + 2 * workers])


def to_grey(images: UInt8Array) -> UInt8Array:
    """Gives images, uint8 (B, H, W, 3), RGB, as uint8 (B, H, W), in one call for all of them."""
    count, height, width = images.shape[:3]
    tall = np.ascontiguousarray(images).reshape(count * height, width, 3)
    return np.asarray(cv2.cvtColor(tall, cv2.COLOR_RGB2GRAY), np.uint8).reshape(count, height, width)


def difference_hashes(greys: UInt8Array) -> UInt64Array:
    """Gives the dHash of each grey image, uint8 (B, H, W), as uint64 (B,).

    Row by row, from the highest bit on, 1 where a pixel of the 9×8 is darker than its right neighbour.
    """
    small = _shrunk(greys, 8, 9)
    bits = (small[:, :, :-1] < small[:, :, 1:]).reshape(len(greys), 64)
    return np.packbits(bits, axis=1).view(">u8").reshape(-1).astype(np.uint64)


def likeness(left: UInt8Array, right: UInt8Array) -> NDArray[np.float32]:
    """Gives how alike the edges in pairs of thumbnails are: the cosine between their differences along both axes.

    Args:
        left: uint8 (k, 16, 16), the one thumbnail of each pair.
        right: uint8 (k, 16, 16), the other.

    Returns:
        float32 (k,), 1 for the same, about 0 for unrelated ones; brightness and contrast do not matter. 0 where one
        has no edges at all.
    """
    result = np.zeros(len(left), np.float32)
    for first in range(0, len(left), _PAIRS):
        part = slice(first, first + _PAIRS)
        one, other = _edges(left[part]), _edges(right[part])
        lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
        result[part] = np.einsum("ij,ij->i", one, other) / np.maximum(lengths, 1e-6)
    return result


def _edges(thumbnails: UInt8Array) -> NDArray[np.float32]:
    values = thumbnails.astype(np.float32)
    count = len(values)
    along = [np.diff(values, axis=axis).reshape(count, -1) for axis in (1, 2)]
    return np.concatenate(along, axis=1)


def _shrunk(greys: UInt8Array, height: int, width: int) -> UInt8Array:
    return np.stack([cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA) for grey in greys])
