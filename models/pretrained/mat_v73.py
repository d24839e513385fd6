"""MATLAB's MAT-files of version 7.3: HDF5 files with MATLAB's attributes, axes in reverse order, cells as references.

Source: https://www.mathworks.com/help/matlab/import_export/mat-file-versions.html and published files; MathWorks does
not document the attributes.
"""

from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from hdf5_helper.errors import FacetError
from models.pretrained.hdf5_arrays import read_dataset
from models.pretrained.matlab_values import FIELDS, VARIABLES, Budget, Opaque, Value, enter

NUMBERS = {"double", "single", "logical", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))}


@dataclass(frozen=True)
class _Reading:
    """What is left of the bounds for one file, and whether its arrays are unpacked."""

    budget: Budget
    unpack: bool


def read_mat_v73(path: Path) -> dict[str, Value]:
    """Gives the file's variables that may be a network (VARIABLES) by name, with their FIELDS.

    The HDF5 library may crash on a damaged file: let another process do `check_mat_v73` before.

    Raises:
        FacetError: the file cannot be read or is damaged; the sentence names the file.
    """
    return _read(path, unpack=True)


def check_mat_v73(path: Path) -> None:
    """Asks the HDF5 library for all that `read_mat_v73` asks it for, but unpacks no array: that needs no library."""
    _read(path, unpack=False)


def _read(path: Path, *, unpack: bool) -> dict[str, Value]:
    try:
        with h5py.File(path, "r") as file:
            reading = _Reading(Budget(path.stat().st_size), unpack)
            return {name: _value(_member(file, name), reading, 0) for name in file if name in VARIABLES}
    except FacetError as error:
        raise FacetError(f"{path}: MATLAB 7.3 file: {error}") from None
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        # h5py raises all of these for damage
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise FacetError(f"{path}: damaged ({reason[:200]}), expected a MATLAB 7.3 file") from error


def _member(group: h5py.Group, name: str) -> Any:
    """Gives a group's member that lies in this very file: a link to another file is not followed."""
    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise FacetError(f"{name!r} is a link, expected a value")
    return group[name]


def _value(node: Any, reading: _Reading, depth: int) -> Value:
    depth = enter(depth)
    reading.budget.value()
    if isinstance(node, h5py.Group):
        return _struct(node, reading, depth) if _class(node) == "struct" else Opaque("an object or a sparse array")
    if not isinstance(node, h5py.Dataset):
        raise FacetError(f"{type(node).__name__} found, expected a group or a dataset")
    return _dataset(node, reading, depth)


def _dataset(node: h5py.Dataset, reading: _Reading, depth: int) -> Value:
    kind = _class(node)
    if node.attrs.get("MATLAB_empty"):
        return {"char": "", "cell": [], "struct": []}.get(kind, np.empty((0, 0)))
    if kind == "cell":
        return [_value(each, reading, depth) for each in _referred(node, reading)]
    if kind == "char":
        return _text(node, reading)
    if kind not in NUMBERS or node.dtype.kind not in "fiu":
        return Opaque("a complex array" if kind in NUMBERS else "an object")
    return read_dataset(node, reading.budget, unpack=reading.unpack).T


def _class(node: Any) -> str:
    found = node.attrs.get("MATLAB_class")
    return found.decode("latin-1") if isinstance(found, bytes) else ""


def _struct(group: h5py.Group, reading: _Reading, depth: int) -> Value:
    """Gives a struct, or the list of an array of structs: its fields are references, one for each struct."""
    members = {name: _member(group, name) for name in group if name in FIELDS}
    many = {name: node for name, node in members.items() if isinstance(node, h5py.Dataset) and not _class(node)}
    if not many:
        return {name: _value(node, reading, depth) for name, node in members.items()}
    columns = {name: [_value(each, reading, depth) for each in _referred(node, reading)] for name, node in many.items()}
    if len(columns) < len(members) or len({len(column) for column in columns.values()}) > 1:
        raise FacetError("an array of structs has fields of different lengths, expected one length")
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _referred(dataset: h5py.Dataset, reading: _Reading) -> list[Any]:
    if h5py.check_ref_dtype(dataset.dtype) is not h5py.Reference:
        raise FacetError(f"a cell array holds {dataset.dtype}, expected references")
    references = read_dataset(dataset, reading.budget).ravel()
    if not all(references):
        raise FacetError("a cell array refers to nothing, expected a value")
    return [dataset.file[reference] for reference in references]


def _text(dataset: h5py.Dataset, reading: _Reading) -> str:
    if dataset.dtype.kind != "u" or prod(dataset.shape) > 2048:
        raise FacetError(f"a text of shape {dataset.shape} in {dataset.dtype}, expected a name or a type")
    return "".join(map(chr, read_dataset(dataset, reading.budget).ravel().astype(np.uint16)))
