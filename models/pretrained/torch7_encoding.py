"""How a Torch7 file holds numbers, strings and storages: binary, with longs of 8 or of 4 bytes, or as text.

The bytes do not say how long a long is: whoever reads tries both. Binary files are little-endian. In text, numbers
stand between white space, strings and storages of bytes are as they are, and a line feed ends each write.

Source: lib/TH/THDiskFile.c and generic/Storage.c of https://github.com/torch/torch7.
"""

import re
import struct
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import NoReturn

import numpy as np

from hdf5_helper.errors import FacetError
from models.pretrained.named_arrays import Array

#: Types of a storage's numbers by the name in its class, such as `torch.FloatStorage`. `Long` may be shorter in a file.
DTYPES = {
    "Byte": "u1",
    "Char": "i1",
    "Short": "i2",
    "Int": "i4",
    "Long": "i8",
    "Half": "f2",
    "Float": "f4",
    "Double": "f8",
}

_TOKEN = re.compile(rb"\s*([-+.\w]{1,40})\n?", re.ASCII)
_LINE_END = re.compile(rb"\n")
_TEXT_CHUNK = 1 << 24  # bytes of text that are turned to numbers at once
_MOST_DECODED = 1 << 28  # bytes that text may grow to, beyond the file's size: "0 0 0 " as doubles takes four times it


class Storage:
    """Numbers in a file, made an array only when they are asked for."""

    def __init__(self, kind: str, length: int, load: Callable[[], Array]) -> None:
        self.kind = kind
        self.length = length
        self._load = load

    @cached_property
    def values(self) -> Array:
        """The numbers: shape (length,), of the type that `kind` names in DTYPES; a view of a binary file."""
        return self._load()


class Encoding(ABC):
    """A file's bytes, read from `position` on; FacetError where they hold something else than what is asked for."""

    form: str

    def __init__(self, path: Path, data: memoryview) -> None:
        self.position = 0
        self.ambiguous = False  # whether what was read depends on the length of a long
        self._path = path
        self._data = data

    @abstractmethod
    def integer(self) -> int:
        """Gives a C int."""

    @abstractmethod
    def longs(self, count: int) -> tuple[int, ...]:
        """Gives `count` C longs."""

    @abstractmethod
    def number(self) -> float:
        """Gives a Lua number."""

    @abstractmethod
    def string(self) -> bytes:
        """Gives a string, which stands behind its length."""

    @abstractmethod
    def storage(self, kind: str) -> Storage:
        """Gives a storage of a kind in DTYPES, which stands behind its length."""

    def fail(self, found: str, expected: str) -> NoReturn:
        """Refuses the file."""
        raise FacetError(f"{self._path}: {self.form}: {found} before byte {self.position}, expected {expected}")

    def _take(self, size: int) -> int:
        """Gives the position of the next `size` bytes, and goes behind them."""
        start, left = self.position, len(self._data) - self.position
        if size < 0:
            self.fail(f"a length of {size}", "one that is not negative")
        if size > left:
            self.fail(
                f"an object of {size} bytes", f"no more than the {left} that are left (damaged or unfinished file)"
            )
        self.position += size
        return start


def encodings(path: Path, data: memoryview) -> list[Encoding]:
    """Gives the encodings that a file can be in, of which the first that makes sense is the right one."""
    return [_Text(path, data)] if bytes(data[:1]).isdigit() else [_Binary(path, data, 8), _Binary(path, data, 4)]


