import re
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from exported_files import assert_same_values, opened
from hypothesis import given
from hypothesis import strategies as st
from small_models import CAFFE, SLIM, application, images, model_on, narrow_vgg, small_model, values_of

from hdf5_helper.errors import FacetError
from models.description import ModelDescription, Output
from models.export.frozen_graph import freeze
from models.export.runtimes import RuntimeRefusal
from models.export.signature import operation_names
from models.model_file import load_model_file, save_model_file
from models.preprocessing import Preprocessing

# Operations of TensorFlow 1.6, which every reader of frozen graphs knows, and what Keras adds biases with since.
OLD_OPERATIONS = {
    *("Placeholder", "Const", "Conv2D", "DepthwiseConv2dNative", "BiasAdd", "Mul", "AddV2", "Relu", "Relu6", "MaxPool"),
    *("Pad", "Mean", "MatMul", "Sigmoid", "Reshape"),
}


def graph_of(frozen):
    return tf.compat.v1.GraphDef.FromString(frozen.data)


@pytest.mark.parametrize("labels", [("gender",), ("age",), ("age", "gender"), ("gender", "age")])
@pytest.mark.parametrize("preprocessing", [CAFFE, SLIM], ids=["bgr", "rgb"])
@pytest.mark.parametrize("where", ["inside", "outside"])
def test_the_graph_computes_what_keras_computes_in_tensorflow_and_opencv(labels, preprocessing, where):
    model, description = small_model(labels, preprocessing)
    frozen = freeze(model, description, where)
    assert frozen.signature.output_names == labels
    assert_same_values(frozen, model, description, images(4))


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


def test_a_graph_that_takes_bytes_computes_the_same_and_is_refused_in_opencv():
    model, description = small_model(("age", "gender"))
    frozen = freeze(model, description, input_type="uint8")
    assert (frozen.signature.input.dtype, frozen.signature.input.preprocessing) == ("uint8", Preprocessing())
    with opened(frozen, "tensorflow") as run, opened(freeze(model, description), "tensorflow") as run_floats:
        found, expected = run(images(4)), run_floats(images(4).astype(np.float32))
    assert {name: values.tolist() for name, values in found.items()} == {
        name: values.tolist() for name, values in expected.items()
    }
    with pytest.raises(RuntimeRefusal) as refused, opened(frozen, "opencv") as run:
        run(images(4))
    assert str(refused.value) == "OpenCV feeds float32 images alone, this graph takes uint8"


NUMBERS = {"number": 3.0, "number a channel": np.linspace(0.5, 5.0, 64)}


def with_constant_added(number, readers, *, bias=False):
    """Gives (model, description): a convolution of 64 channels to which a constant is added, as hard swish does it."""
    image = picture()
    plain = keras.layers.Conv2D(64, 3, use_bias=bias)(keras.layers.Rescaling(1 / 255)(image))
    gate = keras.layers.ReLU(6.0)(plain + np.array(number, np.float32)) / 6.0
    values = keras.layers.Dense(2)(pooled(plain * gate if readers == 2 else gate))
    return keras.Model(image, values), ModelDescription((Output("value", "linear"),), (32, 32))


@pytest.mark.parametrize("bias", [False, True], ids=["no bias", "bias of zeros"])
@pytest.mark.parametrize(("readers", "number"), [(1, "number"), (2, "number"), (1, "number a channel")])
def test_a_constant_added_to_a_convolution_is_added_to_every_channel_in_opencv_too(bias, readers, number):
    model, description = with_constant_added(NUMBERS[number], readers, bias=bias)
    assert_same_values(freeze(model, description), model, description, images(4))


@pytest.mark.parametrize("number", NUMBERS)
def test_a_constant_added_to_a_convolution_that_nothing_else_reads_is_its_bias(number):
    graph = graph_of(freeze(*with_constant_added(NUMBERS[number], readers=1)))
    nodes = {node.name: node for node in graph.node}
    biases = [
        (nodes[node.input[0]].op, tf.make_ndarray(nodes[node.input[1]].attr["value"].tensor))
        for node in graph.node
        if node.op == "BiasAdd"
    ]
    expected = np.full(64, NUMBERS[number], np.float32)
    assert [kind for kind, bias in biases if np.array_equal(bias, expected)] == ["Conv2D"]
    assert "AddV2" not in {node.op for node in graph.node}


