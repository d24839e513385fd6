"""Everything in a file but its image bytes: read once through h5py, then by offset; and the two digests over it."""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xxhash
from numpy.typing import NDArray

from hdf5_helper import format as names
from hdf5_helper.errors import FacetError
from hdf5_helper.extents import Extents
from hdf5_helper.file_bytes import FileBytes
from hdf5_helper.layout import extents_of

#: Not in the index digest: image bytes and their checksums (the images digest covers these), and the seal itself.
_OUTSIDE_INDEX = (names.IMAGES, names.ENCODED_BYTES, names.CHECKSUM, names.SEAL)
_SHAPES = (names.ENCODED_LENGTH, names.ENCODED_HEIGHT, names.ENCODED_WIDTH, names.ENCODED_ORIENTATION)


@dataclass(frozen=True)
class Dset:
    """One dset of a file: its type and place."""

    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]
    extents: Extents

    @property
    def nbytes(self) -> int:
        """Logical bytes."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize


@dataclass(frozen=True)
class Index:
    """The structure of one file.

    Attributes:
        dsets: every dset by name, such as `labels/gender`.
        attributes: attributes by object name ("" is the root) and attribute name.
    """

    dsets: dict[str, Dset]
    attributes: dict[str, dict[str, Any]]

    def column(self, name: str, data: FileBytes) -> NDArray[Any]:
        """Reads a whole dset as a fresh array."""
        dset = self.dsets[name]
        content = b"".join(data.view(*piece) for piece in dset.extents.pieces(0, dset.nbytes))
        return np.frombuffer(content, dset.dtype).reshape(dset.shape).copy()

    def names_under(self, folder: str) -> tuple[str, ...]:
        """Gives the names in a group such as `labels/`, sorted."""
        return tuple(sorted(name.removeprefix(folder) for name in self.dsets if name.startswith(folder)))


@contextmanager
def damage_as_sentence(path: Path) -> Iterator[None]:
    """Turns what h5py and NumPy raise on damaged metadata into one sentence."""
    try:
        yield
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, IndexError, OverflowError, MemoryError) as error:
        if isinstance(error, OSError) and error.errno is not None and error.filename is not None:
            raise
        raise FacetError(f"{path}: its index is damaged; pack it again or restore it from a copy") from error


def read_index(path: Path) -> Index:
    """Reads names, types, places and attributes through h5py, which is closed again before this returns.

    Raises:
        FacetError: the metadata cannot be read.
    """
    dsets: dict[str, Dset] = {}
    attributes: dict[str, dict[str, Any]] = {}

    def visit(name: str, item: h5py.HLObject) -> None:
        attributes[name] = dict(item.attrs)
        if isinstance(item, h5py.Dataset):
            dsets[name] = Dset(item.dtype, item.shape, extents_of(item))

    with damage_as_sentence(path), h5py.File(path, "r", locking=False) as file:
        visit("", file)
        file.visititems(visit)
    return Index(dsets, attributes)


def check_places(path: Path, index: Index, file_size: int) -> None:
    """Refuses a file in which a dset has no place, or one beyond the file's end."""
    for name, dset in index.dsets.items():
        if not dset.extents.fits(dset.nbytes, file_size):
            raise FacetError(f"{path}: its index is damaged: no place for {name}")


def images_digest(index: Index, data: FileBytes) -> bytes:
    """Gives the XXH3-128 over the images' checksums and shapes (16 bytes); labels and splits do not change it."""
    digest = xxhash.xxh3_128()
    for name in (names.CHECKSUM, *_SHAPES):
        if name in index.dsets:
            _add_dset(digest, name, index, data)
    if names.IMAGES in index.dsets:
        digest.update(repr(index.dsets[names.IMAGES].shape).encode())
    return digest.digest()


def index_digest(index: Index, data: FileBytes) -> bytes:
    """Gives the XXH3-128 over every dset but image bytes, checksums and seal, and over all attributes (16 bytes)."""
    digest = xxhash.xxh3_128()
    for name in sorted(set(index.dsets) - set(_OUTSIDE_INDEX)):
        _add_dset(digest, name, index, data)
    for owner, attributes in sorted(index.attributes.items()):
        for name, value in sorted(attributes.items()):
            stored = np.asarray(value)
            _add(digest, f"{owner}@{name} {stored.dtype.str} {stored.shape}", stored.tobytes())
    return digest.digest()


def _add_dset(digest: xxhash.xxh3_128, name: str, index: Index, data: FileBytes) -> None:
    dset = index.dsets[name]
    _add(digest, f"{name} {dset.dtype.str} {dset.shape}", b"")
    for piece in dset.extents.pieces(0, dset.nbytes):
        digest.update(data.view(*piece))


def _add(digest: xxhash.xxh3_128, title: str, content: bytes) -> None:
    """Adds a title and a content with their lengths before them, so that no two lists of them read the same."""
    for part in (title.encode("utf-8", "surrogateescape"), content):
        digest.update(struct.pack("<Q", len(part)))
        digest.update(part)
