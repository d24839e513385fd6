"""Caffe's `.caffemodel`: a NetParameter message, V2 (`layer`) or V1 (`layers`), read without Caffe and its schema.

Sources: https://github.com/BVLC/caffe/blob/master/src/caffe/proto/caffe.proto (field numbers),
src/caffe/blob.cpp (which shape and which data count), src/caffe/layers/batch_norm_layer.cpp (the three blobs).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

from hdf5_helper.errors import FacetError
from models.pretrained.layer_arrays import by_layer, roles
from models.pretrained.mapped import mapped
from models.pretrained.named_arrays import Array, NamedArrays
from models.pretrained.protobuf_wire import I32, I64, LEN, VARINT, Field, WireReader, packed_varints, varint

#: Fields of NetParameter, and the wire types that each may have.
LAYERS_V1, LAYER_V2 = 2, 100
NET_FIELDS = {1: {LEN}, 2: {LEN}, 3: {LEN}, 4: {VARINT, LEN}, 5: {VARINT}, 6: {LEN}, 7: {VARINT}, 8: {LEN}, 100: {LEN}}
#: Field of V1LayerParameter that holds a whole layer of the first format, V0.
V0_INSIDE_V1 = 1
#: Field of InnerProductParameter: whether the matrix is stored (in, out).
TRANSPOSE = 6
#: Most axes of a blob, as in Caffe (kMaxBlobAxes).
MOST_AXES = 32


@dataclass(frozen=True)
class _Numbers:
    """Where a layer of one version has what is read of it."""

    name: int
    kind: int
    blobs: int
    inner_product: int


NUMBERS = {LAYERS_V1: _Numbers(4, 5, 6, 17), LAYER_V2: _Numbers(1, 2, 7, 117)}
#: V1LayerParameter.LayerType; later layers came with V2.
V1_KINDS = {4: "Convolution", 14: "InnerProduct", 39: "Deconvolution"}
#: What a layer's blobs are, where it is not weight and bias.
ROLES = {"BatchNorm": ("running_mean", "running_var"), "Bias": ("bias",)}


@dataclass(frozen=True)
class _Blob:
    """One array as it is stored; `legacy` if its shape is num, channels, height, width."""

    values: Array
    shape: tuple[int, ...]
    legacy: bool


@dataclass(frozen=True)
class _Layer:
    """What a layer message says."""

    name: str
    kind: str
    blobs: list[_Blob]
    transposed: bool


def read_caffe(path: Path) -> NamedArrays:
    """Reads the arrays of a Caffe network, by layer.

    Roles by layer type: `weight` (blob 0), `bias` (blob 1), then `blob2` …; BatchNorm has `running_mean` and
    `running_var`, already divided by its third blob, the scale factor (0 where that is 0, as Caffe does); Bias has
    `bias`. Shapes: convolution (out, in / groups, height, width), InnerProduct (out, in), also where the file has it
    transposed or as (1, 1, out, in); leading ones of other legacy shapes are left out, so that a bias is (out,).

    Returns:
        float32, or float64 from `double_data`; views of the file where it is packed, as Caffe writes it.

    Raises:
        FacetError: the file cannot be read, is damaged or holds no arrays, it is of Caffe's first format V0, or two
            layers with arrays have one name.
    """
    data = mapped(path)
    try:
        wire = WireReader()
        versions: set[int] = set()
        layers = list(_layers(wire, data, versions))
        arrays = by_layer((layer.name, _arrays(layer)) for layer in layers)
    except FacetError as error:
        raise FacetError(f"{path}: Caffe network: {error}") from None
    return NamedArrays("Caffe, V1" if LAYERS_V1 in versions else "Caffe, V2", arrays, "OIHW")


def looks_like(head: bytes) -> bool:
    """Whether a file that starts so is a NetParameter: its fields alone, up to the first layer.

    Args:
        head: the first 512 bytes, or the whole file where it is shorter.
    """
    view, at = memoryview(head), 0
    try:
        while at < len(view):
            tag, at = varint(view, at)
            number, kind = tag >> 3, tag & 7
            if kind not in NET_FIELDS.get(number, ()):
                return False
            length, at = varint(view, at)
            if number in NUMBERS:
                return _starts_a_layer(number, view[at : at + length])
            if kind == LEN:
                text = bytes(view[at : at + length])
                if number == 1 and not text.decode(errors="replace").isprintable():
                    return False
                at += length
    except FacetError:
        return False
    return False


def _starts_a_layer(number: int, content: memoryview) -> bool:
    """Whether a layer's first field may be one: bottom, top, name or type in text, as writers put them first."""
    if len(content) < 2:
        return False
    tag, length = content[0], content[1]
    if number == LAYERS_V1 and tag == 0x0A:
        # V0, which the reader refuses with what to do
        return True
    return tag in {0x0A, 0x12, 0x1A, 0x22} and length < 0x80 and bytes(content[2 : 2 + length]).isascii()


