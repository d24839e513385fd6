"""Arrays of an HDF5 file, unpacked here: in the HDF5 library, a damaged part could unpack to any number of bytes.

Source: https://docs.h5py.org/en/stable/high/lowlevel.html (chunk_iter, read_direct_chunk).
"""

import zlib
from math import prod
from typing import Any

import h5py
import numpy as np

from hdf5_helper.errors import FacetError
from models.pretrained.matlab_values import Budget
from models.pretrained.named_arrays import Array

#: HDF5's number of the filter that MATLAB and h5py call gzip; no other packs MATLAB's files.
DEFLATE = 1


def read_dataset(dataset: h5py.Dataset, budget: Budget, *, unpack: bool = True) -> Array:
    """Gives a dataset's content, after its size was compared with what the file holds and `budget` allows.

    Args:
        dataset: of numbers or references.
        budget: the array's bytes are taken from it.
        unpack: otherwise all bytes are read, but packed ones left so, and an array of unknown content is given.

    Raises:
        FacetError: bytes are missing, or lie in another file, or are packed otherwise than by gzip.
    """
    if dataset.external or dataset.is_virtual:
        raise FacetError("an array lies in another file, expected it in this one")
    array = _whole(dataset, budget) if dataset.chunks is None else _chunked(dataset, budget, unpack)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _whole(dataset: h5py.Dataset, budget: Budget) -> Array:
    size = prod(dataset.shape) * dataset.dtype.itemsize
    stored = dataset.id.get_storage_size()
    if stored != size:
        raise FacetError(f"{stored} bytes for an array of {size}, expected as many")
    budget.memory(size)
    return np.asarray(dataset[()])


def _chunked(dataset: h5py.Dataset, budget: Budget, unpack: bool) -> Array:
    places = _places(dataset)
    # one chunk is unpacked beside the array
    budget.memory((prod(dataset.shape) + prod(dataset.chunks)) * dataset.dtype.itemsize)
    array = np.empty(dataset.shape, dataset.dtype)
    for place in places:
        mask, packed = dataset.id.read_direct_chunk(place)
        if unpack:
            _put(array, place, _unpacked(dataset, mask, packed))
    return array


def _places(dataset: h5py.Dataset) -> list[tuple[int, ...]]:
    """Gives where the dataset's chunks begin; refuses other numbers of them than its shape needs."""
    made = dataset.id.get_create_plist()
    filters = [made.get_filter(place)[0] for place in range(made.get_nfilters())]
    if filters not in ([], [DEFLATE]) or dataset.id.get_type() != h5py.h5t.py_create(dataset.dtype, logical=True):
        raise FacetError(f"an array of {dataset.dtype} has the filters {filters[:9]}, expected numbers packed by gzip")
    places: list[tuple[int, ...]] = []
    dataset.id.chunk_iter(lambda found: places.append(found.chunk_offset))
    needed = prod(-(-size // step) for size, step in zip(dataset.shape, dataset.chunks, strict=True))
    if len(set(places)) != needed:
        raise FacetError(f"{len(set(places))} parts of an array of shape {dataset.shape}, expected {needed}")
    return places


def _unpacked(dataset: h5py.Dataset, mask: int, packed: bytes) -> Array:
    size = prod(dataset.chunks) * dataset.dtype.itemsize
    # a bit of the mask tells that the filter was left out
    if dataset.compression and not mask & 1:
        try:
            packed = zlib.decompressobj().decompress(packed, size + 1)
        except zlib.error as error:
            raise FacetError(f"a part of an array cannot be unpacked ({error}), expected an undamaged one") from None
    if len(packed) != size:
        raise FacetError(f"a part of an array has {len(packed)} bytes, expected {size}")
    return np.frombuffer(packed, dataset.dtype).reshape(dataset.chunks)


def _put(array: Array, place: tuple[int, ...], part: Array) -> None:
    """Copies a chunk into the array; what sticks out at the ends is padding."""
    target: Any = array[tuple(slice(start, start + length) for start, length in zip(place, part.shape, strict=True))]
    target[...] = part[tuple(slice(length) for length in target.shape)]
