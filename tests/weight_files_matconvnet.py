"""Writes MatConvNet networks as MATLAB would: version 5 through scipy, version 7.3 as HDF5 with MATLAB's attributes."""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.io

from models.pretrained.mat_v73 import read_mat_v73
from models.pretrained.matconvnet import network
from models.pretrained.named_arrays import NamedArrays

REFERENCE = h5py.special_dtype(ref=h5py.Reference)
CLASSES = {"float32": "single", "float64": "double", "uint8": "uint8", "int32": "int32"}


@dataclass(frozen=True)
class MatConvNetForm:
    """How a network is written.

    Attributes:
        version: `5` or `7.3`.
        compressed: whether variables (5) or datasets (7.3) are packed by zlib, as MATLAB has it.
        dag: whether it is a DagNN, else a SimpleNN.
        loose: whether `layers` is a variable of its own, as in the first published models, else a field of `net`.
        old: whether a SimpleNN has `filters` and `biases`, else `weights`.
        named: whether layers have names.
    """

    version: str = "5"
    compressed: bool = False
    dag: bool = False
    loose: bool = False
    old: bool = False
    named: bool = True


class Structs(list[dict[str, Any]]):
    """An array of structs; a list is a cell array, a dict one struct."""


def write_matconvnet(
    path: Path, layers: Sequence[tuple[str, dict[str, np.ndarray]]], form: MatConvNetForm | None = None
) -> None:
    """Writes a `.mat`, with a ReLU behind each layer and an average image in `meta`.

    Args:
        path: the file to write.
        layers: name and arrays by role in MatConvNet's shapes: `weight` (h, w, in, out), `bias` (n,); or `weight`,
            `bias` (n,) and `moments` (n, 2) for batch normalisation.
        form: how; a SimpleNN in version 5 if not given.
    """
    form = form or MatConvNetForm()
    net = _dag(layers) if form.dag else _simple(layers, form)
    net["meta"] = {"normalization": {"averageImage": np.ones((2, 2, 3), np.float32)}}
    variables = net if form.loose else {"net": net, "stats": {"layers": "not these"}}
    if form.version == "7.3":
        write_mat_v73(path, variables, compressed=form.compressed)
    else:
        scipy.io.savemat(
            path,
            {name: _for_scipy(value) for name, value in variables.items()},
            do_compression=form.compressed,
            long_field_names=True,
        )


def _simple(layers: Iterable[tuple[str, dict[str, np.ndarray]]], form: MatConvNetForm) -> dict[str, Any]:
    written: list[dict[str, Any]] = []
    for name, arrays in layers:
        kind = "bnorm" if "moments" in arrays else "conv"
        values = list(map(_as_matlab, arrays.values()))
        held = dict(zip(("filters", "biases"), values, strict=True)) if form.old else {"weights": values}
        written.append({"name": name, "type": kind, **held, "pad": np.ones((1, 4))})
        written.append({"name": f"{name}_relu", "type": "relu"})
    if not form.named:
        for layer in written:
            del layer["name"]
    return {"layers": written}


def _dag(layers: Iterable[tuple[str, dict[str, np.ndarray]]]) -> dict[str, Any]:
    written, params = Structs(), Structs()
    for name, arrays in layers:
        kind = "dagnn.BatchNorm" if "moments" in arrays else "dagnn.Conv"
        names = [f"{name}{role[0]}" for role in arrays]
        params += [
            {"name": held, "value": _as_matlab(array), "learningRate": np.ones((1, 1))}
            for held, array in zip(names, arrays.values(), strict=True)
        ]
        for each, block, held in ((name, kind, names), (f"{name}_relu", "dagnn.ReLU", [])):
            ends = {"inputs": ["x"], "outputs": ["y"]}
            written.append({"name": each, "type": block, **ends, "params": held, "block": {"size": np.ones((1, 4))}})
    # the order in which a file holds them says nothing
    return {"layers": written, "params": Structs(reversed(params)), "vars": Structs([{"name": "x"}, {"name": "y"}])}


def _as_matlab(array: np.ndarray) -> np.ndarray:
    """Gives an array as MATLAB holds it: two axes at least, no ones at the end beyond them."""
    shape = (1, *array.shape) if array.ndim == 1 else array.shape
    while len(shape) > 2 and shape[-1] == 1:
        shape = shape[:-1]
    return array.reshape(shape, order="F")