def _layers(wire: WireReader, data: memoryview, versions: set[int]) -> Iterator[_Layer]:
    for field in wire.fields(data):
        if field.number in NUMBERS:
            versions.add(field.number)
            yield _layer(wire, field)


def _layer(wire: WireReader, field: Field) -> _Layer:
    numbers = NUMBERS[field.number]
    name, kind, blobs, transposed = "", "", [], False
    for part in wire.fields(field.message):
        if part.number == V0_INSIDE_V1 and field.number == LAYERS_V1:
            raise FacetError(
                "layers of the first format V0, expected V1 or V2 (Caffe's upgrade_net_proto_binary writes V2)"
            )
        if part.number == numbers.name:
            name = _text(part)
        elif part.number == numbers.kind:
            kind = V1_KINDS.get(part.signed, "") if field.number == LAYERS_V1 else _text(part)
        elif part.number == numbers.blobs:
            blobs.append(_blob(wire, part.message))
        elif part.number == numbers.inner_product:
            transposed = any(each.signed for each in wire.fields(part.message) if each.number == TRANSPOSE)
    return _Layer(name, kind, blobs, transposed)


def _text(field: Field) -> str:
    return bytes(field.message).decode(errors="backslashreplace")


def _blob(wire: WireReader, message: memoryview) -> _Blob:
    shape: list[int] = []
    legacy: dict[int, int] = {}
    floats: list[Array] = []
    doubles: list[Array] = []
    for field in wire.fields(message):
        if field.number <= 4:
            legacy[field.number] = field.signed
        elif field.number == 5:
            floats.append(_numbers(field, I32))
        elif field.number == 7:
            shape += _dimensions(wire, field.message)
        elif field.number == 8:
            doubles.append(_numbers(field, I64))
    parts = doubles or floats or [np.empty(0, np.float32)]
    # Caffe takes the legacy shape where there is one, and double_data where there is any
    dimensions = tuple(legacy.get(axis, 0) for axis in range(1, 5)) if legacy else tuple(shape)
    values = parts[0] if len(parts) == 1 else np.concatenate(parts)
    if len(dimensions) > MOST_AXES or min(dimensions, default=0) < 0 or prod(dimensions) != values.size:
        raise FacetError(f"{values.size} numbers of shape {_shown(dimensions)}, expected a shape that fits")
    return _Blob(values, dimensions, bool(legacy))


def _dimensions(wire: WireReader, message: memoryview) -> list[int]:
    found: list[int] = []
    for field in wire.fields(message):
        if field.number == 1:
            found += packed_varints(field.content) if field.wire == LEN else [field.signed]
    return found


def _shown(shape: tuple[int, ...]) -> str:
    sizes = [str(size) for size in shape[:8]] + ["…"] * (len(shape) > 8)
    return f"({', '.join(sizes)})"


def _numbers(field: Field, wire: int) -> Array:
    """Gives packed numbers as a view, and numbers with a tag each as a copy."""
    kind: type = np.float32 if wire == I32 else np.float64
    stored = np.dtype(kind).newbyteorder("<")
    if field.wire == wire:
        return np.ascontiguousarray(field.fixed).view(stored).ravel().astype(kind, copy=False)
    if len(field.message) % stored.itemsize:
        raise FacetError(f"{len(field.message)} bytes of numbers, expected a multiple of {stored.itemsize}")
    return np.frombuffer(field.message, stored).astype(kind, copy=False)


def _arrays(layer: _Layer) -> dict[str, Array]:
    arrays = [blob.values.reshape(_meant(layer.kind, place, blob)) for place, blob in enumerate(layer.blobs)]
    if layer.transposed and arrays:
        arrays[0] = arrays[0].T
    if layer.kind == "BatchNorm" and len(arrays) > 2:
        return roles([*_averages(layer.name, arrays), *arrays[3:]], ROLES["BatchNorm"])
    return roles(arrays, ROLES.get(layer.kind, ("weight", "bias")))


def _meant(kind: str, place: int, blob: _Blob) -> tuple[int, ...]:
    """Gives the shape that a blob has today, whatever the version of Caffe that wrote it."""
    shape = blob.shape
    if not blob.legacy or (place == 0 and kind in {"Convolution", "Deconvolution"}):
        return shape
    axes = 2 if place == 0 and kind == "InnerProduct" else 1
    while len(shape) > axes and shape[0] == 1:
        shape = shape[1:]
    return shape


def _averages(name: str, arrays: list[Array]) -> list[Array]:
    """Gives mean and variance out of BatchNorm's sums: each divided by the third blob, the sum's weight."""
    mean, variance, factor = arrays[:3]
    if factor.size != 1:
        raise FacetError(f"BatchNorm {name[:40]!r} has {factor.size} scale factors, expected 1")
    scale = 1 / factor.item() if factor.item() else 0.0
    # what overflows is the file's: the caller finds it as an infinite number
    with np.errstate(all="ignore"):
        return [(sums * scale).astype(sums.dtype) for sums in (mean, variance)]
