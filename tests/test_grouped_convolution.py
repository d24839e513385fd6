import keras
import numpy as np
import pytest
import tensorflow as tf
from exported_files import BY_KEY, assert_same_values, opened
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import images

from models.description import ModelDescription, Output
from models.export.frozen_graph import freeze
from models.export.grouped_convolution import groups_one_by_one
from models.export.litert_model import to_litert
from models.export.onnx_model import to_onnx

SIDE = 16

#: Arguments of grouped convolutions; each group takes and gives two channels.
KINDS = {
    "two": {"groups": 2},
    "three_same": {"groups": 3, "padding": "same"},
    "four_strided": {"groups": 4, "strides": 2, "padding": "same"},
    "five_strided_valid": {"groups": 5, "strides": (2, 3)},
    "six_dilated": {"groups": 6, "dilation_rate": 2},
    "seven_dilated_same": {"groups": 7, "dilation_rate": (1, 3), "padding": "same", "use_bias": False},
    "eight_pointwise": {"groups": 8, "kernel_size": 1, "use_bias": False, "activation": "relu"},
}


def grouped(values, name, *, groups, kernel_size=3, **arguments):
    """Gives a grouped convolution of `2 * groups` channels made of an image."""
    wide = keras.layers.Conv2D(2 * groups, 1)(values)
    return keras.layers.Conv2D(2 * groups, kernel_size, groups=groups, name=name, **arguments)(wide)


def drawn(model, seed=0):
    """Gives the model with weights that no two channels share, biases too."""
    rng = np.random.default_rng(seed)
    model.set_weights([rng.normal(0, 0.3, weight.shape) for weight in model.get_weights()])
    return model


def model_of(kinds):
    """Gives (model, description): each kind behind the same image, ended by two numbers of its own."""
    image = keras.Input((SIDE, SIDE, 3))
    small = keras.layers.Rescaling(1 / 255)(image)
    inner = keras.Model(small, {name: grouped(small, name, **kind) for name, kind in kinds.items()}, name="inner")
    values = inner(keras.layers.Rescaling(1 / 255)(image))
    ends = {name: keras.layers.Dense(2)(keras.layers.Flatten()(values[name])) for name in kinds}
    description = ModelDescription(tuple(Output(name, "linear") for name in kinds), (SIDE, SIDE))
    return drawn(keras.Model(image, ends)), description


@pytest.fixture(scope="module")
def all_kinds():
    """Gives (model, description, graph, what the model computed before it was frozen, for four images)."""
    model, description = model_of(KINDS)
    before = model.predict(images(4, SIDE).astype(np.float32), verbose=0)
    return model, description, freeze(model, description), before


def test_every_kind_of_grouped_convolution_computes_in_tensorflow_and_opencv_what_keras_computes(all_kinds):
    model, description, frozen, _ = all_kinds
    assert_same_values(frozen, model, description, images(4, SIDE))


def test_a_grouped_convolution_becomes_a_split_plain_convolutions_and_a_concatenation(all_kinds):
    nodes = {node.name: node for node in tf.compat.v1.GraphDef.FromString(all_kinds[2].data).node}
    counts = {op: sum(node.op == op for node in nodes.values()) for op in ("Split", "ConcatV2", "Conv2D")}
    groups = [kind["groups"] for kind in KINDS.values()]
    others = len(groups) + 1  # one before each, and what the scaling of the input becomes
    assert counts == {"Split": len(groups), "ConcatV2": len(groups), "Conv2D": sum(groups) + others}
    kernels = [nodes[node.input[1]].op for node in nodes.values() if node.op == "Conv2D"]
    assert set(kernels) == {"Const"}


def test_freezing_leaves_a_model_as_it_was(all_kinds):
    model, description, frozen, before = all_kinds
    after = model.predict(images(4, SIDE).astype(np.float32), verbose=0)
    assert {name: values.tolist() for name, values in after.items()} == {
        name: values.tolist() for name, values in before.items()
    }
    layers = {layer.name: layer for layer in model._flatten_layers()}
    assert not [name for name, layer in layers.items() if "convolution_op" in vars(layer)]
    assert {name: layers[name].use_bias for name in KINDS} == {
        name: kind.get("use_bias", True) for name, kind in KINDS.items()
    }
    assert freeze(model, description) == frozen


def test_an_error_within_leaves_a_model_as_it_was(all_kinds):
    layer = next(layer for layer in all_kinds[0]._flatten_layers() if layer.name == "two")
    with pytest.raises(KeyError) as raised, groups_one_by_one(all_kinds[0]):
        raise KeyError(layer.use_bias, "convolution_op" in vars(layer))
    assert raised.value.args == (False, True)
    assert (layer.use_bias, "convolution_op" in vars(layer)) == (True, False)


def test_plain_and_depthwise_convolutions_stay_what_they_are():
    image = keras.Input((SIDE, SIDE, 3))
    layers = [keras.layers.Conv2D(4, 3), keras.layers.DepthwiseConv2D(3), keras.layers.SeparableConv2D(4, 3)]
    values = image
    for layer in layers:
        values = layer(values)
    with groups_one_by_one(keras.Model(image, values)):
        assert [vars(layer).get("convolution_op") for layer in layers] == [None, None, None]


@pytest.mark.parametrize(("key", "name"), [("onnxruntime", "g.onnx"), ("opencv", "g.onnx"), ("litert", "g.tflite")])
def test_grouped_convolutions_run_in_the_other_formats(all_kinds, tmp_path, key, name):
    _, _, frozen, expected = all_kinds
    (tmp_path / name).write_bytes((to_onnx if name == "g.onnx" else to_litert)(frozen))
    with BY_KEY[key].open(tmp_path / name, frozen.signature) as graph:
        found = graph.run(images(4, SIDE).astype(np.float32)).values
    for label, values in expected.items():
        np.testing.assert_allclose(found[label], values, rtol=1e-4, atol=1e-4, err_msg=label)


@settings(max_examples=8)
@given(
    st.fixed_dictionaries(
        {
            "groups": st.integers(2, 8),
            "kernel_size": st.integers(1, 4),
            "padding": st.sampled_from(["same", "valid"]),
            "use_bias": st.booleans(),
        }
    ),
    st.sampled_from([{}, {"strides": 2}, {"strides": 3}, {"dilation_rate": 2}, {"dilation_rate": 3}]),
)
def test_any_grouped_convolution_computes_in_tensorflow_what_keras_computes(kind, steps):
    model, description = model_of({"value": {**kind, **steps}})
    expected = model(images(3, SIDE).astype(np.float32))["value"].numpy()
    with opened(freeze(model, description), "tensorflow") as run:
        np.testing.assert_allclose(run(images(3, SIDE).astype(np.float32))["value"], expected, rtol=1e-4, atol=1e-4)
