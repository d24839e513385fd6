"""A Keras model as a frozen graph that old and new programs load: one GraphDef, constants inside, names chosen."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from hdf5_helper.errors import FacetError
from models.description import ModelDescription
from models.export.graph_edit import End, cut_and_order
from models.export.grouped_convolution import groups_one_by_one
from models.export.large_kernels import fill_in, input_specs, large_kernels
from models.export.layer_normalization import channels_normalized_by_convolutions
from models.export.signature import (
    INPUT_NAME,
    GraphInput,
    GraphOutput,
    Signature,
    check_preprocessing,
    operation_names,
)
from models.preprocessing import Preprocessing

#: Grappler passes after which TensorFlow 1.15 and OpenCV read a Keras 3 graph; more of them fuse into newer operations.
_PASSES = ("pruning", "function", "constfold", "dependency")


@dataclass(frozen=True)
class FrozenModel:
    """A frozen graph in memory.

    Attributes:
        data: the serialised GraphDef, the same bytes for the same model.
        signature: its input and outputs.
    """

    data: bytes
    signature: Signature


def freeze(
    model: Any, description: ModelDescription, preprocessing: str = "inside", input_type: str = "float32"
) -> FrozenModel:
    """Freezes a model: variables become constants; dropout, optimizer and everything unused are gone.

    Args:
        model: keras.Model with one input (N, H, W, 3) and outputs (N, k); computed in float32 whatever its policy.
        description: of the model; its outputs name the graph's.
        preprocessing: `inside` takes RGB 0–255; `outside` cuts behind the layer `preprocess`.
        input_type: `float32` or `uint8` of the graph's input.

    Returns:
        The graph with an open batch, float32 out.

    Raises:
        FacetError: a model of another shape, or one with layers that no frozen graph can hold.
    """
    network = _starting_at(model, description, preprocessing)
    callers_part = description.preprocessing if preprocessing == "outside" else Preprocessing()
    graph_input = GraphInput(INPUT_NAME, _image_size(network), callers_part, input_type)
    if description.image_size != _image_size(model):
        found, told = ("{}x{}".format(*size) for size in (_image_size(model), description.image_size))
        raise FacetError(f"the model takes images of {found} and its description says {told}, expected the same")
    names = operation_names(output.label for output in description.outputs)
    return freeze_network(network, graph_input, description, names)


def freeze_network(
    network: Any, graph_input: GraphInput, description: ModelDescription, names: Mapping[str, str]
) -> FrozenModel:
    """Freezes a network under names of the caller's choice.

    Args:
        network: keras.Model of one input, which is what `graph_input.prepare` gives.
        graph_input: of the graph.
        description: of the network; its outputs are the graph's.
        names: of the output operations, by label.

    Raises:
        FacetError: as `freeze`.
    """
    import tensorflow as tf

    with (
        tf.device("/CPU:0"),
        computing_in_float32(network),
        groups_one_by_one(network),
        channels_normalized_by_convolutions(network),
    ):
        kernels = large_kernels(network)
        function = _concrete_function(network, graph_input, description, kernels)
        outputs = tuple(
            GraphOutput(names[output.label], _width(output.label, tensor), output)
            for output, tensor in zip(description.outputs, function.structured_outputs, strict=True)
        )
        graph_def, tensors = _optimised(function)
    ends = [End(tensor, output.name, output.width) for output, tensor in zip(outputs, tensors, strict=True)]
    plain = _without_default_attributes(cut_and_order(graph_def, ends))
    placeholders = [tensor.op.name for tensor in function.inputs[1 : len(kernels) + 1]]
    fill_in(plain, {name: kernel.numpy() for name, kernel in zip(placeholders, kernels, strict=True)})
    return FrozenModel(plain.SerializeToString(deterministic=True), Signature(graph_input, outputs))


@contextmanager
def computing_in_float32(model: Any) -> Iterator[None]:
    """Sets every layer's precision policy to float32 within the block; variables always are."""
    layers = [layer for layer in model._flatten_layers() if layer.compute_dtype != "float32"]  # noqa: SLF001
    policies = [layer.dtype_policy for layer in layers]
    for layer in layers:
        layer.dtype_policy = "float32"
    try:
        yield
    finally:
        for layer, policy in zip(layers, policies, strict=True):
            layer.dtype_policy = policy


def by_label(outputs: Any, description: ModelDescription) -> dict[str, Any]:
    """Gives a model's outputs by label, whether it returns one tensor, a list or a dict.

    Raises:
        FacetError: the model returns other outputs than its description says.
    """
    labels = [output.label for output in description.outputs]
    if isinstance(outputs, Mapping):
        found = dict(outputs)
    else:
        values = list(outputs) if isinstance(outputs, list | tuple) else [outputs]
        found = dict(zip(labels, values, strict=False)) if len(values) == len(labels) else {}
    if set(found) != set(labels):
        raise FacetError(f"the model's description says outputs {', '.join(labels)}, the model has others")
    return {label: found[label] for label in labels}


