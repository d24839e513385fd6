"""Activations as they are stored: exactly, or as float16 where half the size is asked for.

float32 is stored as it is, and bfloat16 as its 16 bits, which HDF5 has no type for. A row of a float16 file in which a
number is beyond float16's range is stored as bfloat16 as a whole, which has float32's range, and is marked.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

#: Name of a number format -> the type of its dset.
NUMBER_FORMATS: dict[str, np.dtype[Any]] = {
    "float32": np.dtype("<f4"),
    "float16": np.dtype("<f2"),
    "bfloat16": np.dtype("<u2"),
}

#: Marks of rows: the format of their file, or bfloat16 in a float16 file.
AS_FILE, AS_BFLOAT16 = 0, 1

#: The largest finite float16.
FLOAT16_MOST = 65504.0


class StoredRows(NamedTuple):
    """Rows as they lie in a file.

    Attributes:
        values: (n, …), C-contiguous, of the file's type.
        marks: uint8 (n,), AS_FILE or AS_BFLOAT16.
    """

    values: NDArray[Any]
    marks: NDArray[np.uint8]


def stored_rows(values: NDArray[Any], number_format: str) -> StoredRows:
    """Gives rows in the form in which a file has them.

    Args:
        values: float32 or ml_dtypes' bfloat16 (n, …), n may be 0.
        number_format: one of NUMBER_FORMATS. Rounding is to the nearest, ties to even; bfloat16 numbers, which float32
            holds exactly, come back as they are from `float32` and `bfloat16` files.
    """
    marks = np.full(len(values), AS_FILE, np.uint8)
    if number_format == "bfloat16":
        return StoredRows(_bfloat16_bits(values), marks)
    with np.errstate(invalid="ignore"):
        numbers = np.ascontiguousarray(values, "<f4")
    if number_format == "float32":
        return StoredRows(numbers, marks)
    beyond = _beyond_float16(numbers)
    marks[beyond] = AS_BFLOAT16
    with np.errstate(over="ignore", invalid="ignore"):  # the rows that overflow are replaced; a NaN may be a loud one
        halves = numbers.astype(NUMBER_FORMATS["float16"])
    if beyond.any():
        halves.view("<u2")[beyond] = _bfloat16_bits(numbers[beyond])
    return StoredRows(halves, marks)


def restored_rows(stored: StoredRows, number_format: str) -> NDArray[Any]:
    """Gives rows of a file as numbers: ml_dtypes' bfloat16 of a bfloat16 file, float32 of the others."""
    values, marks = stored
    if number_format == "bfloat16":
        import ml_dtypes

        return values.astype(np.uint16, copy=False).view(ml_dtypes.bfloat16)
    with np.errstate(invalid="ignore"):  # the bits of a marked row mean something else
        numbers = values.astype(np.float32, copy=False)
    marked = marks == AS_BFLOAT16
    if number_format == "float16" and marked.any():
        numbers[marked] = (values[marked].view("<u2").astype(np.uint32) << 16).view(np.float32)
    return numbers


def _beyond_float16(numbers: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Says which rows have a finite number that float16 has not; infinities and NaN it has."""
    sizes = np.abs(numbers).reshape(len(numbers), math.prod(numbers.shape[1:]))
    beyond: NDArray[np.bool_] = np.any((sizes > FLOAT16_MOST) & (sizes < np.inf), axis=1)
    return beyond


def _bfloat16_bits(values: NDArray[Any]) -> NDArray[np.uint16]:
    """Gives the upper 16 bits of float32, rounded to the nearest, ties to even; a NaN stays one, made quiet."""
    if values.dtype.name == "bfloat16":
        return np.ascontiguousarray(values).view("<u2")
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    upper = bits >> 16
    with np.errstate(over="ignore"):  # a NaN's alone
        rounded = (bits + np.uint32(0x7FFF) + (upper & 1)) >> 16
    return np.where(np.isnan(values), upper | 0x40, rounded).astype("<u2")
