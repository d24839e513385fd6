"""Writes Torch7 files as File.lua and THDiskFile.c of https://github.com/torch/torch7 do.

`write_torch7` writes a network, `write_object` anything: None, booleans, numbers, strings, bytes, lists and dicts (as
tables), NumPy arrays (as tensors), and the classes here.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

#: Binary with longs of 8 and of 4 bytes, and text.
ENCODINGS = ("binary64", "binary32", "ascii")

KINDS = {
    "uint8": "Byte",
    "int8": "Char",
    "int16": "Short",
    "int32": "Int",
    "int64": "Long",
    "float16": "Half",
    "float32": "Float",
    "float64": "Double",
}


@dataclass(eq=False)
class Module:
    """An object of a Torch class that is written as the table of its fields."""

    class_name: str
    fields: dict[str, Any] = field(default_factory=dict)


@dataclass(eq=False)
class Storage:
    """A storage; `class_name` other than that of the array's type makes one such as `torch.CudaStorage`."""

    values: np.ndarray
    class_name: str = ""


@dataclass(eq=False)
class Tensor:
    """A tensor as it stands in a file: sizes and strides in numbers, the offset from 1."""

    storage: Storage | None
    sizes: Sequence[int]
    strides: Sequence[int]
    offset: int = 1
    class_name: str = ""


@dataclass(eq=False)
class Function:
    """A Lua function: its bytecode, and what it closes over. Kinds: 6 without index, 7 and 8 with."""

    bytecode: bytes
    upvalues: Any
    kind: int = 8


def write_torch7(
    path: Path, layers: Sequence[tuple[str, Mapping[str, Any]]], encoding: str = "binary64", *, versioned: bool = True
) -> None:
    """Writes an nn.Sequential of layers.

    A layer's name is its class where it begins with `nn.` or `cudnn.`, and what comes with it are its fields. Else the
    class follows from the arrays: nn.SpatialConvolutionMM of a 4-D weight (out, in, height, width), which is written as
    a matrix, nn.Linear of a weight (out, in), nn.SpatialBatchNormalization where there is a running_mean.
    """
    write_object(path, sequential([module(name, fields) for name, fields in layers]), encoding, versioned=versioned)


def sequential(modules: Sequence[Module], class_name: str = "nn.Sequential") -> Module:
    """Gives a container of modules, with the buffers that Torch7 leaves in it."""
    empty = np.zeros(0, np.float32)
    return Module(class_name, {"output": empty, "gradInput": empty, "modules": list(modules), "train": False})


