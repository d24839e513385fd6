"""Weights in a safetensors file: 8 bytes of length, so many bytes of JSON, then all numbers.

Read here and not by the library of that name: it copies each array, and the format is these few rules.
Source: https://github.com/huggingface/safetensors (README, "Format").
"""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hdf5_helper.errors import FacetError
from models.pretrained.mapped import mapped
from models.pretrained.named_arrays import LONGEST_NAME, Array, NamedArrays, is_name
from models.pretrained.tensor_views import check_shape, element_size, widened

#: A header of 1,000 tensors has 100 kB.
_MAX_HEADER = 8_000_000

#: The dtype of the numbers in the file, by the name that the header gives it.
_DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "bfloat16", "I64": "<i8", "I32": "<i4", "I16": "<i2",
    "I8": "i1", "U8": "u1", "BOOL": "u1",
}  # fmt: skip

#: Frameworks whose kernels are (height, width, in, out), as the header's metadata may name them.
_CHANNELS_LAST = ("tf", "flax")


@dataclass(frozen=True)
class _Entry:
    """One array of the header: its bytes are those from `start` to `end` behind the header."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


def looks_like(head: bytes) -> bool:
    """Tells whether a file that begins so may be one: the length of a header, and a header."""
    return head[8:9] == b"{" and 2 <= int.from_bytes(head[:8], "little") <= _MAX_HEADER


def read_safetensors(path: Path) -> NamedArrays:
    """Gives the arrays by their names in the file and in the order of its bytes, views of the file.

    Returns:
        NamedArrays with kernels (out, in, height, width) unless the metadata's format is `tf` or `flax`; bfloat16
        becomes float32, bool uint8.

    Raises:
        FacetError: the file is damaged, or an array has another dtype.
    """
    data = mapped(path)
    try:
        header, numbers = _split(data)
        entries = list(_entries(header))
        _fill(entries, len(numbers))
        arrays = {entry.name: _array(entry, numbers) for entry in entries}
    except FacetError as error:
        raise FacetError(f"{path}: {error}") from None
    metadata = header.get("__metadata__")
    last = isinstance(metadata, dict) and metadata.get("format") in _CHANNELS_LAST
    return NamedArrays("safetensors", arrays, "HWIO" if last else "OIHW", in_order=False)


def _split(data: memoryview) -> tuple[dict[str, Any], memoryview]:
    length = int.from_bytes(data[:8], "little")
    if not 2 <= length <= min(_MAX_HEADER, len(data) - 8):
        raise FacetError(f"a header of {length:,} bytes, expected one within the file and {_MAX_HEADER:,} bytes")
    try:
        header = json.loads(bytes(data[8 : 8 + length]).decode(), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise FacetError(f"a header that is no JSON ({error!s:.80}), expected an undamaged file") from None
    if not isinstance(header, dict):
        raise FacetError(f"a header that is a {type(header).__name__}, expected arrays by name")
    return header, data[8 + length :]


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise FacetError("a name stands twice in the header, expected an undamaged file")
    return found


def _entries(header: dict[str, Any]) -> Iterator[_Entry]:
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        if not is_name(name):
            raise FacetError(f"an array is called {name!r:.60}, expected 1 to {LONGEST_NAME} printable characters")
        match entry:
            case {"dtype": str(dtype), "shape": [*shape], "data_offsets": [start, end]} if all(
                type(number) is int and 0 <= number < 2**63 for number in (*shape, start, end)
            ):
                check_shape(name, tuple(shape))
                yield _Entry(name, dtype, tuple(shape), start, end)
            case _:
                raise FacetError(f"array {name!r} is not told by dtype, shape and data_offsets, as expected")


def _fill(entries: list[_Entry], length: int) -> None:
    """Sorts arrays by their place; they must follow each other and fill the file, as the format demands."""
    entries.sort(key=lambda entry: (entry.start, entry.end))
    position = 0
    for entry in entries:
        if entry.dtype not in _DTYPES:
            raise FacetError(f"array {entry.name!r} is of {entry.dtype!r:.20}, expected one of {', '.join(_DTYPES)}")
        size = math.prod(entry.shape) * element_size(_DTYPES[entry.dtype])
        if entry.start != position or entry.end != position + size:
            raise FacetError(
                f"array {entry.name!r} lies at bytes {entry.start:,} to {entry.end:,}, expected {size:,} from "
                f"{position:,} on"
            )
        position = entry.end
    if not entries or position != length:
        raise FacetError(f"{len(entries)} arrays of {position:,} bytes in {length:,}, expected such as fill the file")


def _array(entry: _Entry, numbers: memoryview) -> Array:
    part, dtype = numbers[entry.start : entry.end], _DTYPES[entry.dtype]
    if dtype == "bfloat16":
        return widened(np.frombuffer(part, "<u2")).reshape(entry.shape)
    return np.frombuffer(part, dtype).reshape(entry.shape)
