"""MatConvNet's `.mat`: networks of its SimpleNN and DagNN wrappers, in MATLAB's file formats 5 to 7.3.

Sources: https://github.com/vlfeat/matconvnet : matlab/simplenn/vl_simplenn.m, vl_simplenn_tidy.m (old `filters` and
`biases`), matlab/+dagnn/@DagNN/saveobj.m and loadobj.m, matlab/vl_nnbnorm.m (moments).
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from hdf5_helper.errors import FacetError
from models.pretrained.guarded import survives
from models.pretrained.layer_arrays import by_layer, roles
from models.pretrained.mapped import mapped
from models.pretrained.mat_v5 import read_mat_v5
from models.pretrained.mat_v73 import read_mat_v73
from models.pretrained.matlab_values import Opaque, Value
from models.pretrained.named_arrays import Array, NamedArrays

STARTS = {b"MATLAB 5.0 MAT": "version 5", b"MATLAB 7.3 MAT": "version 7.3"}


def read_matconvnet(path: Path) -> NamedArrays:
    """Reads the arrays of a MatConvNet network, by layer.

    The network is the variable `net`, or the file's variables are its fields. A SimpleNN layer has `weights`, or
    `filters` and `biases`; a DagNN layer names its `params`. Roles: `weight`, `bias`, then `blob2` …; the third array
    of batch normalisation is `moments`, (channels, 2): mean, and standard deviation sqrt(variance + epsilon).
    Shapes: convolution (height, width, in / groups, out), also where MATLAB left out ones at the end; bias, and weight
    of batch normalisation, (out,). Empty arrays, as of a missing bias, are left out. Layers are called by their place,
    from 0, if one that has arrays has no name.

    Returns:
        float32 as a rule, else as in the file; views of the file where it is of version 5 and not compressed.

    Raises:
        FacetError: the file cannot be read, is damaged, or holds no network of these kinds.
    """
    kind = STARTS.get(_start(path))
    if kind is None:
        raise FacetError(f"{path}: starts with {_start(path)!r}, expected a MATLAB file of version 5 to 7.3")
    return network(path, kind, _variables(path, kind))


def network(path: Path, kind: str, variables: dict[str, Value]) -> NamedArrays:
    """Gives the network in the variables of a MATLAB file, as `read_matconvnet` does; `kind` is such as `version 5`."""
    try:
        layers, named = _layers(variables)
        arrays = by_layer(layers)
    except FacetError as error:
        raise FacetError(f"{path}: MatConvNet network: {error}") from None
    return NamedArrays(f"MatConvNet, MATLAB {kind}", arrays, "HWIO", named, rgb_mean=_rgb_mean(variables))


def looks_like(head: bytes) -> bool:
    """Whether a file that starts so is MATLAB's, version 5 to 7.3; `head` is its first 512 bytes."""
    return head[:14] in STARTS


def _start(path: Path) -> bytes:
    return bytes(mapped(path)[:14])


def _variables(path: Path, kind: str) -> dict[str, Value]:
    if kind == "version 7.3":
        survives(path, "models.pretrained.mat_v73:check_mat_v73")
        return read_mat_v73(path)
    try:
        return read_mat_v5(mapped(path))
    except FacetError as error:
        raise FacetError(f"{path}: MATLAB 5 file: {error}") from None


def _layers(variables: dict[str, Value]) -> tuple[list[tuple[str, Mapping[str, Array]]], bool]:
    """Gives each layer's name and arrays, and whether the names are the layers' own."""
    net = variables.get("net", variables)
    if isinstance(net, Opaque):
        raise FacetError(f"`net` is {net.kind}, expected a struct (for a DagNN: net = net.saveobj())")
    if not isinstance(net, dict) or not isinstance(net.get("layers"), list | dict):
        raise FacetError("no variable `net` and no `layers`, expected a SimpleNN or DagNN")
    layers = [_fields(layer, "layer") for layer in _many(net["layers"])]
    params = _params(net["params"]) if "params" in net else None
    found = [_simple(layer) if params is None else _dag(layer, params) for layer in layers]
    names = [layer.get("name", "") for layer in layers]
    if all(isinstance(name, str) and name for name, arrays in zip(names, found, strict=True) if arrays):
        return list(zip(map(_word, names), found, strict=True)), True
    return [(str(place), arrays) for place, arrays in enumerate(found)], False


