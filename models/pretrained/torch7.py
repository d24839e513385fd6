"""Weights from Torch7's `.t7` and `.net` files: networks of `nn`, `cudnn` and `nngraph`, and tensors on their own.

A layer's name is its place in the tree of containers, counted from 0: `3.weight`, or `3.1.weight` in a container within
the network. A module that stands in several places is named by the first.

Sources: File.lua and generic/Tensor.c of https://github.com/torch/torch7, BatchNormalization.lua,
SpatialConvolution.lua and SpatialConvolutionMM.lua of https://github.com/torch/nn, gmodule.lua of
https://github.com/torch/nngraph.
"""

import math
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from hdf5_helper.errors import FacetError
from models.pretrained.mapped import mapped
from models.pretrained.named_arrays import Array, NamedArrays
from models.pretrained.torch7_encoding import encodings
from models.pretrained.torch7_objects import Table, Tensor, TorchObject, read_object

ROLES = ("weight", "bias", "running_mean", "running_var")
_EPSILON = 1e-5  # of a BatchNormalization that says none

_MOST_ARRAYS = 100_000
_MOST_COMPUTED = 1 << 26  # bytes of arrays that are no views
_LONGEST_NAME = 1000

# A table or a Torch object with an index below 2^24: a class's name follows, or a count and the first key's type.
_BINARY = re.compile(
    rb"\x04\0\0\0...\0[\x01-\xc8]\0\0\0(?:V \d|[A-Za-z]\w*\.\w)|\x03\0\0\0...\0....[\x01-\x05]\0\0\0",
    re.DOTALL | re.ASCII,
)
_TEXT = re.compile(rb"4\s+\d+\s+\d+\s+(?:V \d|[A-Za-z]\w*\.\w)|3\s+\d+\s+\d+\s+[1-5]\s", re.ASCII)

_Arrays = dict[str, Array]
_Named = Iterator[tuple[str, Any]]  # nodes of a tree, or arrays


def looks_like(head: bytes) -> bool:
    """Tells whether a file that begins so is one of Torch7's with a table or a Torch object in it."""
    return bool(_BINARY.match(head) or _TEXT.match(head))


def read_torch7(path: Path) -> NamedArrays:
    """Gives the weights of a network, or the tensors of a file without one; arrays of binary files are views of it.

    Of a network come weight, bias, running_mean and running_var of each layer: kernels (out, in, height, width) also
    where the file has them as matrices, dense layers (out, in). An old BatchNormalization's running_std, which holds
    the reciprocal of the deviation, is given as running_var. A table of several networks puts its keys before the
    names, one of a network and other things does not. Tensors without a network are named by their keys as the file has
    them, such as `conv1.weight` or `1`; a tensor alone is `tensor`.

    FacetError where the file is damaged, none of Torch7's, or without any such array.
    """
    root, form = _root(path, mapped(path))
    try:
        layers = _layers(root)
        arrays = layers or _tensors(root)
    except ValueError as error:
        raise FacetError(f"{path}: {form}: {error}") from error
    if not arrays:
        raise FacetError(f"{path}: {form}: neither a network nor tensors found, expected a network's weights")
    return NamedArrays(form, arrays, "OIHW", named=not layers, in_order=bool(layers))


def _root(path: Path, data: memoryview) -> tuple[Any, str]:
    """Gives the object in a file and the name of its encoding; where none fits, the error of what came farthest."""
    failures: list[tuple[int, FacetError]] = []
    for file in encodings(path, data):
        try:
            return read_object(file), file.form
        except FacetError as error:
            failures.append((file.position, error))
            if not file.ambiguous:
                break
    raise max(failures, key=lambda failure: failure[0])[1]


def _layers(root: Any) -> _Arrays:
    """Gives the parameters of all layers of the networks in an object, by name."""
    seen: set[int] = set()
    networks = [node for node in _walk(root, _entries, set()) if isinstance(node[1], TorchObject)]
    found = [(key, arrays) for key, network in networks if (arrays := _collected(_parameters(network, seen)))]
    if len(found) == 1:
        return found[0][1]
    return _collected((_joined(key, name), array) for key, arrays in found for name, array in arrays.items())


def _tensors(root: Any) -> _Arrays:
    """Gives the tensors of an object without networks, by their keys."""
    nodes = ((name or "tensor", node) for name, node in _walk(root, _entries, set()) if isinstance(node, Tensor))
    return _collected((name, _array(name, tensor)) for name, tensor in nodes if tensor.count)


