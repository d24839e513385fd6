"""From an optimised GraphDef to the form that is written: cut, named, in a fixed order, readable by old runtimes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from hdf5_helper.errors import FacetError
from models.export.graph_rewrites import additions_to_biases, open_batch_in_reshapes, producer
from models.export.graph_walk import inputs_first
from models.export.input_scaling import input_scaling_to_convolution

#: GraphDef version of TensorFlow 1.6 to 1.13 (tensorflow/core/public/version.h); no operation here changed since.
PRODUCER = 27

#: Operations that OpenCV 4.14 keeps under their own name when they come last; it drops Identity and merges additions
#: into the layer before, so that any other end gets a Reshape of its own.
_ADDRESSABLE = ("Sigmoid", "Softmax", "Reshape")

#: What must not be left: functions, variables and control flow, which runtimes other than TensorFlow 2 do not know.
_FORBIDDEN = (
    *("PartitionedCall", "ReadVariableOp", "VarHandleOp", "Switch", "Merge", "While", "If", "XlaLaunch"),
    *("PyFunc", "HashTable", "LookupTable"),
)


@dataclass(frozen=True)
class End:
    """Where a graph is cut.

    Attributes:
        tensor: name of the tensor that the graph computes now, such as `Identity_1:0`.
        name: what its operation will be called.
        width: values an image.
    """

    tensor: str
    name: str
    width: int


def cut_and_order(graph_def: Any, ends: Sequence[End]) -> Any:
    """Gives a new GraphDef that computes `ends` and nothing else.

    Args:
        graph_def: frozen and optimised.
        ends: at least one; the names must be free.

    Returns:
        tf.compat.v1.GraphDef: nodes in the order of a walk from the ends, constants as plain bytes (OpenCV cannot read
        repeated values that are stored once), no devices, debug information, functions or internal attributes.

    Raises:
        FacetError: an operation is left that a frozen graph cannot hold.
    """
    import tensorflow as tf

    result = tf.compat.v1.GraphDef()
    result.CopyFrom(graph_def)
    _name_ends(result, ends)
    input_scaling_to_convolution(result)
    additions_to_biases(result)
    open_batch_in_reshapes(result)
    nodes = list(_reachable(result, [end.name for end in ends]))
    _refuse_foreign_operations(nodes)
    ordered = tf.compat.v1.GraphDef(node=[_plain_node(node) for node in nodes])
    ordered.versions.producer = PRODUCER
    return ordered


def _name_ends(graph: Any, ends: Sequence[End]) -> None:
    nodes = {node.name: node for node in graph.node}
    renamed: dict[str, str] = {}
    for end in ends:
        node = _behind_identities(nodes, end.tensor)
        if node.op in _ADDRESSABLE and node.name not in renamed:
            renamed[node.name] = end.name
        else:
            _append_reshape(graph, node.name, end)
    for node in graph.node:
        node.name = renamed.get(node.name, node.name)
        node.input[:] = [renamed.get(name, name) for name in node.input]


def _behind_identities(nodes: dict[str, Any], tensor: str) -> Any:
    node = nodes[producer(tensor)]
    while node.op == "Identity":
        node = nodes[producer(node.input[0])]
    return node


def _append_reshape(graph: Any, source: str, end: End) -> None:
    import tensorflow as tf

    shape = graph.node.add(name=f"{end.name}/shape", op="Const")
    shape.attr["dtype"].type = tf.int32.as_datatype_enum
    shape.attr["value"].tensor.CopyFrom(tf.make_tensor_proto([-1, end.width], tf.int32))
    node = graph.node.add(name=end.name, op="Reshape", input=[source, shape.name])
    node.attr["T"].type = tf.float32.as_datatype_enum
    node.attr["Tshape"].type = tf.int32.as_datatype_enum


def _reachable(graph: Any, names: Sequence[str]) -> Iterator[Any]:
    nodes = {node.name: node for node in graph.node}
    return (nodes[name] for name in inputs_first(names, lambda name: [*map(producer, _data_inputs(nodes[name]))]))


def _data_inputs(node: Any) -> list[str]:
    """Gives the inputs that carry values; `^name` only orders side effects, of which a frozen graph has none."""
    return [name for name in node.input if not name.startswith("^")]


def _refuse_foreign_operations(nodes: Sequence[Any]) -> None:
    found = sorted({node.op for node in nodes if any(word in node.op for word in _FORBIDDEN)})
    if found:
        raise FacetError(
            f"the model needs {', '.join(found)} (a layer that is compiled apart, runs Python, or has control"
            " flow of its own), expected layers that a frozen graph can hold"
        )


def _plain_node(node: Any) -> Any:
    import tensorflow as tf

    plain = tf.compat.v1.NodeDef(name=node.name, op=node.op, input=_data_inputs(node))
    for key, value in node.attr.items():
        if not key.startswith("_"):
            plain.attr[key].CopyFrom(value)
    if node.op == "Const":
        array = tf.make_ndarray(node.attr["value"].tensor)
        plain.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(array))
    return plain
