import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from small_models import CAFFE, SLIM, application, images, model_on, narrow_vgg, small_model, values_of

from hdf5_helper.errors import FacetError
from models.description import ModelDescription, Output
from models.export.frozen_graph import freeze
from models.export.runtimes import open_in_opencv, open_in_tensorflow
from models.export.signature import operation_name
from models.model_file import load_model_file, save_model_file

# Operations of TensorFlow 1.6, which every reader of frozen graphs knows, and what Keras adds biases with since.
OLD_OPERATIONS = {
    *("Placeholder", "Const", "Conv2D", "DepthwiseConv2dNative", "BiasAdd", "Mul", "AddV2", "Relu", "Relu6", "MaxPool"),
    *("Pad", "Mean", "MatMul", "Sigmoid", "Reshape", "Shape", "StridedSlice", "Pack"),
}


def graph_of(frozen):
    return tf.compat.v1.GraphDef.FromString(frozen.data)


def assert_same_values(frozen, model, description, pictures):
    expected = values_of(model, description, pictures)
    inputs = frozen.signature.input.prepare(pictures)
    for open_graph in (open_in_tensorflow, open_in_opencv):
        run = open_graph(frozen)
        for count in (1, len(pictures), 2):
            found = run(inputs[:count])
            assert {name: values.shape for name, values in found.items()} == dict.fromkeys(expected, (count, 1))
            for label, values in found.items():
                np.testing.assert_allclose(values, expected[label][:count], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("labels", [("gender",), ("age",), ("age", "gender"), ("gender", "age")])
@pytest.mark.parametrize("preprocessing", [CAFFE, SLIM], ids=["bgr", "rgb"])
@pytest.mark.parametrize("where", ["inside", "outside"])
def test_the_graph_computes_what_keras_computes_in_tensorflow_and_opencv(labels, preprocessing, where):
    model, description = small_model(labels, preprocessing)
    frozen = freeze(model, description, where)
    assert frozen.signature.output_names == labels
    assert_same_values(frozen, model, description, images(5))


@pytest.mark.parametrize(
    ("base", "preprocessing"),
    [
        (lambda: application("MobileNet", alpha=0.25), SLIM),
        (lambda: application("MobileNetV2", alpha=0.35), SLIM),
        (narrow_vgg, CAFFE),
        pytest.param(lambda: application("VGG19"), CAFFE, marks=pytest.mark.long),
        pytest.param(lambda: application("MobileNet", size=128), CAFFE, marks=pytest.mark.long),
    ],
    ids=["mobilenet", "mobilenet_v2", "vgg19-layout", "vgg19", "mobilenet-128"],
)
def test_every_backbone_freezes_into_old_operations_that_both_runtimes_agree_on(base, preprocessing):
    backbone = base()
    model, description = model_on(backbone, ("age", "gender"), preprocessing)
    frozen = freeze(model, description)
    assert {node.op for node in graph_of(frozen).node} <= OLD_OPERATIONS
    assert_same_values(frozen, model, description, images(4, backbone.input_shape[1]))


def test_the_graph_has_one_named_input_with_an_open_batch_and_outputs_named_after_the_labels():
    frozen = freeze(*small_model(("age", "gender")))
    with tf.Graph().as_default() as graph:
        tf.graph_util.import_graph_def(graph_of(frozen), name="")
    placeholders = [operation.name for operation in graph.get_operations() if operation.type == "Placeholder"]
    ends = {name: graph.get_tensor_by_name(f"{name}:0") for name in ("image", "age", "gender")}
    assert placeholders == ["image"]
    assert {name: (tensor.dtype.name, tensor.shape.as_list()) for name, tensor in ends.items()} == {
        "image": ("float32", [None, 32, 32, 3]),
        "age": ("float32", [None, 1]),
        "gender": ("float32", [None, 1]),
    }


def test_the_graph_holds_nothing_that_an_old_runtime_would_refuse():
    graph = graph_of(freeze(*small_model(("age", "gender"))))
    keys = {key for node in graph.node for key in node.attr}
    assert not {"explicit_paddings", "grad_a", "grad_b", "dilations"} & keys
    assert not any(key.startswith("_") for key in keys)
    assert not any(node.device or node.HasField("experimental_debug_info") for node in graph.node)
    assert not any(name.startswith("^") for node in graph.node for name in node.input)
    assert (graph.versions.producer, graph.versions.min_consumer, len(graph.library.function)) == (27, 0, 0)


def test_nodes_come_after_what_they_read():
    seen = set()
    for node in graph_of(freeze(*small_model(("age", "gender")))).node:
        assert {name.partition(":")[0] for name in node.input} <= seen
        seen.add(node.name)


def test_training_leaves_no_trace_but_the_weights(tmp_path):
    model, description = small_model()
    save_model_file(model, description, tmp_path / "model.keras")
    trained, _ = load_model_file(tmp_path / "model.keras")
    trained.compile(optimizer="adam", loss="binary_crossentropy")
    trained.fit(images(8).astype(np.float32), np.arange(8) % 2, verbose=0)
    before, after = graph_of(freeze(model, description)), graph_of(freeze(trained, description))
    assert [(node.name, node.op) for node in after.node] == [(node.name, node.op) for node in before.node]


def test_the_same_model_gives_the_same_bytes_whatever_was_built_before(tmp_path):
    model, description = small_model(("age", "gender"))
    save_model_file(model, description, tmp_path / "model.keras")
    first = freeze(*load_model_file(tmp_path / "model.keras"))
    model_on(narrow_vgg(32), ("gender",))
    assert freeze(*load_model_file(tmp_path / "model.keras")) == first == freeze(model, description)


def test_outside_cuts_behind_the_preprocessing_and_says_what_the_caller_does():
    model, description = small_model()
    frozen = freeze(model, description, "outside")
    assert not [node.name for node in graph_of(frozen).node if "preprocess" in node.name]
    assert frozen.signature.input.preprocessing == CAFFE
    blue_green_red = images(2)[..., ::-1] - np.array(CAFFE.mean, np.float32)
    np.testing.assert_allclose(frozen.signature.input.prepare(images(2)), blue_green_red, atol=1e-4)


def test_a_model_trained_in_bfloat16_is_frozen_in_float32_and_stays_as_it_was(tmp_path):
    model, description = small_model()
    save_model_file(model, description, tmp_path / "model.keras")
    mixed, _ = load_model_file(tmp_path / "model.keras")
    for layer in mixed._flatten_layers():
        layer.dtype_policy = "mixed_bfloat16"
    assert freeze(mixed, description) == freeze(model, description)
    assert {layer.compute_dtype for layer in mixed._flatten_layers()} == {"bfloat16"}


def picture(height=32, width=32):
    return keras.Input((height, width, 3))


def pooled(values):
    return keras.layers.GlobalAveragePooling2D()(values)


def refused_models():
    image, other = picture(), picture()
    added = pooled(keras.layers.Add()([image, other]))
    yield keras.Model([image, other], added), "inside", "the model has 2 inputs, expected one image"
    image = picture(None, None)
    sentence = "the model takes input of shape (None, None, None, 3), expected images of a fixed size (None, H, W, 3)"
    yield keras.Model(image, pooled(image)), "inside", sentence
    image = picture()
    maps = keras.layers.ReLU()(image)
    sentence = "output 'value' has shape (None, 32, 32, 3), expected (None, number of values)"
    yield keras.Model(image, maps), "inside", sentence
    sentence = "--preprocessing outside: the model has no layer `preprocess` to cut behind, expected inside"
    yield keras.Model(image, pooled(maps)), "outside", sentence
    sentence = "--preprocessing 'beside': expected one of inside, outside (did you mean 'inside'?)"
    yield keras.Model(image, pooled(maps)), "beside", sentence
    sentence = "the model's description says outputs value, the model has others"
    yield keras.Model(image, {"a": pooled(maps), "b": pooled(image)}), "inside", sentence
    grouped = pooled(keras.layers.Conv2D(8, 3, groups=2)(keras.layers.Conv2D(4, 3)(image)))
    sentence = (
        "the model needs StatefulPartitionedCall (a grouped convolution, or a layer with control flow of its own),"
        " expected layers that a frozen graph can hold"
    )
    yield keras.Model(image, grouped), "inside", sentence


def test_a_model_that_cannot_be_frozen_is_refused_in_one_sentence():
    description = ModelDescription((Output("value", "linear"),), (32, 32))
    for model, where, sentence in refused_models():
        with pytest.raises(FacetError) as refused:
            freeze(model, description, where)
        assert str(refused.value) == sentence


def test_a_label_that_is_no_operation_name_is_spelt_as_one():
    image = picture()
    model = keras.Model(image, keras.layers.Dense(2, activation="softmax")(pooled(image)))
    description = ModelDescription((Output("hair colour", "softmax", ("fair", "dark")),), (32, 32))
    frozen = freeze(model, description)
    assert frozen.signature.output_names == ("hair_colour",)
    assert frozen.signature.outputs[0].width == 2
    expected = values_of(model, description, images(3))["hair colour"]
    for open_graph in (open_in_tensorflow, open_in_opencv):
        np.testing.assert_allclose(open_graph(frozen)(images(3).astype(np.float32))["hair_colour"], expected, atol=1e-5)


@given(st.text(min_size=1))
def test_an_operation_name_is_one_that_tensorflow_accepts(label):
    assert re.fullmatch(r"[A-Za-z0-9.][A-Za-z0-9_.\-/]*", operation_name(label))
    assert not re.fullmatch(r"[a-z_]*[a-z]", label, re.ASCII) or label.startswith("_") or operation_name(label) == label
