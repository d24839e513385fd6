"""Rewrites of a frozen graph into what other runtimes read rightly; the values stay the same."""

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray


def producer(tensor: str) -> str:
    """Gives the name of the operation that makes a tensor, such as `a` for `a:1`."""
    return tensor.partition(":")[0]


def additions_to_biases(graph: Any) -> None:
    """Writes `convolution + constant` as a BiasAdd, the constant a number or one for each channel.

    OpenCV 4.14 takes an addition behind a convolution for its bias where nothing else reads the convolution, and then
    reads past the end of a single number; OpenCV 5.0 refuses such an addition for more than one image.
    """
    import tensorflow as tf

    nodes = {node.name: node for node in graph.node}
    uses = Counter(producer(name) for node in graph.node for name in node.input)
    for node in [node for node in graph.node if node.op in ("Add", "AddV2")]:
        source, number = sorted((nodes[producer(name)] for name in node.input), key=lambda found: found.op == "Const")
        value = tf.make_ndarray(number.attr["value"].tensor) if number.op == "Const" else None
        channels = _channels(nodes, source)
        if value is None or not channels or not _is_by_channel(value, channels) or uses[source.name] > 1:
            continue
        bias = graph.node.add(name=f"{node.name}/bias", op="Const")
        bias.attr["dtype"].type = number.attr["dtype"].type
        bias.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(np.broadcast_to(value.reshape(-1), channels)))
        node.op, node.input[:] = "BiasAdd", [source.name, bias.name]


def _is_by_channel(value: NDArray[Any], channels: int) -> bool:
    """Says whether a constant is one number, or one for each channel of the last axis."""
    return bool(value.size == 1 or (value.size == channels and value.shape[-1] == channels))


def open_batch_in_reshapes(graph: Any) -> None:
    """Writes a reshape to (the input's own batch, numbers) as one to (-1, numbers).

    Keras's Flatten asks the input for its batch in three operations, which converters carry along.
    """
    import tensorflow as tf

    nodes = {node.name: node for node in graph.node}
    for node in [node for node in graph.node if node.op == "Reshape"]:
        shape = nodes[producer(node.input[1])]
        parts = [nodes[producer(name)] for name in shape.input] if shape.op == "Pack" else []
        if not parts or not _is_batch_of(nodes, parts[0], node.input[0]) or any(p.op != "Const" for p in parts[1:]):
            continue
        sides = [int(tf.make_ndarray(part.attr["value"].tensor)) for part in parts[1:]]
        if min(sides, default=0) < 0:
            continue  # only one side may be left open
        known = graph.node.add(name=f"{node.name}/open", op="Const")
        known.attr["dtype"].type = tf.int32.as_datatype_enum
        known.attr["value"].tensor.CopyFrom(tf.make_tensor_proto([-1, *sides], tf.int32))
        node.input[1] = known.name
        node.attr["Tshape"].type = tf.int32.as_datatype_enum


def _is_batch_of(nodes: dict[str, Any], node: Any, tensor: str) -> bool:
    """Says whether a node is `shape(tensor)[0]`."""
    if node.op != "StridedSlice" or nodes[producer(node.input[1])].op != "Const":
        return False
    import tensorflow as tf

    shape, begin = nodes[producer(node.input[0])], nodes[producer(node.input[1])]
    first = tf.make_ndarray(begin.attr["value"].tensor).tolist() == [0] and (
        "shrink_axis_mask" in node.attr and node.attr["shrink_axis_mask"].i == 1
    )
    return bool(first and shape.op == "Shape" and producer(shape.input[0]) == producer(tensor))


def _channels(nodes: dict[str, Any], node: Any) -> int:
    """Gives how many channels a convolution (NHWC) or a matrix product gives; 0 for anything else."""
    import tensorflow as tf

    if node.op not in ("Conv2D", "DepthwiseConv2dNative", "MatMul"):
        return 0
    kernel = nodes[producer(node.input[1])]
    if kernel.op not in ("Const", "Placeholder"):
        return 0
    # a placeholder stands for a kernel that is filled in later
    stored = kernel.attr["value"].tensor.tensor_shape if kernel.op == "Const" else kernel.attr["shape"].shape
    shape = tf.TensorShape(stored).as_list()
    return int(shape[2] * shape[3] if node.op == "DepthwiseConv2dNative" else shape[-1])
