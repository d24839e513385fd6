"""Rescaling and normalization at the head of a graph as the one 1×1 convolution that every runtime reads rightly."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.export.graph_rewrites import producer

_CHANNELS = 3


@dataclass(frozen=True)
class _Affine:
    """factor · x + offset for each channel, float64 (3,)."""

    factor: NDArray[np.float64]
    offset: NDArray[np.float64]

    def then(self, op: str, number: NDArray[np.float64], *, number_first: bool) -> "_Affine | None":
        """Gives what it is with one more operation behind it, None for one that is not of its kind."""
        if op == "Mul":
            return _Affine(self.factor * number, self.offset * number)
        if op in ("Add", "AddV2", "BiasAdd"):
            return _Affine(self.factor, self.offset + number)
        if op == "Sub":
            sign = -1.0 if number_first else 1.0
            return _Affine(sign * self.factor, sign * (self.offset - number))
        if op == "RealDiv" and not number_first:
            return _Affine(self.factor / number, self.offset / number)
        return None


def input_scaling_to_convolution(graph: Any) -> None:
    """Folds additions and multiplications by constants behind the input into one convolution with a bias.

    OpenCV 4.14 and 4.6 read those of Keras's Rescaling and Normalization layers and are wrong by 1e-2 where each
    channel has its own number.
    """
    nodes = {node.name: node for node in graph.node}
    begin = _begin(graph)
    affine, end = _Affine(np.ones(_CHANNELS), np.zeros(_CHANNELS)), begin
    while (step := _step(graph, nodes, end, affine)) is not None:
        end, affine = step
    if end != begin:
        _replace(graph, nodes, begin, end, affine)


def _step(graph: Any, nodes: dict[str, Any], end: str, affine: _Affine) -> tuple[str, _Affine] | None:
    """Gives the next operation of the chain and what everything up to it does; None where the chain ends."""
    node = _only_reader(graph, end)
    number = None if node is None else _number(nodes, node, end)
    more = None if number is None else affine.then(node.op, number, number_first=producer(node.input[0]) != end)
    return None if more is None else (node.name, more)


def _begin(graph: Any) -> str:
    """Gives the name of the input, or of the operation that makes it float32."""
    placeholder = next(node.name for node in graph.node if node.op == "Placeholder")
    reader = _only_reader(graph, placeholder)
    return str(reader.name if reader is not None and reader.op == "Cast" else placeholder)


def _only_reader(graph: Any, name: str) -> Any:
    readers = [node for node in graph.node if name in map(producer, node.input)]
    return readers[0] if len(readers) == 1 else None


def _number(nodes: dict[str, Any], node: Any, source: str) -> NDArray[np.float64] | None:
    """Gives the constant, (3,), that an operation of two inputs joins with `source`; None where it is none."""
    import tensorflow as tf

    others = [nodes[producer(name)] for name in node.input if producer(name) != source]
    if len(node.input) != 2 or len(others) != 1 or others[0].op != "Const" or _is_channels_first(node):
        return None
    value = tf.make_ndarray(others[0].attr["value"].tensor)
    if (
        value.dtype != np.float32
        or value.size not in (1, _CHANNELS)
        or value.shape[-1:] not in ((), (1,), (value.size,))
    ):
        return None
    return np.broadcast_to(value.astype(np.float64).reshape(-1), (_CHANNELS,))


def _is_channels_first(node: Any) -> bool:
    return "data_format" in node.attr and node.attr["data_format"].s == b"NCHW"  # asking for an attribute makes it


def _replace(graph: Any, nodes: dict[str, Any], begin: str, end: str, affine: _Affine) -> None:
    """Puts convolution and bias where the last operation of the chain was, under its name."""
    import tensorflow as tf

    kernel = (np.eye(_CHANNELS) * affine.factor).reshape(1, 1, _CHANNELS, _CHANNELS).astype(np.float32)
    for name, value in (("kernel", kernel), ("bias", affine.offset.astype(np.float32))):
        constant = graph.node.add(name=f"{end}/{name}", op="Const")
        constant.attr["dtype"].type = tf.float32.as_datatype_enum
        constant.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value))
    convolution = graph.node.add(name=f"{end}/convolution", op="Conv2D", input=[begin, f"{end}/kernel"])
    convolution.attr["T"].type = tf.float32.as_datatype_enum
    convolution.attr["padding"].s = b"VALID"
    convolution.attr["strides"].list.i.extend([1, 1, 1, 1])
    last = nodes[end]
    last.op, last.input[:] = "BiasAdd", [convolution.name, f"{end}/bias"]
    last.ClearField("attr")
    last.attr["T"].type = tf.float32.as_datatype_enum