def behind_preprocessing(model: Any, description: ModelDescription) -> Any:
    """Gives the part of a model behind Facet's layer `preprocess` as a keras.Model, None where it has none.

    A layer of that name in a model of somebody else's, whose description tells of no preprocessing, is not Facet's.
    """
    import keras

    if description.preprocessing == Preprocessing() or "preprocess" not in (layer.name for layer in model.layers):
        return None
    behind = keras.Model(model.get_layer("preprocess").output, model.output, name=model.name)
    if "crop" not in (layer.name for layer in model.layers):
        return behind
    # OpenCV 4.14 cannot begin with a slice of the input
    unchanged = keras.layers.DepthwiseConv2D(1, use_bias=False, depthwise_initializer="ones", name="unchanged")
    return keras.Model(behind.input, behind(unchanged(behind.input)), name=model.name)


def _starting_at(model: Any, description: ModelDescription, preprocessing: str) -> Any:
    """Gives the model, or the part of it behind the layer `preprocess`."""
    check_preprocessing(preprocessing)
    if len(model.inputs) != 1:
        raise FacetError(f"the model has {len(model.inputs)} inputs, expected one image")
    if preprocessing == "inside":
        return model
    behind = behind_preprocessing(model, description)
    if behind is None:
        raise FacetError("--preprocessing outside: the model has no layer `preprocess` to cut behind, expected inside")
    return behind


def _image_size(model: Any) -> tuple[int, int]:
    shape = tuple(model.inputs[0].shape)
    if len(shape) != 4 or shape[3] != 3 or None in shape[1:3]:
        raise FacetError(f"the model takes input of shape {shape}, expected images of a fixed size (None, H, W, 3)")
    return int(shape[1]), int(shape[2])


def _concrete_function(
    model: Any, graph_input: GraphInput, description: ModelDescription, kernels: Sequence[Any]
) -> Any:
    """Gives a function of an image and of the values that `kernels`, variables of the model, are to have."""
    import keras
    import tensorflow as tf

    def outputs(image: Any, *values: Any) -> list[Any]:
        with keras.StatelessScope(state_mapping=list(zip(kernels, values, strict=True))):
            found = by_label(model(tf.cast(image, tf.float32), training=False), description)
        return [tf.cast(tensor, tf.float32) for tensor in found.values()]

    spec = tf.TensorSpec(graph_input.shape, graph_input.dtype, name=graph_input.name)
    return tf.function(outputs, autograph=False).get_concrete_function(spec, *input_specs(kernels))


def _width(label: str, tensor: Any) -> int:
    shape = tuple(tensor.shape)
    if len(shape) != 2 or shape[1] is None:
        raise FacetError(f"output {label!r} has shape {shape}, expected (None, number of values)")
    return int(shape[1])


def _optimised(function: Any) -> tuple[Any, list[str]]:
    """Gives the GraphDef with constants for variables, and the names of the tensors that it returns."""
    from tensorflow.core.protobuf import config_pb2
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2
    from tensorflow.python.grappler import tf_optimizer

    frozen = convert_variables_to_constants_v2(function)
    tensors = [tensor.name for tensor in frozen.outputs]
    exported = _meta_graph(frozen.graph.as_graph_def())
    exported.collection_def["train_op"].node_list.value.extend(tensors)
    config = config_pb2.ConfigProto()
    config.graph_options.rewrite_options.optimizers.extend(_PASSES)
    config.graph_options.rewrite_options.meta_optimizer_iterations = config.graph_options.rewrite_options.TWO
    return tf_optimizer.OptimizeGraph(config, exported), tensors


def _without_default_attributes(graph_def: Any) -> Any:
    """Takes away attributes at their default, such as `explicit_paddings`, which old runtimes refuse to read."""
    stripped = _meta_graph(graph_def, strip_default_attrs=True).graph_def
    stripped.versions.CopyFrom(graph_def.versions)
    stripped.ClearField("library")
    return stripped


def _meta_graph(graph_def: Any, *, strip_default_attrs: bool = False) -> Any:
    import tensorflow as tf

    with tf.Graph().as_default() as graph:
        tf.graph_util.import_graph_def(graph_def, name="")
        return tf.compat.v1.train.export_meta_graph(
            graph_def=graph_def, graph=graph, clear_devices=True, strip_default_attrs=strip_default_attrs
        )
