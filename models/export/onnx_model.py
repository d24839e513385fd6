"""A frozen graph as an ONNX model: for ONNX Runtime, OpenCV, TensorRT, and browsers."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hdf5_helper.errors import FacetError
from models.export.frozen_graph import FrozenModel
from models.export.signature import Signature

#: The oldest set of operations that TensorRT's parser promises to read (its opset guide); a convolutional network needs
#: nothing newer. Its format, 4, is the first in which constants are no inputs.
OPSET = 9

#: Name of the open batch dimension.
BATCH = "N"


def to_onnx(frozen: FrozenModel) -> bytes:
    """Converts a graph to an ONNX model that passes ONNX's own checker, the same bytes for the same graph.

    Its input and outputs have the signature's names, types and shapes, NHWC with the open batch `N`: a transposition
    is its first operation.

    Args:
        frozen: a graph with its signature.

    Returns:
        The contents of the file.

    Raises:
        FacetError: onnx or tf2onnx is not installed, or ONNX has no operation for one of the graph's.
    """
    try:
        import onnx
        import tf2onnx  # noqa: F401
    except ImportError as error:
        raise FacetError(
            f"ONNX: package {error.name} is not installed, expected it as `pip install -e .[onnx]` does"
        ) from None
    try:
        model = _model(_in_order(_converted(frozen), frozen.signature))
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # tf2onnx raises errors of many kinds
        reason = " ".join(str(error).split())[:160]
        raise FacetError(
            f"ONNX: the graph cannot be converted ({reason}), expected operations of ONNX {OPSET}"
        ) from error
    return bytes(model.SerializeToString(deterministic=True))


def _converted(frozen: FrozenModel) -> Any:
    """Gives tf2onnx's onnx.GraphProto: names and order of its nodes differ from call to call."""
    import tensorflow as tf
    from tf2onnx.optimizer import optimize_graph
    from tf2onnx.tfonnx import process_tf_graph

    inputs, outputs = [frozen.signature.input.name], list(frozen.signature.output_names)
    tensors = {f"{name}:0": name for name in inputs + outputs}
    with _errors_raised(), tf.device("/CPU:0"), tf.Graph().as_default() as graph:
        tf.graph_util.import_graph_def(tf.compat.v1.GraphDef.FromString(frozen.data), name="")
        converted = process_tf_graph(
            graph,
            opset=OPSET,
            input_names=[f"{name}:0" for name in inputs],
            output_names=[f"{name}:0" for name in outputs],
            tensors_to_rename=tensors,
        )
        return optimize_graph(converted, catch_errors=False).make_graph("", "facet")


@contextmanager
def _errors_raised() -> Iterator[None]:
    """Raises what tf2onnx only logs as an error, and keeps the rest of its log off the terminal."""
    logger, found = logging.getLogger("tf2onnx"), _Errors()
    before = logger.propagate
    logger.propagate = False
    logger.addHandler(found)
    try:
        yield
    finally:
        logger.removeHandler(found)
        logger.propagate = before
    if found.messages:
        raise ValueError(found.messages[0])


class _Errors(logging.Handler):
    """Collects the messages of level ERROR."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


def _in_order(found: Any, signature: Signature) -> Any:
    """Gives the same graph with nodes and constants in the order of a walk from the outputs, and named by it.

    tf2onnx numbers what it adds by a counter of the process, and walks over sets: neither says the same twice.
    """
    import onnx

    graph = onnx.GraphProto(name="facet", input=found.input, output=found.output)
    names = {name: name for name in ("", signature.input.name, *signature.output_names)}  # "" is an input left out
    for number, node in enumerate(_reachable(found)):
        name = f"{node.op_type}_{number}" if "__" in node.name else node.name
        names |= {old: f"{name}/{place}" for place, old in enumerate(node.input) if old not in names}  # constants
        names |= {old: f"{name}:{place}" for place, old in enumerate(node.output) if old not in names}
        new = graph.node.add()
        new.CopyFrom(node)
        new.name = name
        new.input[:] = [names[old] for old in node.input]
        new.output[:] = [names[old] for old in node.output]
    constants = {tensor.name: tensor for tensor in found.initializer}
    for old, name in names.items():
        if old in constants:
            graph.initializer.append(constants[old])
            graph.initializer[-1].name = name
    for value in (*graph.input, *graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = BATCH
    return graph


def _reachable(graph: Any) -> Iterator[Any]:
    """Walks depth first from the outputs, inputs before what uses them; without recursion, since networks are deep."""
    producers = {name: node for node in graph.node for name in node.output}
    stack, done = [(output.name, False) for output in reversed(graph.output)], set()
    while stack:
        name, inputs_done = stack.pop()
        node = producers.get(name)
        if node is None or node.output[0] in done:
            continue
        if inputs_done:
            done.add(node.output[0])
            yield node
        else:
            stack.append((name, True))
            stack += [(source, False) for source in reversed(node.input)]


def _model(graph: Any) -> Any:
    import tf2onnx
    from onnx import helper

    opset = helper.make_opsetid("", OPSET)
    return helper.make_model(
        graph,
        ir_version=helper.find_min_ir_version_for([opset]),
        opset_imports=[opset],
        producer_name="facet, tf2onnx",
        producer_version=tf2onnx.__version__,
    )
