"""Weights and whole models that Keras 1, 2 or 3 wrote as `.h5`.

Sources: `save_weights_to_hdf5_group` of Keras 1.2 `keras/engine/topology.py`, Keras 2.3 `keras/engine/saving.py` and
Keras 3 `keras/src/legacy/saving/legacy_h5_format.py`; BatchNormalization of Keras 1.2 for `running_std`, a variance.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from hdf5_helper.errors import FacetError
from models.pretrained.guarded import survives
from models.pretrained.mapped import mapped
from models.pretrained.named_arrays import LONGEST_NAME, Array, NamedArrays, is_name

_SIGNATURE = b"\x89HDF\r\n\x1a\n"

#: Beyond the file's size, for compressed arrays.
_SPARE_BYTES = 512 << 20

#: Deflate, shuffle, Fletcher's checksum, lzf: what h5py has built in.
_FILTERS = {1, 2, 3, 32000}

#: Floats and integers of numpy's own sizes.
_DTYPES = {"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"}

#: Keras 1 writes `LAYER_W`, and `LAYER_W_1` where TensorFlow had that name already.
_KERAS_1 = re.compile(
    r"(?P<layer>.+)_(?P<role>W|b|gamma|beta|running_mean|running_std|depthwise_kernel|pointwise_kernel|alphas)(_\d+)?"
)
_ROLES = {
    "W": "kernel", "b": "bias", "running_mean": "moving_mean", "running_std": "moving_variance", "alphas": "alpha",
}  # fmt: skip

_CHANNELS_FIRST = re.compile(r'"(dim_ordering|data_format|image_data_format)": *"(th|channels_first)"')


def looks_like(head: bytes) -> bool:
    """Tells whether a file that begins so is HDF5; MATLAB's begin with text."""
    return head[:8] == _SIGNATURE


def read_keras_h5(path: Path) -> NamedArrays:
    """Gives the arrays of a model's layers as `LAYER.ROLE`, in the model's order.

    Roles are those of Keras 2: `kernel`, `bias`, `depthwise_kernel`, `gamma`, `beta`, `moving_mean`, `moving_variance`.
    Layers of models inside of models stand under their own names. Where two have one name, the later is called
    `OUTER/LAYER`. Arrays are as they are in the file, views of it where they are not compressed. libhdf5 reads the file
    in a process of its own first, for it may crash on damaged ones.

    Returns:
        NamedArrays with kernels (height, width, in, out).

    Raises:
        FacetError: the file is damaged, holds no layers, or has kernels in Theano's order (turned in space, or channels
            first), which weights alone do not tell in Keras 1; or arrays that lie elsewhere than in the file.
    """
    mapped(path)
    survives(path, f"{__name__}:read_unguarded")
    return read_unguarded(path)


def read_unguarded(path: Path) -> NamedArrays:
    """Does the same in this process, which may crash."""
    data = mapped(path)
    try:
        with h5py.File(path, "r") as file:
            root = file["model_weights"] if _hard(file, "model_weights") else file
            _check_origin(file, root)
            arrays = _named(_Reader(data), root)
            return NamedArrays(_form(root), arrays, "HWIO")
    except FacetError as error:
        raise FacetError(f"{path}: {error}") from None


def _check_origin(file: h5py.File, root: Any) -> None:
    if "nb_layers" in root.attrs:
        raise FacetError("weights of a Keras before 1.0, expected Keras 1 or later")
    if "layers" in file and not file.attrs:
        raise FacetError("weights of Keras 3, expected those of another framework: --weights takes these as they are")
    if not {"layer_names", "layer_names0"} & set(root.attrs):
        raise FacetError("an HDF5 file of another program, expected weights or a model of Keras 1 or 2")
    if _text(root.attrs.get("backend")) == "theano":
        raise FacetError(
            "kernels of Theano, which turns them in space, expected those of TensorFlow: load the file in Keras 2 on "
            "TensorFlow and save it again"
        )
    if _CHANNELS_FIRST.search(_text(file.attrs.get("model_config"))):
        raise FacetError("a model with channels first, expected channels last")


def _form(root: Any) -> str:
    """Gives the name of the format; Keras 1 did not write its version."""
    version = _text(root.attrs.get("keras_version"))[:1]
    return f"Keras {version if version.isdecimal() else '1'}, HDF5"