def picture(height=32, width=32):
    return keras.Input((height, width, 3))


def pooled(values):
    return keras.layers.GlobalAveragePooling2D()(values)


def doubled_until_1000(values):
    return tf.while_loop(lambda v: tf.reduce_max(v) < 1000, lambda v: (v * 2,), (values + 1,))[0]


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
    sentence = (
        "the model needs Merge, Switch (a layer that is compiled apart, runs Python, or has control flow of its own),"
        " expected layers that a frozen graph can hold"
    )
    yield keras.Model(image, pooled(keras.layers.Lambda(doubled_until_1000)(maps))), "inside", sentence


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
    for key in ("tensorflow", "opencv"):
        with opened(frozen, key) as run:
            np.testing.assert_allclose(run(images(3).astype(np.float32))["hair_colour"], expected, atol=1e-5)


@given(st.lists(st.text(min_size=1), min_size=1, unique=True))
def test_operation_names_are_ones_that_tensorflow_accepts_and_differ(labels):
    names = operation_names(labels)
    assert list(names) == labels
    assert all(re.fullmatch(r"[A-Za-z0-9.][A-Za-z0-9_.\-/]*", name) for name in names.values())
    assert len({"image", *names.values()}) == len(labels) + 1


@given(st.from_regex(r"[a-z][a-z_]*", fullmatch=True).filter(lambda label: label != "image"))
def test_a_plain_label_is_its_own_operation_name(label):
    assert operation_names([label]) == {label: label}


def test_labels_that_would_be_called_the_same_get_numbers():
    assert operation_names(["a b", "a_b", "image"]) == {"a b": "a_b", "a_b": "a_b_2", "image": "image_2"}


def test_two_outputs_of_nearly_one_name_keep_their_own_values():
    image = picture()
    outputs = {"a b": keras.layers.Dense(1)(pooled(image)), "a_b": keras.layers.Dense(1)(pooled(image))}
    description = ModelDescription((Output("a b", "linear"), Output("a_b", "linear")), (32, 32))
    assert_same_values_by_name(keras.Model(image, outputs), description)


def assert_same_values_by_name(model, description):
    frozen = freeze(model, description)
    expected = values_of(model, description, images(3))
    with opened(frozen, "tensorflow") as run:
        found = run(images(3).astype(np.float32))
    for output in frozen.signature.outputs:
        np.testing.assert_allclose(found[output.name], expected[output.output.label], rtol=1e-5, atol=1e-5)


def test_a_reshape_that_leaves_two_sides_open_stays_as_it_is():
    class Flat(keras.layers.Layer):
        def call(self, inputs):
            return tf.ensure_shape(tf.reshape(inputs, (tf.shape(inputs)[0], -1)), (None, 3072))

    image = picture()
    model = keras.Model(image, keras.layers.Dense(1, name="value")(Flat()(image)))
    assert_same_values_by_name(model, ModelDescription((Output("value", "linear"),), (32, 32)))


def test_a_layer_that_runs_python_is_refused():
    class Snake(keras.layers.Layer):
        def call(self, inputs):
            return tf.ensure_shape(tf.numpy_function(lambda array: array * 2, [inputs], tf.float32), inputs.shape)

        def compute_output_shape(self, input_shape):
            return input_shape

    image = picture()
    model = keras.Model(image, pooled(Snake()(image)))
    with pytest.raises(FacetError, match=r"PyFunc .*runs Python"):
        freeze(model, ModelDescription((Output("value", "linear"),), (32, 32)))


def test_a_layer_of_somebody_elses_that_is_called_preprocess_is_no_place_to_cut():
    image = picture()
    model = keras.Model(image, pooled(keras.layers.Rescaling(1 / 255, name="preprocess")(image)))
    with pytest.raises(FacetError) as refused:
        freeze(model, ModelDescription((Output("value", "linear"),), (32, 32)), "outside")
    assert str(refused.value) == (
        "--preprocessing outside: the model has no layer `preprocess` to cut behind, expected inside"
    )


def test_a_description_of_another_size_is_refused():
    model, description = small_model()
    with pytest.raises(FacetError) as refused:
        freeze(model, replace(description, image_size=(64, 48)))
    assert str(refused.value) == "the model takes images of 32x32 and its description says 64x48, expected the same"
