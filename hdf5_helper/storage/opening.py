"""Opens a sealed file: every way in which it can be the wrong one, unfinished or damaged is one sentence."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from hdf5_helper.errors import FacetError
from hdf5_helper.storage import file_format as names
from hdf5_helper.storage import seal
from hdf5_helper.storage.file_format import path_text
from hdf5_helper.storage.members import check_members, check_ranges
from hdf5_helper.storage.positional import FileBytes, open_bytes
from hdf5_helper.storage.seal import Seal
from hdf5_helper.storage.structure import (
    REMEDY,
    Structure,
    attribute_names,
    check_places,
    images_digest,
    index_digest,
    opened,
    read_structure,
)

_SIGNATURE = b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True)
class SealedFile:
    """An open file whose size, structure and index are as sealed; its images are not checked yet.

    Attributes:
        path: the file.
        structure: what lies where.
        attributes: root attributes as Python values.
        seal: digests.
        data: its bytes.
    """

    path: Path
    structure: Structure
    attributes: Mapping[str, Any]
    seal: Seal
    data: FileBytes


def open_sealed(path: Path) -> SealedFile:
    """Opens `path` and checks all but the images.

    Raises:
        FacetError: no such file, not HDF5, not Facet's, another major version, unfinished, truncated or damaged.
    """
    check_signature(path)
    with opened(path) as file:
        # a file of another kind or version may be laid out in any way, so these come first
        _check_kind(path, file)
        structure = read_structure(file)
    attributes = {name: python_value(value) for name, value in structure.attributes[""].items()}
    data = open_bytes(path)
    try:
        check_places(path, structure, data.size)
        sealed = _check_seal(path, structure, data)
        check_members(path, structure, attributes)
        check_ranges(path, structure, data)
    except BaseException:
        data.close()
        raise
    return SealedFile(path, structure, attributes, sealed, data)


def check_signature(path: Path) -> None:
    """Refuses what is no HDF5 file by its first bytes, and one that is shorter than it says."""
    if not path.exists():
        raise FacetError(f"{path}: no such file, expected one made by `facet pack`")
    if path.is_dir():
        raise FacetError(f"{path}: is a folder, expected a file made by `facet pack`")
    with open(path, "rb") as file:
        head = file.read(48)
        size = os.fstat(file.fileno()).st_size
    if not head.startswith(_SIGNATURE):
        raise FacetError(f"{path}: is no HDF5 file, expected one made by `facet pack`")
    # superblock version 2 or 3: the end of the file is the 8 bytes from byte 28 (HDF5 file format specification)
    stored = int.from_bytes(head[28:36], "little")
    if len(head) < 48 or (head[8] in (2, 3) and size < stored):
        raise FacetError(f"{path}: is truncated: {size:,} bytes of {max(stored, 48):,}; {REMEDY}")


def python_value(value: Any) -> Any:
    """Gives a stored attribute as text, number or tuple of them."""
    if isinstance(value, bytes):
        return path_text(value)
    if isinstance(value, np.ndarray):
        return tuple(python_value(item) for item in value.tolist())
    return value.item() if isinstance(value, np.generic) else value


def _check_kind(path: Path, file: h5py.File) -> None:
    # looked for in the list of names, since h5py takes a damaged attribute for a missing one
    present = attribute_names(file)
    if names.ATTRIBUTE_FORMAT not in present or python_value(file.attrs[names.ATTRIBUTE_FORMAT]) != names.FORMAT:
        raise FacetError(f"{path}: is HDF5 but not of Facet's format, expected a file made by `facet pack`")
    version = python_value(file.attrs[names.ATTRIBUTE_VERSION]) if names.ATTRIBUTE_VERSION in present else None
    if not isinstance(version, tuple) or version[:1] != names.VERSION[:1]:
        found = ".".join(map(str, version)) if isinstance(version, tuple) else version
        raise FacetError(f"{path}: has format version {found}, expected {names.VERSION[0]}.x, which this program reads")


def _check_seal(path: Path, structure: Structure, data: FileBytes) -> Seal:
    if names.SEAL not in structure.dsets or names.CHECKSUM not in structure.dsets:
        raise FacetError(f"{path}: its index is damaged: no seal or no checksums; {REMEDY}")
    try:
        sealed = seal.unpack(structure.column(names.SEAL, data).tobytes())
    except FacetError as reason:
        raise FacetError(f"{path}: {reason}; {REMEDY}") from None
    version = tuple(structure.attributes[""][names.ATTRIBUTE_VERSION].tolist())
    if sealed.version != version:
        was, says = (".".join(map(str, numbers)) for numbers in (sealed.version, version))
        raise FacetError(f"{path}: was sealed as version {was}, but its attribute says {says}; {REMEDY}")
    if sealed.file_size != data.size:
        raise FacetError(f"{path}: has {data.size:,} bytes but was sealed with {sealed.file_size:,}; {REMEDY}")
    if images_digest(structure, data) != sealed.images_digest:
        raise FacetError(f"{path}: its checksums are damaged; {REMEDY}")
    if index_digest(structure, data) != sealed.index_digest:
        raise FacetError(f"{path}: its index is damaged, labels or paths are not as sealed; {REMEDY}")
    return sealed