def _for_scipy(value: Any) -> Any:
    if isinstance(value, Structs):
        table = np.empty((1, len(value)), [(field, object) for field in value[0]])
        for place, struct in enumerate(value):
            table[0, place] = tuple(_for_scipy(held) for held in struct.values())
        return table
    if isinstance(value, list):
        cells = np.empty((1, len(value)), object)
        for place, held in enumerate(value):
            cells[0, place] = _for_scipy(held)
        return cells
    return {name: _for_scipy(held) for name, held in value.items()} if isinstance(value, dict) else value


def element(kind: int, content: bytes) -> bytes:
    """Gives an element of version 5: its tag, its content, zeros up to a multiple of 8 bytes."""
    return struct.pack("<II", kind, len(content)) + content + bytes(-len(content) % 8)


def matrix(kind: int, shape: Sequence[int], content: bytes, name: bytes = b"") -> bytes:
    """Gives an array of version 5 of a class such as 1 (cell), 2 (struct), 4 (char), 6 (double) or 7 (single)."""
    flags = element(6, struct.pack("<II", kind, 0))
    sizes = element(5, struct.pack(f"<{len(shape)}i", *shape))
    return element(14, flags + sizes + element(1, name) + content)


def one_layer(weights: bytes, odd: bytes = b"") -> bytes:
    """Gives the content of the struct `net` of version 5 that has one layer `c`, whose `weights` are these bytes.

    It has a field `odd`, too: an array of a class that MATLAB does not have, if not given.
    """
    text = matrix(4, (1, 1), element(4, b"c\0"))
    layer = matrix(
        2, (1, 1), _names("name", "odd", "type", "weights") + text + (odd or matrix(99, (1, 1), b"")) + text + weights
    )
    return matrix(2, (1, 1), _names("layers") + matrix(1, (1, 1), layer), b"net")


def _names(*names: str) -> bytes:
    return element(5, struct.pack("<i", 32)) + element(1, b"".join(name.encode().ljust(32, b"\0") for name in names))


def mat_v5(*variables: bytes) -> bytes:
    """Gives a file of version 5 out of its variables."""
    return b"MATLAB 5.0 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x01IM" + b"".join(variables)


def write_mat_v73(path: Path, variables: dict[str, Any], *, compressed: bool = False) -> None:
    """Writes variables as MATLAB 7.3 does: dict, Structs, list, str or array."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, value in variables.items():
            _put(file, name, value, compressed=compressed)
    text = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Thu Jan 01 00:00:00 2015 HDF5 schema 1.00 ."
    with path.open("r+b") as raw:
        raw.write(text.ljust(124) + b"\x00\x02IM")


def _put(group: h5py.Group, name: str, value: Any, *, compressed: bool) -> None:
    if isinstance(value, Structs):
        made = group.create_group(name)
        made.attrs["MATLAB_class"] = np.bytes_("struct")
        for field in value[0]:
            made.create_dataset(field, data=_references(group.file, [each[field] for each in value], compressed))
    elif isinstance(value, dict):
        made = group.create_group(name)
        made.attrs["MATLAB_class"] = np.bytes_("struct")
        for field, held in value.items():
            _put(made, field, held, compressed=compressed)
    elif isinstance(value, list) and value:
        made = group.create_dataset(name, data=_references(group.file, value, compressed))
        made.attrs["MATLAB_class"] = np.bytes_("cell")
    elif isinstance(value, list):
        made = group.create_dataset(name, data=np.zeros(2, np.uint64))
        made.attrs["MATLAB_class"], made.attrs["MATLAB_empty"] = np.bytes_("cell"), np.uint8(1)
    elif isinstance(value, str):
        made = group.create_dataset(name, data=np.array([[ord(letter)] for letter in value], np.uint16))
        made.attrs["MATLAB_class"], made.attrs["MATLAB_int_decode"] = np.bytes_("char"), np.int32(2)
    else:
        packing = {"chunks": True, "compression": "gzip"} if compressed else {}
        made = group.create_dataset(name, data=value.T, **packing)
        made.attrs["MATLAB_class"] = np.bytes_(CLASSES[value.dtype.name])


def _references(file: h5py.File, values: Sequence[Any], compressed: bool) -> np.ndarray:
    """Gives references to values in `#refs#`, as a column: a row in MATLAB."""
    hidden = file.require_group("#refs#")
    home = hidden.create_group(str(len(hidden)))
    references = np.empty((len(values), 1), REFERENCE)
    for place, value in enumerate(values):
        _put(home, str(place), value, compressed=compressed)
        references[place, 0] = home[str(place)].ref
    return references


def read_unguarded(path: Path) -> NamedArrays:
    """Reads a file of version 7.3 in this process, which takes a thousandth of the time of a process of its own."""
    return network(path, "version 7.3", read_mat_v73(path))