def _rgb_mean(variables: dict[str, Value]) -> tuple[float, float, float] | None:
    """Gives the mean colour of `normalization.averageImage`, an image or a colour, where there is one."""
    place: Value = variables.get("net", variables)
    for field in ("meta", "normalization", "averageImage"):
        if isinstance(place, dict) and (field in place or field != "meta"):  # the first networks have no `meta`
            place = place.get(field)
    if not isinstance(place, np.ndarray) or place.size % 3 or not place.size:
        return None
    colours = place if place.ndim == 3 else place.reshape(1, 1, -1)
    if colours.shape[2] != 3 or not np.isfinite(colours).all():
        return None
    red, green, blue = colours.mean((0, 1), dtype=np.float64)
    return float(red), float(green), float(blue)


def _many(value: Value) -> list[Value]:
    """Gives the parts of a cell array or of an array of structs; MATLAB keeps no array of one struct."""
    return value if isinstance(value, list) else [value]


def _fields(value: Value, what: str) -> dict[str, Value]:
    if not isinstance(value, dict):
        raise FacetError(f"a {what} is no struct, expected its fields")
    return value


def _word(value: Value) -> str:
    return value if isinstance(value, str) else ""


def _simple(layer: dict[str, Value]) -> dict[str, Array]:
    if "weights" in layer:
        return _by_role(layer, _many(layer["weights"]))
    return _by_role(layer, [layer[field] for field in ("filters", "biases") if field in layer])


def _params(params: Value) -> dict[str, Value]:
    fields = [_fields(each, "parameter") for each in _many(params)]
    return {_word(each.get("name")): each.get("value") for each in fields}


def _dag(layer: dict[str, Value], params: Mapping[str, Value]) -> dict[str, Array]:
    names = [name for name in _many(layer.get("params", [])) if isinstance(name, str)]
    missing = [name for name in names if name not in params]
    if missing:
        raise FacetError(f"a layer has the parameter {missing[0][:40]!r}, expected one that the file holds")
    return _by_role(layer, [params[name] for name in names])


def _by_role(layer: dict[str, Value], values: list[Value]) -> dict[str, Array]:
    """Gives a layer's arrays by role, in the shapes that they have in MATLAB; empty ones are left out."""
    kind = _word(layer.get("type")).lower().removeprefix("dagnn.")
    for value in values:
        if not isinstance(value, np.ndarray):
            what = (
                value.kind if isinstance(value, Opaque) else "a text" if isinstance(value, str) else "a cell or struct"
            )
            name = _word(layer.get("name"))[:40]
            raise FacetError(f"{what} stands among the arrays of layer {name!r}, expected numbers")
    if kind in {"bnorm", "batchnorm"}:
        shapes = [value.shape if place == 2 else (value.size,) for place, value in enumerate(values)]
        names: tuple[str, ...] = ("weight", "bias", "moments")
    else:
        shapes = [_shape(kind, place, value.shape) for place, value in enumerate(values)]
        names = ("weight", "bias")
    shaped = [value.reshape(shape) for value, shape in zip(values, shapes, strict=True)]
    return {role: array for role, array in roles(shaped, names).items() if array.size}


def _shape(kind: str, place: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Gives the shape that an array had before MATLAB left out ones at its end, and made a vector a matrix."""
    if place == 0 and kind in {"conv", "convt", "convtranspose"}:
        return shape + (1,) * (4 - len(shape))
    return (max(shape),) if place == 1 and sorted(shape)[:-1] == [1] * (len(shape) - 1) else shape
