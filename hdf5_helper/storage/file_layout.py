"""Lays an HDF5 file out: every dset gets its place before a byte of data is written, and libhdf5 is then done.

Early allocation without fill values fixes all offsets, so that any number of workers can fill the file by `pwrite`,
and a kill can never meet libhdf5 in the middle of its own metadata.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
from h5py import h5d, h5f, h5g, h5p, h5s, h5t
from numpy.typing import NDArray

from hdf5_helper.storage.file_format import PAGE

#: What an attribute may hold; strings become fixed-length bytes (UTF-8).
Attribute = str | int | float | tuple[str, ...] | tuple[int, ...]


@dataclass(frozen=True)
class Extents:
    """The place of a dset whose chunks span all dimensions but the first, so that its bytes run on across them.

    Attributes:
        chunk_bytes: bytes of a chunk; a contiguous dset is one chunk.
        offsets: int64 (chunks,), the file offset of each chunk in logical order.
    """

    chunk_bytes: int
    offsets: NDArray[np.int64]

    def pieces(self, start: int, stop: int) -> list[tuple[int, int]]:
        """Gives the (file offset, length) pieces that hold the logical bytes [start, stop), neighbours joined."""
        pieces: list[tuple[int, int]] = []
        while start < stop:
            chunk, within = divmod(start, self.chunk_bytes)
            length = min(stop - start, self.chunk_bytes - within)
            offset = int(self.offsets[chunk]) + within
            if pieces and sum(pieces[-1]) == offset:
                pieces[-1] = (pieces[-1][0], pieces[-1][1] + length)
            else:
                pieces.append((offset, length))
            start += length
        return pieces

    def fits(self, total: int, file_size: int) -> bool:
        """Says whether `total` logical bytes have a place, and all of it lies inside a file of `file_size` bytes."""
        if total == 0:
            return True
        if self.chunk_bytes <= 0 or len(self.offsets) * self.chunk_bytes < total:
            return False
        return bool(self.offsets.min() > 0 and self.offsets.max() + self.chunk_bytes <= file_size)


@dataclass(frozen=True)
class DsetPlan:
    """One dset to lay out.

    Attributes:
        name: path in the file such as `labels/gender`.
        dtype: NumPy dtype, of fixed size.
        shape: its shape.
        chunk_rows: rows of a chunk, or 0 for a contiguous dset.
        attributes: its attributes.
    """

    name: str
    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]
    chunk_rows: int = 0
    attributes: Mapping[str, Attribute] = field(default_factory=dict)

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return int(np.prod(self.shape[1:], dtype=np.int64)) * self.dtype.itemsize

    @property
    def stored_bytes(self) -> int:
        """Bytes that the dset takes in the file, whole chunks included."""
        chunk = self.chunk_rows or max(1, self.shape[0])
        return -(-self.shape[0] // chunk) * chunk * self.row_bytes


def stored_attribute(value: Attribute) -> np.generic | np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    """Gives an attribute as it is stored: fixed-length strings, where h5py would take others, int64, float64."""
    if isinstance(value, str):
        return np.bytes_(_string_bytes(value))
    if isinstance(value, tuple) and value and isinstance(value[0], str):
        return np.array([_string_bytes(str(item)) for item in value])
    return np.asarray(value, np.float64 if isinstance(value, float) else np.int64)


def _string_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape") or b"\0"


def needed_bytes(plans: Sequence[DsetPlan], attributes: Mapping[str, Attribute]) -> int:
    """Gives how large the file will be at most: stored bytes, alignment, HDF5's own metadata."""
    values = [value for plan in plans for value in plan.attributes.values()] + list(attributes.values())
    chunks = sum(-(-plan.shape[0] // plan.chunk_rows) for plan in plans if plan.chunk_rows)
    metadata = 2 * sum(np.asarray(stored_attribute(value)).nbytes for value in values) + 64 * chunks + 16 * PAGE
    return sum(plan.stored_bytes + PAGE for plan in plans) + metadata


def create(path: Path, plans: Sequence[DsetPlan], attributes: Mapping[str, Attribute]) -> dict[str, Extents]:
    """Makes the file `path` with all dsets allocated and all attributes written, and closes it.

    Args:
        path: replaced if it exists.
        plans: the dsets.
        attributes: root attributes.

    Returns:
        The place of every dset by name.
    """
    access = h5p.create(h5p.FILE_ACCESS)
    # v108: pyfive reads nothing newer; older has no metadata checksums and no attributes over 64 KB
    access.set_libver_bounds(h5f.LIBVER_V18, h5f.LIBVER_V18)
    access.set_alignment(PAGE, PAGE)
    with h5py.File(h5f.create(bytes(path), h5f.ACC_TRUNC, _timeless(h5p.FILE_CREATE), access)) as file:
        for group in sorted({plan.name.rpartition("/")[0] for plan in plans} - {""}):
            h5g.create(file.id, group.encode(), gcpl=_timeless(h5p.GROUP_CREATE))
        places = {plan.name: _create_dset(file, plan) for plan in plans}
        _set_attributes(file, attributes)
    return places


def _timeless(kind: h5p.PropClassID) -> h5p.PropCreateID:
    """Gives a creation list that stores no times: two equal packs are equal bytes."""
    properties = h5p.create(kind)
    properties.set_obj_track_times(False)
    return properties


def _create_dset(file: h5py.File, plan: DsetPlan) -> Extents:
    properties = _timeless(h5p.DATASET_CREATE)
    properties.set_alloc_time(h5d.ALLOC_TIME_EARLY)
    properties.set_fill_time(h5d.FILL_TIME_NEVER)
    if plan.chunk_rows:
        properties.set_chunk((plan.chunk_rows, *plan.shape[1:]))
    else:
        properties.set_layout(h5d.CONTIGUOUS)
    kind, space = h5t.py_create(plan.dtype), h5s.create_simple(plan.shape)
    dset = h5py.Dataset(h5d.create(file.id, plan.name.encode(), kind, space, dcpl=properties))
    _set_attributes(dset, plan.attributes)
    return extents_of(dset)


def _set_attributes(item: h5py.HLObject, attributes: Mapping[str, Attribute]) -> None:
    for name, value in attributes.items():
        item.attrs.create(name, stored_attribute(value))


def extents_of(dset: h5py.Dataset) -> Extents:
    """Gives the place of an open dset, without offsets where it has none of the kind that this format uses.

    That is a dset of no rows, or one that is compact, virtual, filtered, not allocated, or chunked along other
    dimensions than the first.
    """
    properties = dset.id.get_create_plist()
    if dset.chunks is None:
        offset = None if properties.get_external_count() else dset.id.get_offset()
        return Extents(dset.nbytes, np.array([] if offset is None else [offset], np.int64))
    if dset.chunks[1:] != dset.shape[1:] or properties.get_nfilters():
        return Extents(1, np.array([], np.int64))
    chunk_bytes = int(np.prod(dset.chunks, dtype=np.int64)) * dset.dtype.itemsize
    found: list[tuple[int, int]] = []
    dset.id.chunk_iter(lambda chunk: found.append((chunk.chunk_offset[0], chunk.byte_offset)))
    return Extents(chunk_bytes, np.array([offset for _row, offset in sorted(found)], np.int64))
