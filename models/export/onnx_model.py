"""A frozen graph as an ONNX model: for ONNX Runtime, OpenCV, TensorRT, and browsers."""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from typing import Any

from hdf5_helper.errors import FacetError
from models.export import onnx_conversion
from models.export.frozen_graph import FrozenModel
from models.export.graph_walk import inputs_first
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
    for package in ("onnx", "tf2onnx"):
        if not _is_installed(package):
            raise FacetError(f"ONNX: package {package} is not installed, expected it as `pip install -e .[onnx]` does")
    import onnx

    try:
        model = _model(_in_order(_converted(frozen), frozen.signature))
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # the checker raises errors of many kinds
        reason = " ".join(str(error).split())[:160]
        raise FacetError(
            f"ONNX: the graph cannot be converted ({reason}), expected operations of ONNX {OPSET}"
        ) from error
    return bytes(model.SerializeToString(deterministic=True))


def _is_installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ValueError:  # as for a module that is None in sys.modules
        return False


def _converted(frozen: FrozenModel) -> Any:
    """Gives tf2onnx's onnx.GraphProto, made in a process of its own whose sets are walked in the same order each time.

    tf2onnx walks over sets of names: what it can simplify depends on their hashes, which each process draws anew.
    """
    import onnx

    asked = {"inputs": [frozen.signature.input.name], "outputs": list(frozen.signature.output_names), "opset": OPSET}
    done = subprocess.run(
        [sys.executable, "-P", "-m", onnx_conversion.__name__, json.dumps(asked)],
        input=frozen.data,
        capture_output=True,
        env={**os.environ, "PYTHONHASHSEED": "0"},
        check=False,
    )
    if done.returncode:
        raise ValueError((done.stderr.decode(errors="replace").strip().splitlines() or ["it ended without a word"])[-1])
    return onnx.GraphProto.FromString(done.stdout)


def _in_order(found: Any, signature: Signature) -> Any:
    """Gives the same graph with nodes and constants in the order of a walk from the outputs, and named by it.

    tf2onnx numbers what it adds by a counter, which says nothing of the graph.
    """
    import onnx

    graph = onnx.GraphProto(name="facet", input=found.input, output=found.output)
    names = {name: name for name in ("", signature.input.name, *signature.output_names)}  # "" is an input left out
    for number, node in enumerate(_reachable(found)):
        name = f"{node.op_type}_{number}" if "__" in node.name else node.name
        names |= {old: f"{name}/{place}" for place, old in enumerate(node.input) if old not in names}  # constants
        names |= {old: f"{name}:{place}" for place, old in enumerate(node.output) if old not in names}
        new = graph.node.add()
        new.CopyFrom(_without_squeeze(node))
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


def _without_squeeze(node: Any) -> Any:
    """Gives a node, or instead of one that takes the sides of 1 pixel away, one that flattens.

    OpenCV 4.14 reads such a Squeeze as (N, 1, C), and takes the softmax behind it over the 1.
    """
    from onnx import helper

    axes = [list(attribute.ints) for attribute in node.attribute if attribute.name == "axes"]
    if node.op_type != "Squeeze" or axes != [[2, 3]]:
        return node
    return helper.make_node("Flatten", list(node.input), list(node.output), axis=1)


def _reachable(graph: Any) -> Iterator[Any]:
    producers = {name: node for node in graph.node for name in node.output}

    def made_by(tensors: Sequence[str]) -> list[str]:
        return [producers[name].output[0] for name in tensors if name in producers]  # inputs and constants have none

    ends = made_by([output.name for output in graph.output])
    return (producers[name] for name in inputs_first(ends, lambda name: made_by(producers[name].input)))


def _model(graph: Any) -> Any:
    from onnx import helper

    opset = helper.make_opsetid("", OPSET)
    return helper.make_model(
        graph,
        ir_version=helper.find_min_ir_version_for([opset]),
        opset_imports=[opset],
        producer_name="facet, tf2onnx",
        producer_version=version("tf2onnx"),
    )