def _text(value: Any) -> str:
    """Gives an attribute's text, nothing where it is none."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value if isinstance(value, str) else ""


def _names(attributes: Any, name: str) -> Iterator[str]:
    """Gives the names in an attribute, which Keras splits in `NAME0`, `NAME1` … where it is too long."""
    count = 0
    while (part := name if name in attributes else f"{name}{count}") in attributes:
        values = np.ravel(attributes[part]).tolist()
        for value in values:
            text = _text(value)
            if not is_name(text):
                raise FacetError(f"{name} has {text!r:.60}, expected 1 to {LONGEST_NAME} printable characters")
            yield text
        if part == name:
            return
        count += 1


def _named(reader: "_Reader", root: Any) -> dict[str, Array]:
    arrays: dict[str, Array] = {}
    for group in _names(root.attrs, "layer_names"):
        members = reader.inside(root, group)
        for weight in _names(members.attrs, "weight_names"):
            layer, role = layer_and_role(group, weight)
            name = f"{layer}.{role}"
            name = f"{group}/{name}" if name in arrays else name
            if name in arrays:
                raise FacetError(f"two arrays are called {name!r}, expected a name of its own for each")
            arrays[name] = reader.array(members, weight)
    if not arrays:
        raise FacetError("no layer has an array, expected a network with its weights")
    return arrays


def layer_and_role(group: str, weight: str) -> tuple[str, str]:
    """Gives the layer and the role of an array.

    Args:
        group: the outer layer's name.
        weight: the array's name there: `LAYER/ROLE:0`, or in Keras 1 `LAYER_ROLE`, both perhaps with more before them;
            LAYER is the outer layer, perhaps with a number more, or one inside of it.
    """
    name = re.sub(r":\d+$", "", weight)
    scope, _, role = name.rpartition("/")
    if not scope and (old := _KERAS_1.fullmatch(name)):
        scope, role = old["layer"], old["role"]
    if not scope or re.fullmatch(rf"(.*/)?{re.escape(group)}(_\d+)?", scope):
        return group, _ROLES.get(role, role)
    return scope.rpartition("/")[2], _ROLES.get(role, role)


def _hard(group: Any, name: str) -> bool:
    return isinstance(group.get(name, getlink=True), h5py.HardLink)


class _Reader:
    """Gives arrays of a file, no more of them than fit in its size and a little more."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._left = len(data) + _SPARE_BYTES

    def inside(self, group: Any, path: str) -> Any:
        """Gives an object by its path in a group; only what lies there itself is followed."""
        for name in filter(None, path.split("/")):
            if not isinstance(group, h5py.Group) or not _hard(group, name):
                raise FacetError(f"{path!r:.80} is missing or lies elsewhere, expected it inside of the file")
            group = group[name]
        return group

    def array(self, group: Any, path: str) -> Array:
        """Gives an array, in this machine's byte order."""
        dataset = self.inside(group, path)
        if not isinstance(dataset, h5py.Dataset) or dataset.shape is None or dataset.dtype.str[1:] not in _DTYPES:
            raise FacetError(f"{path!r:.80} is no array of numbers, expected one of floats or integers")
        if dataset.external or dataset.is_virtual:
            raise FacetError(f"{path!r:.80} lies in another file, expected it inside of this one")
        plan = dataset.id.get_create_plist()
        if not {plan.get_filter(place)[0] for place in range(plan.get_nfilters())} <= _FILTERS:
            raise FacetError(f"{path!r:.80} is compressed by a plugin, expected deflate or lzf")
        self._left -= dataset.nbytes
        if self._left < 0:
            raise FacetError(f"{path!r:.80} has {dataset.nbytes:,} bytes, expected arrays as large as the file")
        if self._is_plain(dataset):
            start = dataset.id.get_offset()
            return np.frombuffer(self._data[start : start + dataset.nbytes], dataset.dtype).reshape(dataset.shape)
        found: Array = dataset[...].astype(dataset.dtype.newbyteorder("="), copy=False)
        return found

    def _is_plain(self, dataset: Any) -> bool:
        """Tells whether a dataset's bytes in the file are those of the array."""
        offset = dataset.id.get_offset()
        return (
            offset is not None
            and offset + dataset.nbytes <= len(self._data)
            and dataset.dtype.isnative
            and dataset.id.get_type() == h5py.h5t.py_create(dataset.dtype)
        )
