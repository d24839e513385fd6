"""MATLAB's MAT-files of version 5 (also called 6 and 7), read without MATLAB and scipy.

Source: https://www.mathworks.com/help/pdf_doc/matlab/matfile_format.pdf . scipy.io reads them, too, but a damaged file
can crash it, and it would copy every array; here all sizes are checked, and arrays are views of the file (or of what
was compressed in it).
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

import numpy as np

from hdf5_helper.errors import FacetError
from models.pretrained.matlab_values import FIELDS, VARIABLES, Budget, Opaque, Value, enter
from models.pretrained.named_arrays import Array

HEADER_BYTES = 128
#: Types of elements.
INT8, INT32, UINT32, MATRIX, COMPRESSED = 1, 5, 6, 14, 15
NUMBERS = {1: "i1", 2: "u1", 3: "<i2", 4: "<u2", 5: "<i4", 6: "<u4", 7: "<f4", 9: "<f8", 12: "<i8", 13: "<u8"}
TEXTS = {1: "latin-1", 2: "latin-1", 4: "utf-16-le", 16: "utf-8", 17: "utf-16-le", 18: "utf-32-le"}
#: Classes of arrays.
CELL, STRUCT, CHAR = 1, 2, 4
CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
OPAQUE = {3: "an object", 5: "a sparse array", 16: "a function handle", 17: "an object"}
COMPLEX = 0x0800
MOST_AXES = 32
#: zlib packs at most so many bytes into one (https://zlib.net/zlib_tech.html).
HIGHEST_RATIO = 1032
#: Compressed bytes that are unpacked at once.
STEP = 1 << 18


@dataclass(frozen=True)
class _Start:
    """The start of an array: its class, shape and name, and where its content begins."""

    kind: int
    is_complex: bool
    shape: tuple[int, ...]
    name: str
    end: int


def read_mat_v5(data: memoryview) -> dict[str, Value]:
    """Gives the file's variables that may be a network (VARIABLES) by name, with their FIELDS.

    Args:
        data: the whole file.

    Raises:
        FacetError: the bytes are no such file, or damaged.
    """
    if bytes(data[126:128]) != b"IM":
        raise FacetError(f"byte order {bytes(data[126:128])!r} in its header, expected b'IM' (little-endian)")
    budget = Budget(len(data))
    variables: dict[str, Value] = {}
    for kind, content in _elements(data[HEADER_BYTES:], budget):
        if kind == COMPRESSED:
            start = _start(_first(content))
            if start.name in VARIABLES:
                variables[start.name] = _array(_inflated(content, budget), budget, 0)
        elif kind == MATRIX and _start(content).name in VARIABLES:
            variables[_start(content).name] = _array(content, budget, 0)
    return variables


def _elements(data: memoryview, budget: Budget) -> Iterator[tuple[int, memoryview]]:
    """Gives types and contents of the elements that follow one another."""
    at = 0
    while at < len(data):
        budget.value()
        kind, content, at = _element(data, at)
        yield kind, content


def _element(data: memoryview, at: int) -> tuple[int, memoryview, int]:
    """Gives the element's type, its content, and the place behind it."""
    if len(data) - at < 8:
        raise FacetError(f"{len(data) - at} bytes where an element begins, expected at least 8")
    kind, size = (int(number) for number in np.frombuffer(data, "<u4", 2, at))
    if kind >> 16:
        # up to 4 bytes in the tag itself
        kind, size, start, after = kind & 0xFFFF, kind >> 16, at + 4, at + 8
        if size > 4:
            raise FacetError(f"a small element of {size} bytes, expected at most 4")
    else:
        start = at + 8
        # all but compressed elements are filled up to 8 bytes
        after = start + size + (-size % 8 if kind != COMPRESSED else 0)
    if size > len(data) - start:
        raise FacetError(f"an element of {size} bytes, expected at most the {len(data) - start} left")
    return kind, data[start : start + size], after


def _first(packed: memoryview) -> memoryview:
    """Gives the start of the array that is packed there: enough for its name."""
    try:
        unpacked = zlib.decompressobj().decompress(packed[:4096], 1024)
    except zlib.error as error:
        raise FacetError(f"a compressed variable cannot be unpacked ({error}), expected an undamaged one") from None
    return memoryview(unpacked)[8:]


def _inflated(packed: memoryview, budget: Budget) -> memoryview:
    """Gives the content of the array that is packed there, unpacked into memory of the size that it says."""
    unpacked = _unpacked(packed)
    head = next(unpacked, b"")
    if len(head) < 8:
        raise FacetError("a compressed variable is cut short, expected an array")
    kind, size = (int(number) for number in np.frombuffer(head, "<u4", 2))
    if kind != MATRIX or size > HIGHEST_RATIO * len(packed):
        raise FacetError(
            f"an element of type {kind} of {size} bytes in {len(packed)} packed ones, expected at most "
            f"{HIGHEST_RATIO} for one"
        )
    budget.memory(size)
    content = memoryview(bytearray(size))
    filled = _put(content, 0, memoryview(head)[8:])
    for piece in unpacked:
        filled = _put(content, filled, memoryview(piece))
    if filled < size:
        raise FacetError(f"a compressed variable of {filled} bytes, expected {size}")
    return content


