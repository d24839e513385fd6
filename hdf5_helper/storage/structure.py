"""What lies where in a file: names, types, places and attributes, read once through h5py; and the two digests."""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xxhash
from h5py import h5, h5a, h5o
from numpy.typing import NDArray

from hdf5_helper.errors import FacetError
from hdf5_helper.storage import file_format as names
from hdf5_helper.storage.file_format import path_bytes, path_text
from hdf5_helper.storage.file_layout import Extents, extents_of
from hdf5_helper.storage.positional import FileBytes

#: Not in the index digest: image bytes and their checksums (the images digest covers these), and the seal itself.
_OUTSIDE_INDEX = (names.IMAGES, names.ENCODED_BYTES, names.CHECKSUM, names.SEAL)
_SHAPES = (names.ENCODED_LENGTH, names.ENCODED_HEIGHT, names.ENCODED_WIDTH, names.ENCODED_ORIENTATION)


#: How every sentence about a damaged file ends.
REMEDY = "pack it again or restore it from a copy"


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
class Structure:
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
        raise FacetError(f"{path}: its index is damaged; {REMEDY}") from error


@contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """Gives `path` open in h5py for as long as the context lasts; what is damaged there becomes one sentence."""
    with damage_as_sentence(path), _without_lock(path) as file:
        yield file


def _without_lock(path: Path) -> h5py.File:
    """Opens without a lock; libhdf5 wants the flags of whoever has the same file open in this process."""
    for locking in (False, None):
        try:
            return h5py.File(path, "r", locking=locking)
        except OSError as error:
            if "flag values don't match" not in str(error):
                raise
    return h5py.File(path, "r", locking=True)


def read_structure(file: h5py.File) -> Structure:
    """Reads names, types, places and attributes of an open file.

    Objects and attributes are visited in the order in which they are stored: to sort them, libhdf5 1.14 builds a table
    that it frees before it is filled where the metadata are damaged, and the process dies.
    """
    dsets: dict[str, Dset] = {}
    attributes = {"": _attributes(file)}

    def visit(stored_name: bytes) -> None:
        name = path_text(stored_name)
        item = file[stored_name]
        attributes[name] = _attributes(item)
        if isinstance(item, h5py.Dataset):
            dsets[name] = Dset(item.dtype, item.shape, extents_of(item))

    h5o.visit(file.id, visit, order=h5.ITER_NATIVE)
    return Structure(dsets, attributes)


def attribute_names(item: h5py.HLObject) -> list[str]:
    """Gives the names of the attributes of an open object, in no order; raises what h5py raises on damaged ones."""
    stored_names: list[bytes] = []
    h5a.iterate(item.id, stored_names.append, order=h5.ITER_NATIVE)
    return [path_text(name) for name in stored_names]


def _attributes(item: h5py.HLObject) -> dict[str, Any]:
    return {name: item.attrs[path_bytes(name)] for name in attribute_names(item)}


def check_places(path: Path, structure: Structure, file_size: int) -> None:
    """Refuses a file in which a dset lies elsewhere than this format puts it, or beyond the file's end."""
    for name, dset in structure.dsets.items():
        if not dset.extents.fits(dset.nbytes, file_size):
            raise FacetError(
                f"{path}: no place for {name} inside the file, expected its bytes allocated, unfiltered, and in one run"
                f" or in chunks along the first dimension; {REMEDY}"
            )


def images_digest(structure: Structure, data: FileBytes) -> bytes:
    """Gives the XXH3-128 over the images' checksums and shapes (16 bytes); labels and splits do not change it."""
    digest = xxhash.xxh3_128()
    for name in (names.CHECKSUM, *_SHAPES):
        if name in structure.dsets:
            _add_dset(digest, name, structure, data)
    if names.IMAGES in structure.dsets:
        digest.update(repr(structure.dsets[names.IMAGES].shape).encode())
    return digest.digest()


def index_digest(structure: Structure, data: FileBytes) -> bytes:
    """Gives the XXH3-128 over every dset but image bytes, checksums and seal, and over all attributes (16 bytes)."""
    digest = xxhash.xxh3_128()
    for name in sorted(set(structure.dsets) - set(_OUTSIDE_INDEX)):
        _add_dset(digest, name, structure, data)
    for owner, attributes in sorted(structure.attributes.items()):
        for name, value in sorted(attributes.items()):
            stored = np.asarray(value)
            _add(digest, f"{owner}@{name} {stored.dtype.str} {stored.shape}", stored.tobytes())
    return digest.digest()


def _add_dset(digest: xxhash.xxh3_128, name: str, structure: Structure, data: FileBytes) -> None:
    dset = structure.dsets[name]
    _add(digest, f"{name} {dset.dtype.str} {dset.shape}", b"")
    for piece in dset.extents.pieces(0, dset.nbytes):
        digest.update(data.view(*piece))


def _add(digest: xxhash.xxh3_128, title: str, content: bytes) -> None:
    """Adds a title and a content with their lengths before them, so that no two lists of them read the same."""
    for part in (title.encode("utf-8", "surrogateescape"), content):
        digest.update(struct.pack("<Q", len(part)))
        digest.update(part)