class _Binary(Encoding):
    """A binary file, as most are, whose longs have 8 or 4 bytes, as on the machine that wrote it."""

    def __init__(self, path: Path, data: memoryview, long_size: int) -> None:
        super().__init__(path, data)
        self.form = f"Torch7, binary, {8 * long_size}-bit longs"
        self._long = {8: "q", 4: "i"}[long_size]
        self._dtypes = DTYPES | {"Long": f"i{long_size}"}

    def integer(self) -> int:
        return int(struct.unpack_from("<i", self._data, self._take(4))[0])

    def longs(self, count: int) -> tuple[int, ...]:
        self.ambiguous = True
        form = f"<{count}{self._long}"
        return struct.unpack_from(form, self._data, self._take(struct.calcsize(form)))

    def number(self) -> float:
        return float(struct.unpack_from("<d", self._data, self._take(8))[0])

    def string(self) -> bytes:
        length = self.integer()
        start = self._take(length)
        return bytes(self._data[start : start + length])

    def storage(self, kind: str) -> Storage:
        dtype = np.dtype("<" + self._dtypes[kind])
        length = self.longs(1)[0]
        start = self._take(length * dtype.itemsize)
        return Storage(kind, length, lambda: np.frombuffer(self._data, dtype, length, start))


class _Text(Encoding):
    """A file in ASCII, which Torch7 calls independent of the machine."""

    form = "Torch7, ASCII"

    def __init__(self, path: Path, data: memoryview) -> None:
        super().__init__(path, data)
        self._decoded = 0

    def integer(self) -> int:
        return int(self._number(int))

    def longs(self, count: int) -> tuple[int, ...]:
        return tuple(int(self._number(int)) for _ in range(count))

    def number(self) -> float:
        return self._number(float)

    def string(self) -> bytes:
        return self._raw(self.integer())

    def storage(self, kind: str) -> Storage:
        length, start = self.integer(), self.position
        dtype = np.dtype(DTYPES[kind])
        if dtype.itemsize == 1:
            content = self._raw(length)
            return Storage(kind, length, lambda: np.frombuffer(content, dtype))
        if length > 0:
            line = _LINE_END.search(self._data, start)
            self._take((line.start() if line else len(self._data)) - start)
        if not 0 <= length <= (self.position - start + 1) // 2:
            self.fail(
                f"a storage of {length} numbers", f"no more than its line of {self.position - start} bytes can hold"
            )
        stop = self.position
        return Storage(kind, length, lambda: self._numbers(start, stop, length, dtype))

    def _number(self, kind: type[int] | type[float]) -> float:
        token = _TOKEN.match(self._data, self.position)
        self.position = token.end() if token else self.position
        try:
            return kind(token[1].decode("ascii") if token else "")
        except ValueError:
            self.fail(repr((token[1] if token else b"").decode("ascii")), "a number")

    def _raw(self, length: int) -> bytes:
        start = self._take(length)
        if _LINE_END.match(self._data, self.position):
            self.position += 1
        return bytes(self._data[start : start + length])

    def _numbers(self, start: int, stop: int, length: int, dtype: np.dtype[np.generic]) -> Array:
        """Gives the numbers of a line, a part of it at a time, so that it is never whole in memory."""
        self._decoded += length * dtype.itemsize
        if self._decoded > len(self._data) + _MOST_DECODED:
            self.fail(f"text for {self._decoded} bytes of numbers", "numbers of about the size of the file")
        numbers, filled = np.empty(length, dtype), 0
        while start < stop:
            text = bytes(self._data[start : min(start + _TEXT_CHUNK, stop)])
            text = text if start + len(text) == stop else text[: text.rfind(b" ")]
            part = _parsed(text, dtype)
            if not len(part) or filled + len(part) > length:
                break
            numbers[filled : filled + len(part)] = part
            start, filled = start + len(text), filled + len(part)
        if start < stop or filled < length:
            self.position = stop
            self.fail(f"a line that ends or breaks off after {filled} numbers or has more", f"{length} numbers")
        return numbers


def _parsed(text: bytes, dtype: np.dtype[np.generic]) -> Array:
    """Gives the numbers of a text; an empty array where anything else is in it."""
    wide = np.dtype("f4") if dtype == np.float16 else dtype  # halves are written with the digits of floats
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # what is left over is a warning today and an error tomorrow
        try:
            return np.fromstring(text.decode("ascii"), wide, sep=" ")
        except (ValueError, DeprecationWarning):
            return np.empty(0, wide)
