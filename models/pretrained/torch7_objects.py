"""The objects of a Torch7 file: Lua's tables and values, Torch's tensors and storages, and everything made of a table.

No class is looked up and no function run: an object is its class's name and its fields, a function is passed over.
Objects are read without recursion, each may be referred to again by its index, and so cycles end.

Source: File.lua and generic/Tensor.c of https://github.com/torch/torch7.
"""

import math
import re
from collections.abc import Generator
from dataclasses import dataclass, field
from types import GeneratorType
from typing import Any

import numpy as np

from models.pretrained.named_arrays import Array
from models.pretrained.torch7_encoding import DTYPES, Encoding, Storage

_NIL, _NUMBER, _STRING, _TABLE, _TORCH, _BOOLEAN, _FUNCTION, _OLD_RECURSIVE_FUNCTION, _RECURSIVE_FUNCTION = range(9)
_ARRAY_CLASS = re.compile(rf"torch\.(?:(?:Cuda)?({'|'.join(DTYPES)})|Cuda)(Tensor|Storage)")
_CLASS_NAME = re.compile(r"[\w.:<>-]{1,200}", re.ASCII)

MOST_OBJECTS = 500_000  # a VGG has some 300, a recurrent network unrolled to ten steps 14,000
MOST_NESTED = 10_000  # graphs of nngraph nest some levels a node
_MOST_AXES = 32

#: An object that is being read: it yields where a part of it stands, is sent that part, and returns itself.
_Parts = Generator[None, Any, Any]


@dataclass(frozen=True, eq=False)
class Table:
    """A Lua table: what stands under numbers and strings. Entries under other keys have no name and are left out."""

    entries: dict[float | bytes, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class TorchObject:
    """An object of a Torch class other than tensors and storages, such as `nn.Linear`, and the table of its fields."""

    class_name: str
    fields: Table


@dataclass(frozen=True, eq=False)
class Tensor:
    """A view of a storage as the file describes it, not yet checked: sizes, strides and offset (from 0) in numbers."""

    kind: str
    sizes: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int
    storage: Storage | None

    @property
    def count(self) -> int:
        """How many numbers it has, 0 for the empty tensors of unused buffers."""
        return math.prod(self.sizes) if self.sizes and self.storage else 0

    def array(self) -> Array:
        """Gives its numbers, read-only where they are a view of the file.

        Raises ValueError with what is wrong where it reaches out of its storage, or has more numbers than that.
        """
        if not self.count or self.storage is None:
            return np.empty(0, DTYPES[self.kind])
        reach = [(size - 1) * stride for size, stride in zip(self.sizes, self.strides, strict=True)]
        inside = min(*self.sizes, *reach, self.offset) >= 0 and self.offset + sum(reach) < self.storage.length
        if self.storage.kind != self.kind or not inside or self.count > self.storage.length:
            raise ValueError(
                f"a {self.kind} tensor of sizes {self.sizes}, strides {self.strides} and offset {self.offset} "
                f"in a {self.storage.kind} storage of {self.storage.length}"
            )
        values = self.storage.values
        step = values.itemsize
        strides = [stride * step if size > 1 else step for size, stride in zip(self.sizes, self.strides, strict=True)]
        return np.ndarray(self.sizes, values.dtype, values, self.offset * step, strides)


def read_object(file: Encoding) -> Any:
    """Gives the first object of a file: None, float, bytes, bool, Table, TorchObject, Tensor or Storage.

    FacetError where the file is none of Torch7's, ends too early, or goes beyond MOST_OBJECTS or MOST_NESTED.
    """
    reader = _Objects(file)
    waiting: list[_Parts] = []  # for a part of them, the innermost last
    found = reader.begin()
    while True:
        if isinstance(found, GeneratorType):
            waiting.append(found)
            if len(waiting) > MOST_NESTED:
                file.fail(f"objects nested deeper than {MOST_NESTED}", "fewer levels")
            found = None
        elif not waiting:
            return found
        try:
            waiting[-1].send(found)
        except StopIteration as done:
            waiting.pop()
            found = done.value
        else:
            found = reader.begin()


class _Objects:
    """Begins objects of a file, and remembers those that may be referred to by their index."""

    def __init__(self, file: Encoding) -> None:
        self._file = file
        self._known: dict[int, Any] = {}
        self._begun = 0

    def begin(self) -> Any:
        """Gives the next object, or for one that has parts what reads it."""
        self._begun += 1
        if self._begun > MOST_OBJECTS:
            self._file.fail(f"more than {MOST_OBJECTS} objects", "fewer")
        kind = self._file.integer()
        if kind == _NIL:
            return None
        if kind == _NUMBER:
            return self._file.number()
        if kind == _STRING:
            return self._file.string()
        if kind == _BOOLEAN:
            return self._file.integer() == 1
        if kind == _FUNCTION:
            return self._function()
        return self._indexed(kind)

    def _indexed(self, kind: int) -> Any:
        readers = {
            _TABLE: self._table,
            _TORCH: self._torch,
            _RECURSIVE_FUNCTION: self._function,
            _OLD_RECURSIVE_FUNCTION: self._function,
        }
        if kind not in readers:
            self._file.fail(f"an object of type {kind}", "a type from 0 to 8")
        index = self._file.integer()
        return self._known[index] if index in self._known else readers[kind](index)

    def _function(self, index: int | None = None) -> _Parts:
        if index is not None:
            self._known[index] = None
        self._file.string()  # its bytecode
        yield  # what it closes over

    def _table(self, index: int) -> _Parts:
        table = self._known[index] = Table()
        count = self._file.integer()
        if count < 0:
            self._file.fail(f"a table of {count} entries", "a count that is not negative")
        for _ in range(count):
            key = yield
            value = yield
            if type(key) in (float, bytes):
                table.entries[key] = value
        return table

    def _torch(self, index: int) -> _Parts:
        name = self._class_name()
        array = _ARRAY_CLASS.fullmatch(name)
        if array and array[2] == "Storage":
            self._known[index] = self._file.storage(array[1] or "Float")
            return self._known[index]
        if array:
            tensor = yield from self._tensor(array[1] or "Float")
            self._known[index] = tensor
            return tensor
        made = self._known[index] = TorchObject(name, Table())
        fields = yield
        if not isinstance(fields, Table):
            self._file.fail(f"a {name} that holds no table", "objects that are made of a table, tensors and storages")
        made.fields.entries.update(fields.entries)
        return made

    def _class_name(self) -> str:
        """Gives the name of a class, which in all but the oldest files stands behind a version such as `V 1`."""
        name = self._file.string()
        if name.startswith(b"V "):
            name = self._file.string()
        text = name.decode("ascii", "replace")
        if not _CLASS_NAME.fullmatch(text):
            self._file.fail(f"a class named {text[:40]!r}", "a name such as nn.Linear")
        return text

    def _tensor(self, kind: str) -> _Parts:
        axes = self._file.integer()
        if not 0 <= axes <= _MOST_AXES:
            self._file.fail(f"a tensor of {axes} axes", f"0 to {_MOST_AXES}")
        sizes, strides = self._file.longs(axes), self._file.longs(axes)
        offset = self._file.longs(1)[0] - 1  # Lua counts from 1
        storage = yield
        if not (storage is None or isinstance(storage, Storage)):
            self._file.fail("a tensor of something else than a storage", "a storage or nil")
        return Tensor(kind, sizes, strides, offset, storage)