def module(name: str, fields: Mapping[str, Any]) -> Module:
    """Gives the module of a layer, see write_torch7."""
    if name.startswith(("nn.", "cudnn.")):
        return Module(name, dict(fields))
    weight = fields["weight"]
    grads = {"gradWeight": np.zeros_like(weight[:1]), "_type": "torch.FloatTensor"}
    if "running_mean" in fields:
        return Module("nn.SpatialBatchNormalization", {**fields, **grads, "eps": 1e-5})
    if weight.ndim == 2:
        return Module("nn.Linear", {**fields, **grads})
    planes, inputs, height, width = weight.shape
    sizes = {"nInputPlane": inputs, "nOutputPlane": planes, "kH": height, "kW": width, "dH": 1, "dW": 1}
    pads = {"padH": height // 2, "padW": width // 2}
    return Module("nn.SpatialConvolutionMM", {**fields, "weight": weight.reshape(planes, -1), **sizes, **pads, **grads})


def write_object(path: Path, value: Any, encoding: str = "binary64", *, versioned: bool = True) -> None:
    """Writes one object as torch.save does; without versions as the first Torch7 did."""
    with open(path, "wb") as file:
        (_Text if encoding == "ascii" else _Binary)(file, encoding, versioned=versioned).write(value)


class _Writer:
    def __init__(self, file: BinaryIO, encoding: str, *, versioned: bool) -> None:
        self.file = file
        self.long = "i" if encoding == "binary32" else "q"
        self.versioned = versioned
        self.indices: dict[int, int] = {}
        self.kept: list[Any] = []  # so that no other object comes to have its id
        self.tensors: dict[int, Tensor] = {}

    def write(self, value: Any) -> None:
        if value is None:
            self.integer(0)
        elif isinstance(value, bool | np.bool_):
            self.integer(5)
            self.integer(int(value))
        elif isinstance(value, int | float | np.number):
            self.integer(1)
            self.double(float(value))
        elif isinstance(value, str | bytes):
            self.integer(2)
            self.string(value)
        elif isinstance(value, Function) and value.kind == 6:
            self.integer(6)
            self.function(value)
        else:
            self.referenced(self.tensor_of(value) if isinstance(value, np.ndarray) else value)

    def tensor_of(self, array: np.ndarray) -> Tensor:
        """Gives an array's tensor, of which there is one however often the array comes."""
        if id(array) not in self.tensors:
            self.kept.append(array)
            flat = np.ascontiguousarray(array)
            strides = [stride // flat.itemsize for stride in flat.strides] if flat.size else []
            storage = Storage(flat.reshape(-1)) if flat.size else None
            self.tensors[id(array)] = Tensor(
                storage, flat.shape if flat.size else [], strides, 1, f"torch.{KINDS[flat.dtype.name]}Tensor"
            )
        return self.tensors[id(array)]

    def referenced(self, value: Any) -> None:
        self.integer(3 if isinstance(value, list | dict) else value.kind if isinstance(value, Function) else 4)
        if id(value) in self.indices:
            self.integer(self.indices[id(value)])
            return
        self.kept.append(value)
        self.indices[id(value)] = len(self.indices) + 1
        self.integer(len(self.indices))
        if isinstance(value, list):
            self.table(dict(enumerate(value, start=1)))
        elif isinstance(value, dict):
            self.table(value)
        elif isinstance(value, Function):
            self.function(value)
        else:
            self.torch(value)

    def table(self, entries: dict[Any, Any]) -> None:
        self.integer(len(entries))
        for key, value in entries.items():
            self.write(key)
            self.write(value)

    def function(self, function: Function) -> None:
        self.string(function.bytecode)
        self.write(function.upvalues)

    def torch(self, value: Any) -> None:
        if isinstance(value, Module):
            self.class_name(value.class_name)
            self.write(value.fields)
        elif isinstance(value, Storage):
            self.class_name(value.class_name or f"torch.{KINDS[value.values.dtype.name]}Storage")
            self.longs([value.values.size])
            self.numbers(value.values)
        else:
            self.class_name(value.class_name or f"torch.{KINDS[value.storage.values.dtype.name]}Tensor")
            self.integer(len(value.sizes))
            self.longs(value.sizes)
            self.longs(value.strides)
            self.longs([value.offset])
            self.write(value.storage)

    def class_name(self, name: str) -> None:
        if self.versioned:
            self.string("V 1")
        self.string(name)

    def string(self, text: str | bytes) -> None:
        data = text.encode() if isinstance(text, str) else text
        self.integer(len(data))
        self.raw(data)


class _Binary(_Writer):
    def integer(self, value: int) -> None:
        self.file.write(struct.pack("<i", value))

    def longs(self, values: Sequence[int]) -> None:
        self.file.write(struct.pack(f"<{len(values)}{self.long}", *values))

    def double(self, value: float) -> None:
        self.file.write(struct.pack("<d", value))

    def raw(self, data: bytes) -> None:
        self.file.write(data)

    def numbers(self, values: np.ndarray) -> None:
        form = values.dtype if values.dtype != np.int64 else np.dtype(self.long)
        self.file.write(values.astype(form, copy=False).data)


class _Text(_Writer):
    def integer(self, value: int) -> None:
        self.line([f"{value:d}"])

    def longs(self, values: Sequence[int]) -> None:
        self.line([f"{value:d}" for value in values])

    def double(self, value: float) -> None:
        self.line([f"{value:.17g}"])

    def raw(self, data: bytes) -> None:
        self.file.write(data + b"\n" if data else b"")

    def numbers(self, values: np.ndarray) -> None:
        if values.dtype.itemsize == 1:
            self.raw(values.tobytes())
        else:
            form = "d" if values.dtype.kind == "i" else ".17g" if values.dtype == np.float64 else ".9g"
            self.line([format(value, form) for value in values.tolist()])

    def line(self, words: Sequence[str]) -> None:
        self.file.write(" ".join(words).encode() + b"\n" if words else b"")
