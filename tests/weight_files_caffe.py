"""Writes Caffe networks: the weights as Caffe's versions wrote them, and the text that says how layers follow."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

#: V1LayerParameter.LayerType and the spelling in V1's text.
V1_KINDS = {"Convolution": (4, "CONVOLUTION"), "InnerProduct": (14, "INNER_PRODUCT")}
#: BatchNorm stores sums: what the averages are multiplied by, and the third blob.
FACTOR = 4.0


@dataclass(frozen=True)
class CaffeForm:
    """How a network is written.

    Attributes:
        version: 2 (`layer`) or 1 (`layers`).
        packed: whether numbers stand in one field, as Caffe has it, or each in one of its own.
        legacy: whether shapes are num, channels, height, width, as in all V1 files, or a shape message.
        double: whether numbers are `double_data`.
        diff: whether the gradients are there, too.
    """

    version: int = 2
    packed: bool = True
    legacy: bool = False
    double: bool = False
    diff: bool = False


def write_caffe(path: Path, layers: Sequence[tuple[str, dict[str, np.ndarray]]], form: CaffeForm | None = None) -> None:
    """Writes a `.caffemodel`.

    Args:
        path: the file to write.
        layers: name and arrays by role in Caffe's shapes: `weight` (out, in, h, w) or (out, in) or (n,), `bias` (n,);
            `running_mean` and `running_var` (n,) for BatchNorm.
        form: how; V2 with packed floats and shape messages if not given.
    """
    form = form or CaffeForm()
    number = 100 if form.version == 2 else 2
    with path.open("wb") as file:
        file.write(field(1, b"net"))
        for name, arrays in layers:
            file.write(field(number, layer_message(name, kind_of(arrays), blobs_of(arrays), form)))


def kind_of(arrays: dict[str, np.ndarray]) -> str:
    """Gives the layer type that has such arrays."""
    if "running_mean" in arrays:
        return "BatchNorm"
    axes = arrays["weight"].ndim
    return {4: "Convolution", 2: "InnerProduct"}.get(axes, "Scale" if "bias" in arrays else "PReLU")


def blobs_of(arrays: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Gives what Caffe stores for a layer."""
    if "running_mean" not in arrays:
        return list(arrays.values())
    sums = [array * np.float32(FACTOR) for array in (arrays["running_mean"], arrays["running_var"])]
    return [*sums, np.array([FACTOR], np.float32)]


def layer_message(name: str, kind: str, blobs: Iterable[np.ndarray], form: CaffeForm, extra: bytes = b"") -> bytes:
    """Gives the bytes of a layer; `extra` is put behind it."""
    stored = [blob_message(blob, form) for blob in blobs]
    if form.version == 2:
        head = field(1, name.encode()) + field(2, kind.encode()) + field(3, b"below") + field(4, b"above")
        return head + b"".join(field(7, blob) for blob in stored) + extra
    head = field(2, b"below") + field(3, b"above") + field(4, name.encode()) + integer(5, V1_KINDS[kind][0])
    return head + b"".join(field(6, blob) for blob in stored) + extra


def blob_message(array: np.ndarray, form: CaffeForm) -> bytes:
    """Gives the bytes of a BlobProto."""
    numbers = array.astype("<f8" if form.double else "<f4").ravel()
    data, diff = (8, 9) if form.double else (5, 6)
    content = _data(data, numbers, form.packed)
    if form.diff:
        content += _data(diff, numbers, form.packed)
    if form.legacy:
        shape = (1,) * (4 - array.ndim) + array.shape
        return b"".join(integer(axis, size) for axis, size in enumerate(shape, 1)) + content
    return content + field(7, field(1, b"".join(map(varint, array.shape))))


def _data(number: int, numbers: np.ndarray, packed: bool) -> bytes:
    if packed:
        return field(number, numbers.tobytes())
    width = numbers.itemsize
    tag = varint(number << 3 | (1 if width == 8 else 5))
    rows = np.empty((len(numbers), len(tag) + width), np.uint8)
    rows[:, : len(tag)] = list(tag)
    rows[:, len(tag) :] = numbers.view(np.uint8).reshape(-1, width)
    return rows.tobytes()


def varint(value: int) -> bytes:
    """Gives an unsigned integer of up to 64 bits as Protocol Buffers write it."""
    parts = []
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])


def integer(number: int, value: int) -> bytes:
    """Gives an integer field."""
    return varint(number << 3) + varint(value)


def field(number: int, content: bytes) -> bytes:
    """Gives a field of bytes: text, a message or packed numbers."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def prototxt(
    layers: Sequence[tuple[str, dict[str, np.ndarray]]],
    input_shape: tuple[int, int, int],
    *,
    pooled: Iterable[str] = (),
    version: int = 2,
) -> str:
    """Gives the text of a chain of these layers, which OpenCV and Caffe run.

    Convolutions are padded by half their kernel; a ReLU follows each convolution and dense layer but the last layer,
    and a maximum over 2 × 2 each layer in `pooled`.

    Args:
        layers: as for `write_caffe`.
        input_shape: channels, height, width.
        pooled: names of layers.
        version: of the format, 1 or 2.
    """
    lines = ['input: "data"', *(f"input_dim: {size}" for size in (1, *input_shape))]
    below, channels = "data", input_shape[0]
    for place, (name, arrays) in enumerate(layers):
        kind = kind_of(arrays)
        lines.append(_entry(name, kind, (below, name), _options(kind, arrays, channels), version))
        below = name
        if kind in V1_KINDS:
            channels = len(arrays["weight"])
            if place < len(layers) - 1:
                lines.append(_entry(f"{name}_relu", "ReLU", (name, name), "", version))
        if name in pooled:
            options = "pooling_param { pool: MAX kernel_size: 2 stride: 2 }"
            lines.append(_entry(f"{name}_pool", "Pooling", (name, f"{name}_pool"), options, version))
            below = f"{name}_pool"
    return "\n".join(lines) + "\n"


def _options(kind: str, arrays: dict[str, np.ndarray], channels: int) -> str:
    bias = str("bias" in arrays).lower()
    if kind == "Convolution":
        out, inputs, size, _ = arrays["weight"].shape
        return (
            f"convolution_param {{ num_output: {out} kernel_size: {size} pad: {size // 2} stride: 1 bias_term: {bias} "
            f"group: {channels // inputs} }}"
        )
    if kind == "InnerProduct":
        return f"inner_product_param {{ num_output: {len(arrays['weight'])} bias_term: {bias} }}"
    if kind == "BatchNorm":
        return "batch_norm_param { use_global_stats: true eps: 1e-5 }"
    return "scale_param { bias_term: true }" if kind == "Scale" else ""


def _entry(name: str, kind: str, ends: tuple[str, str], options: str, version: int) -> str:
    kinds = {"ReLU": "RELU", "Pooling": "POOLING", **{new: old for new, (_, old) in V1_KINDS.items()}}
    word, shown = ("layer", f'"{kind}"') if version == 2 else ("layers", kinds[kind])
    return f'{word} {{ name: "{name}" type: {shown} bottom: "{ends[0]}" top: "{ends[1]}" {options} }}'