def _put(content: memoryview, at: int, piece: memoryview) -> int:
    end = at + len(piece)
    if end > len(content):
        raise FacetError(f"a compressed variable of more than the {len(content)} bytes that it says, expected no more")
    content[at:end] = piece
    return end


def _unpacked(packed: memoryview) -> Iterator[bytes]:
    unpacker = zlib.decompressobj()
    try:
        for start in range(0, len(packed), STEP):
            piece = bytes(packed[start : start + STEP])
            while piece:
                yield unpacker.decompress(piece, 8 * STEP)
                piece = unpacker.unconsumed_tail
        yield unpacker.flush()
    except zlib.error as error:
        raise FacetError(f"a compressed variable cannot be unpacked ({error}), expected an undamaged one") from None


def _start(content: memoryview) -> _Start:
    kind, flags, at = _element(content, 0)
    if kind != UINT32 or len(flags) != 8:
        raise FacetError(f"an array begins with type {kind} of {len(flags)} bytes, expected its flags")
    word = int(np.frombuffer(flags, "<u4", 1)[0])
    array_class = word & 0xFF
    if array_class == 17:
        # has no shape; its name comes next
        return _Start(array_class, False, (), _name(content, at)[0], len(content))
    kind, sizes, at = _element(content, at)
    shape = tuple(np.frombuffer(sizes, "<i4", len(sizes) // 4).tolist())
    if kind != INT32 or len(sizes) % 4 or not 2 <= len(shape) <= MOST_AXES or min(shape) < 0:
        raise FacetError(f"an array's shape is {str(shape)[:60]}, expected 2 to {MOST_AXES} sizes from 0")
    name, at = _name(content, at)
    return _Start(array_class, bool(word & COMPLEX), shape, name, at)


def _name(content: memoryview, at: int) -> tuple[str, int]:
    kind, name, at = _element(content, at)
    if kind != INT8:
        raise FacetError(f"an array's name is of type {kind}, expected {INT8}")
    return bytes(name).decode("latin-1"), at


def _array(content: memoryview, budget: Budget, depth: int) -> Value:
    depth = enter(depth)
    if not len(content):
        return np.empty((0, 0))
    start = _start(content)
    rest = content[start.end :]
    if start.kind in OPAQUE or start.is_complex:
        return Opaque(OPAQUE.get(start.kind, "a complex array"))
    if start.kind == CELL:
        return [_array(part, budget, depth) for part in _matrices(rest, prod(start.shape), budget)]
    if start.kind == STRUCT:
        return _struct(start, rest, budget, depth)
    return _text(rest) if start.kind == CHAR else _numbers(start, rest, budget)


def _matrices(rest: memoryview, count: int, budget: Budget) -> Iterator[memoryview]:
    if count > len(rest) // 8:
        raise FacetError(f"{count} values in {len(rest)} bytes, expected at least 8 bytes each")
    at = 0
    for _ in range(count):
        budget.value()
        kind, content, at = _element(rest, at)
        if kind != MATRIX:
            raise FacetError(f"an element of type {kind} in a cell or struct, expected {MATRIX} (an array)")
        yield content


def _struct(start: _Start, rest: memoryview, budget: Budget, depth: int) -> Value:
    _, length, at = _element(rest, 0)
    _, letters, at = _element(rest, at)
    width = int.from_bytes(length[:4], "little")
    if not 0 < width <= 4096 or len(letters) % width:
        raise FacetError(f"{len(letters)} bytes of field names of {width} bytes each, expected whole names")
    names = [
        bytes(letters[place : place + width]).split(b"\0")[0].decode("latin-1")
        for place in range(0, len(letters), width)
    ]
    count = prod(start.shape)
    structs: list[dict[str, Value]] = []
    for place, part in enumerate(_matrices(rest[at:], count * len(names), budget)):
        field = place % len(names)
        if field == 0:
            structs.append({})
        if names[field] in FIELDS:
            structs[-1][names[field]] = _array(part, budget, depth)
    return structs[0] if count == 1 and structs else structs


def _text(rest: memoryview) -> str:
    kind, letters, _ = _element(rest, 0)
    if kind not in TEXTS:
        raise FacetError(f"text of type {kind}, expected one of {', '.join(map(str, TEXTS))}")
    if len(letters) > 4096:
        raise FacetError(f"a text of {len(letters)} bytes, expected a name or a type")
    return bytes(letters).decode(TEXTS[kind], errors="replace")


def _numbers(start: _Start, rest: memoryview, budget: Budget) -> Array:
    if start.kind not in CLASSES:
        raise FacetError(f"an array of class {start.kind}, expected one of MATLAB's, 1 to 17")
    kind, stored, _ = _element(rest, 0)
    if kind not in NUMBERS:
        raise FacetError(f"numbers of type {kind}, expected one of {', '.join(map(str, NUMBERS))}")
    dtype = np.dtype(NUMBERS[kind])
    size = prod(start.shape) * dtype.itemsize
    if len(stored) != size:
        shape = str(start.shape)[:60]
        raise FacetError(f"{len(stored)} bytes for an array of shape {shape} of {dtype.name}, expected {size}")
    meant = np.dtype(CLASSES[start.kind])
    array = np.frombuffer(stored, dtype)
    if dtype.newbyteorder("=") != meant:
        # MATLAB keeps whole numbers in as few bytes as they need
        budget.memory(array.size * meant.itemsize)
        array = array.astype(meant)
    return array.reshape(start.shape, order="F")
