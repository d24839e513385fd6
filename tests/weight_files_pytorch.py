"""Writes files as `torch.save` does, without PyTorch: its pickles, its storages, both of its formats.

Written after `torch/serialization.py`. Arrays stand for tensors; an array that is a view of another one shares its
storage, as a tensor would.
"""

import io
import pickle
import struct
import sys
import types
import zipfile
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

STORAGES = {
    "float64": "DoubleStorage", "float32": "FloatStorage", "float16": "HalfStorage", "bfloat16": "BFloat16Storage",
    "int64": "LongStorage", "int32": "IntStorage", "int16": "ShortStorage", "int8": "CharStorage",
    "uint8": "ByteStorage", "bool": "BoolStorage", "complex64": "ComplexFloatStorage",
}  # fmt: skip
MAGIC = 0x1950A86A20F9469CFC6C


def write_pytorch(path: Path, layers: list[tuple[str, dict[str, np.ndarray]]], *, legacy: bool = False) -> None:
    """Writes the state dict of layers, each with its arrays by role: `conv1` with `weight` becomes `conv1.weight`."""
    save(path, state_dict(layers), legacy=legacy)


def state_dict(layers: list[tuple[str, dict[str, np.ndarray]]]) -> OrderedDict[str, np.ndarray]:
    """Gives it as modules do, with the versions of modules as an attribute."""
    state = OrderedDict((f"{layer}.{role}", array) for layer, arrays in layers for role, array in arrays.items())
    state._metadata = OrderedDict((layer, {"version": 1}) for layer, _ in layers)
    return state


def save(path: Path, content: Any, *, legacy: bool = False, protocol: int = 2) -> None:
    """Writes anything that holds arrays."""
    if legacy:
        path.write_bytes(legacy_bytes(content, protocol))
    else:
        path.write_bytes(zip_bytes(*pickled(content, protocol=protocol)))


def pickled(content: Any, *, legacy: bool = False, protocol: int = 2) -> tuple[bytes, dict[str, np.ndarray]]:
    """Gives the pickle of what is saved, and the storages that it names."""
    file = io.BytesIO()
    pickler = Pickler(file, protocol, legacy=legacy)
    with mock.patch.dict(sys.modules, torch_modules()):
        pickler.dump(content)
    return file.getvalue(), dict(pickler.storages.values())


def zip_bytes(data: bytes, storages: dict[str, np.ndarray], *, order: bytes = b"little", **members: bytes) -> bytes:
    """Gives the archive: every member begins at a multiple of 64 bytes, and none is compressed."""
    file = io.BytesIO()
    contents = {"data.pkl": data, "byteorder": order, **{f"data/{k}": a.tobytes() for k, a in storages.items()}}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, content in {**contents, "version": b"3\n", **members}.items():
            info = zipfile.ZipInfo(f"archive/{name}")
            filled = file.tell() + 30 + len(info.filename) + 4
            info.extra = struct.pack("<2sH", b"FB", -filled % 64) + b"Z" * (-filled % 64)
            archive.writestr(info, content)
    return file.getvalue()


def legacy_bytes(content: Any, protocol: int = 2) -> bytes:
    """Gives the format before PyTorch 1.6."""
    data, storages = pickled(content, legacy=True, protocol=protocol)
    sizes = {"short": 2, "int": 4, "long": 4}
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": sizes}
    parts = [pickle.dumps(value, protocol) for value in (MAGIC, 1001, system)]
    parts += [data, pickle.dumps(sorted(storages), protocol)]
    for key in sorted(storages):
        parts += [struct.pack("<q", storages[key].size), storages[key].tobytes()]
    return b"".join(parts)


@dataclass(frozen=True)
class Storage:
    """What a tensor's pickle names instead of holding."""

    array: np.ndarray


class Pickler(pickle.Pickler):
    """Pickles arrays as tensors, and notes their storages."""

    def __init__(self, file: Any, protocol: int, *, legacy: bool) -> None:
        super().__init__(file, protocol)
        self.legacy = legacy
        self.storages: dict[int, tuple[str, np.ndarray]] = {}

    def reducer_override(self, value: Any) -> Any:
        if not isinstance(value, np.ndarray):
            return NotImplemented
        whole = value
        while isinstance(whole.base, np.ndarray):
            whole = whole.base
        offset = (value.__array_interface__["data"][0] - whole.__array_interface__["data"][0]) // value.itemsize
        strides = tuple(step // value.itemsize for step in value.strides)
        rebuild = sys.modules["torch._utils"]._rebuild_tensor_v2
        return rebuild, (Storage(whole), offset, value.shape, strides, False, OrderedDict())

    def persistent_id(self, value: Any) -> Any:
        if not isinstance(value, Storage):
            return None
        key = str(94_000_000 + len(self.storages)) if self.legacy else str(len(self.storages))
        key, array = self.storages.setdefault(id(value.array), (key, value.array))
        kind = getattr(sys.modules["torch"], STORAGES[array.dtype.name])
        identity = ("storage", kind, key, "cpu", array.size)
        return (*identity, None) if self.legacy else identity


def torch_modules() -> dict[str, types.ModuleType]:
    """Gives modules of the names that PyTorch's pickles import from, for pickle looks whether they are there."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for name in STORAGES.values():
        setattr(torch, name, type(name, (), {"__module__": "torch", "__qualname__": name}))
    for name in ("_rebuild_tensor_v2", "_rebuild_parameter"):
        function = types.FunctionType(compile("0", name, "eval"), {}, name)
        function.__module__, function.__qualname__ = "torch._utils", name
        setattr(utils, name, function)
    return {"torch": torch, "torch._utils": utils}