def _walk(root: Any, parts: Callable[[Any], _Named], seen: set[int]) -> _Named:
    """Gives a tree's nodes by name, parents first; what stands in several places, or in itself, comes once."""
    waiting: list[tuple[str, _Named]] = [("", iter([("", root)]))]
    while waiting:
        name, rest = waiting[-1]
        part = next((part for part in rest if id(part[1]) not in seen), None)
        if part is None:
            waiting.pop()
            continue
        name, node = _joined(name, part[0]), part[1]
        seen.add(id(node))
        yield name, node
        waiting.append((name, parts(node)))


def _entries(node: Any) -> _Named:
    """Gives what a table holds by key, where that may be of use."""
    for key, value in node.entries.items() if isinstance(node, Table) else ():
        if isinstance(value, Table | TorchObject | Tensor):
            yield _key(key), value


def _parameters(network: TorchObject, seen: set[int]) -> Iterator[tuple[str, Array]]:
    """Gives the arrays of a network's layers; a layer that is saved without a network stands in place 0."""
    alone = "0" if network.fields.entries.keys().isdisjoint((b"modules", b"forwardnodes")) else ""
    for place, module in _walk(network, _members, seen):
        yield from _own(place or alone, module.fields.entries).items()


def _members(container: TorchObject) -> _Named:
    """Gives the modules of a container by their places; nngraph at first kept them only in the nodes of its graph."""
    fields = container.fields.entries
    listed = _listed(fields.get(b"modules"))
    if b"modules" not in fields:
        listed = enumerate(_module_of(node) for _, node in _listed(fields.get(b"forwardnodes")))
    return ((str(place), module) for place, module in listed if isinstance(module, TorchObject))


def _listed(table: Any) -> Iterable[tuple[int, Any]]:
    """Gives what a table holds under whole numbers, with its place from 0."""
    entries = table.entries if isinstance(table, Table) else {}
    return sorted((int(key) - 1, entries[key]) for key in entries if isinstance(key, float) and key.is_integer())


def _module_of(node: Any) -> Any:
    data = node.fields.entries.get(b"data") if isinstance(node, TorchObject) else None
    return data.entries.get(b"module") if isinstance(data, Table) else None


def _own(layer: str, fields: dict[Any, Any]) -> _Arrays:
    """Gives a layer's own arrays, each with the axes of its meaning."""
    tensors = {role: fields[role.encode()] for role in (*ROLES, "running_std") if role.encode() in fields}
    arrays = {
        role: _array(_joined(layer, role), tensor)
        for role, tensor in tensors.items()
        if isinstance(tensor, Tensor) and tensor.count
    }
    if "weight" in arrays:
        arrays["weight"] = _kernel(arrays["weight"], fields)
    if "running_std" in arrays:
        arrays.setdefault("running_var", _variance(arrays["running_std"], fields))
    return {_joined(layer, role): arrays[role] for role in ROLES if role in arrays}


def _array(name: str, tensor: Tensor) -> Array:
    try:
        return tensor.array()
    except ValueError as error:
        raise ValueError(f"{name}: {error}, expected a tensor within its storage") from error


def _kernel(weight: Array, fields: dict[Any, Any]) -> Array:
    """Gives a convolution's matrix (out, in x height x width) its four axes; all other weights as they are."""
    sizes = [fields.get(name) for name in (b"nInputPlane", b"kH", b"kW")]
    whole = [int(size) for size in sizes if isinstance(size, float) and 1 <= size < 1 << 31]
    if weight.ndim == 2 and len(whole) == 3 and math.prod(whole) == weight.shape[1]:
        return weight.reshape(-1, *whole)
    return weight


def _variance(running_std: Array, fields: dict[Any, Any]) -> Array:
    """Gives what `BatchNormalization.lua` makes of the first version's reciprocal deviations."""
    epsilon = fields.get(b"eps")
    with np.errstate(all="ignore"):
        return running_std**-2.0 - (epsilon if isinstance(epsilon, float) else _EPSILON)


def _collected(named: Iterable[tuple[str, Array]]) -> _Arrays:
    arrays: _Arrays = {}
    computed = 0
    for name, array in named:
        computed += array.nbytes if array.base is None else 0
        if name in arrays:
            raise ValueError(f"two arrays named {name}, expected one")
        if len(arrays) == _MOST_ARRAYS or computed > _MOST_COMPUTED:
            raise ValueError(
                f"more than {len(arrays)} arrays of {computed} computed bytes, expected those of a network"
            )
        arrays[name] = array
    return arrays


def _key(key: float | bytes) -> str:
    if isinstance(key, float):
        return f"{key:g}"
    text = key.decode("utf-8", "replace")
    return text if text.isprintable() else ascii(text)[1:-1]


def _joined(name: str, part: str) -> str:
    joined = f"{name}.{part}" if name and part else name or part
    if len(joined) > _LONGEST_NAME:
        raise ValueError(f"an array's name of {len(joined)} characters, expected no more than {_LONGEST_NAME}")
    return joined
