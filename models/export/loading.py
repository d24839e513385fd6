"""A frozen graph as a callable, with what its sidecar says; graphs of other programs work too."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdf5_helper.errors import FacetError
from models.description import ModelDescription, output_named
from models.export.formats import format_of
from models.export.runtimes.runtime import RuntimeRefusal
from models.export.runtimes.tensorflow_2 import import_graph
from models.export.sidecar import Sidecar, read_sidecar, sidecar_path
from models.export.signature import GraphInput, GraphOutput, Signature
from models.preprocessing import Preprocessing


class FrozenGraph:
    """Runs a frozen graph in TensorFlow 2.

    Attributes:
        path: of the `.pb`.
        sidecar: None for a graph without one.
        signature: operation names, shapes and preprocessing.
        description: labels, image size and fit.
    """

    def __init__(self, path: Path, data: bytes, signature: Signature, sidecar: Sidecar | None) -> None:
        self.path, self.sidecar, self.signature = path, sidecar, signature
        self.description = sidecar.description if sidecar else _describe(signature)
        try:
            self._run = import_graph(data, signature)
        except RuntimeRefusal as refusal:
            raise FacetError(f"{path}: TensorFlow cannot import this graph: {refusal}") from None

    def __call__(self, images: NDArray[Any]) -> dict[str, NDArray[np.float32]]:
        """Gives the graph's values for images.

        Args:
            images: uint8 or float32 (B, H, W, 3), RGB 0–255, of the graph's size. Preprocessing that the sidecar says
                lies outside the graph is done here.

        Returns:
            float32 (B, width) by output name.

        Raises:
            FacetError: images of another shape.
        """
        return self._run(self.signature.input.prepare(images))


@dataclass(frozen=True)
class ExportedFile:
    """What is known of an exported file.

    Attributes:
        path: of the file, or a SavedModel's folder.
        signature: operation names, shapes and preprocessing.
        description: labels, image size and fit.
        sidecar: None for a frozen graph without one.
    """

    path: Path
    signature: Signature
    description: ModelDescription
    sidecar: Sidecar | None


def read_exported(path: Path) -> ExportedFile:
    """Reads what a file's sidecar says, or for a frozen graph without one, what can be told of it.

    Args:
        path: of a `.pb`, `.onnx` or `.tflite` file, or of a SavedModel's folder.

    Raises:
        FacetError: no such file, no sidecar beside it where one is needed, or the sidecar of another file.
    """
    path = path.resolve() if not path.name else path  # `.`, the folder that one stands in, has no name
    if not path.exists():
        raise FacetError(f"{path}: no such file, expected one that `facet export` wrote")
    file = path / "saved_model.pb" if format_of(path) == "saved_model" else path
    if not file.is_file():
        raise FacetError(f"{path}: a folder without saved_model.pb, expected a file that `facet export` wrote")
    data = file.read_bytes()
    sidecar = read_sidecar(path, data)
    if sidecar:
        return ExportedFile(path, sidecar.signature, sidecar.description, sidecar)
    if path.suffix != ".pb":
        raise FacetError(f"{path}: has no sidecar, expected {sidecar_path(path).name} beside it")
    signature = _find_signature(path, _parse(path, data))
    return ExportedFile(path, signature, _describe(signature), None)


def load_frozen_graph(path: str | Path) -> FrozenGraph:
    """Loads a frozen graph and the sidecar beside it.

    Without a sidecar the graph's only Placeholder is its input, what nothing else uses are its outputs, and images go
    in as they are.

    Args:
        path: a `.pb` file.

    Raises:
        FacetError: no such file, no frozen graph (a SavedModel, a graph with variables), or a sidecar of another graph.
    """
    path = Path(path)
    if not path.is_file():
        raise FacetError(f"{path}: no such file, expected a frozen graph (.pb)")
    data = path.read_bytes()
    graph_def = _parse(path, data)
    sidecar = read_sidecar(path, data)
    return FrozenGraph(path, data, sidecar.signature if sidecar else _find_signature(path, graph_def), sidecar)


def _parse(path: Path, data: bytes) -> Any:
    import tensorflow as tf
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    try:
        if SavedModel.FromString(data).meta_graphs:
            raise FacetError(f"{path}: a SavedModel, expected a frozen graph as `facet export` writes")
    except DecodeError:
        pass
    try:
        graph_def = tf.compat.v1.GraphDef.FromString(data)
    except DecodeError:
        raise FacetError(f"{path}: not a frozen graph (no GraphDef can be read from it)") from None
    if not graph_def.node:
        raise FacetError(f"{path}: not a frozen graph (it holds no operations)")
    variables = [node.name for node in graph_def.node if node.op in ("VarHandleOp", "VariableV2")]
    if variables:
        raise FacetError(f"{path}: not a frozen graph ({len(variables)} variables are not constants)")
    return graph_def


def _find_signature(path: Path, graph_def: Any) -> Signature:
    """Finds the input and outputs of a graph that says nothing of itself."""
    import tensorflow as tf

    placeholders = [node for node in graph_def.node if node.op == "Placeholder"]
    if len(placeholders) != 1:
        raise FacetError(f"{path}: has {len(placeholders)} placeholders and no sidecar, expected one input")
    try:
        with tf.Graph().as_default() as graph:
            tf.graph_util.import_graph_def(graph_def, name="")
    except (ValueError, tf.errors.OpError) as error:
        raise FacetError(f"{path}: TensorFlow cannot import this graph: {' '.join(str(error).split())[:160]}") from None
    graph_input = _input(path, graph.get_tensor_by_name(f"{placeholders[0].name}:0"))
    used = {name.lstrip("^").partition(":")[0] for node in graph_def.node for name in node.input}
    ends = [n for n in graph_def.node if n.name not in used and n.op not in ("Const", "Placeholder")]
    outputs = [_output(path, node, graph) for node in ends if graph.get_operation_by_name(node.name).outputs]
    if not outputs:
        raise FacetError(f"{path}: has no output, expected at least one")
    return Signature(graph_input, tuple(outputs))


def _input(path: Path, tensor: Any) -> GraphInput:
    shape = tensor.shape
    if tensor.dtype.name != "float32":
        raise FacetError(f"{path}: has input of {tensor.dtype.name} and no sidecar, expected float32 images")
    if shape.rank != 4 or shape[0] is not None or shape[3] != 3 or None in shape[1:3]:
        raise FacetError(f"{path}: has input {shape} and no sidecar, expected images (None, H, W, 3)")
    return GraphInput(tensor.op.name, (shape[1], shape[2]), Preprocessing())


def _output(path: Path, node: Any, graph: Any) -> GraphOutput:
    tensor = graph.get_tensor_by_name(f"{node.name}:0")
    shape = tensor.shape
    if shape.rank not in (1, 2) or shape[0] is not None or (shape.rank == 2 and shape[1] is None):
        raise FacetError(f"{path}: output {node.name} has shape {shape}, expected (None, number of values)")
    if not tensor.dtype.is_floating:
        raise FacetError(f"{path}: output {node.name} is of {tensor.dtype.name}, expected float32")
    activation = {"Sigmoid": "sigmoid", "Softmax": "softmax"}.get(node.op, "linear")
    return GraphOutput(node.name, shape[1] if shape.rank == 2 else 1, output_named(node.name, activation))


def _describe(signature: Signature) -> ModelDescription:
    return ModelDescription(
        outputs=tuple(output.output for output in signature.outputs),
        image_size=signature.input.image_size,
        notes=("The graph has no sidecar: its input is taken for RGB 0–255.",),
    )
