"""Tensors as PyTorch's files describe them, views of storages, and the arrays that they are."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from hdf5_helper.errors import FacetError
from models.pretrained.named_arrays import Array

#: What is too much for numpy, and for any network.
MAX_AXES, _MAX_ELEMENTS = 32, 2**48

#: The dtype of a storage's elements in the file, by the class that stands for it.
STORAGES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "u1",
}


@dataclass(frozen=True)
class Storage:
    """Where elements lie: `count` of a dtype (one of STORAGES), under a key of the file."""

    key: str
    dtype: str
    count: int


@dataclass(frozen=True)
class Tensor:
    """A view of a storage: its first element, its shape, and how many elements lie between neighbours of each axis."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


_BFLOAT16 = "bfloat16"


def element_size(dtype: str) -> int:
    """Gives the bytes of one element in the file; `dtype` is one of STORAGES."""
    return 2 if dtype == _BFLOAT16 else np.dtype(dtype).itemsize


def widened(halves: Array) -> Array:
    """Gives float32 for bfloat16, which numpy has not: the upper 16 bits, as uint16."""
    return (halves.astype(np.uint32) << 16).view(np.float32)


def check_shape(name: str, shape: tuple[int, ...]) -> None:
    """Refuses shapes that numpy cannot have or that no network has; lengths are 0 or more.

    Raises:
        FacetError: more than 32 axes, or 2**48 elements or more were no length 0.
    """
    if len(shape) > MAX_AXES or math.prod(filter(None, shape)) >= _MAX_ELEMENTS:
        raise FacetError(f"array {name!r:.100} has shape {shape!s:.100}, expected fewer elements")


def arrays_of(tensors: Mapping[str, Tensor], bytes_of: Callable[[Storage], memoryview]) -> dict[str, Array]:
    """Gives the arrays of tensors by name, views of the file's bytes but for bfloat16, which becomes float32.

    Args:
        tensors: by name.
        bytes_of: gives the bytes of a storage, `count` elements exactly.

    Raises:
        FacetError: a tensor reaches beyond its storage, or has more elements.
    """
    storages = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
    elements = {key: _elements(storage, bytes_of(storage)) for key, storage in storages.items()}
    return {name: _view(name, tensor, elements[tensor.storage.key]) for name, tensor in tensors.items()}


def _elements(storage: Storage, data: memoryview) -> Array:
    if storage.dtype == _BFLOAT16:
        return widened(np.frombuffer(data, "<u2"))
    return np.frombuffer(data, storage.dtype)


def _view(name: str, tensor: Tensor, elements: Array) -> Array:
    """Gives the array that a tensor is; strides of axes of length 1 mean nothing and may be any."""
    shape, strides = tensor.shape, tensor.strides
    check_shape(name, shape)
    if 0 in shape:
        return elements[:0].reshape(shape)
    steps = [stride if length > 1 else 0 for length, stride in zip(shape, strides, strict=True)]
    last = tensor.offset + sum((length - 1) * step for length, step in zip(shape, steps, strict=True))
    if last >= elements.size or math.prod(shape) > elements.size:
        raise FacetError(
            f"array {name!r:.100} reaches beyond its storage, expected a view of its {elements.size:,} elements"
        )
    size = elements.itemsize
    return np.lib.stride_tricks.as_strided(
        elements[tensor.offset :], shape, [step * size for step in steps], writeable=False
    )
