import keras
import numpy as np
import pytest
import tensorflow as tf
from exported_files import assert_same_values
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import images

from models.description import ModelDescription, Output
from models.export.frozen_graph import freeze
from models.export.runtimes.tensorflow_2 import import_graph

LAYERS = keras.layers
MEAN, VARIANCE = [100.0, 110.0, 120.0], [2500.0, 2000.0, 3000.0]


def model_behind(scaling):
    image = keras.Input((32, 32, 3))
    values = LAYERS.Conv2D(8, 3, activation="relu", bias_initializer=keras.initializers.Constant(0.1))(scaling(image))
    out = LAYERS.Dense(1, name="value")(LAYERS.GlobalAveragePooling2D()(values))
    return keras.Model(image, out), ModelDescription((Output("value", "linear"),), (32, 32))


def operations(frozen):
    nodes = tf.compat.v1.GraphDef.FromString(frozen.data).node
    return [node.op for node in nodes if node.op not in ("Const", "Placeholder")]


def rescaled_and_normalized(image):
    return LAYERS.Normalization(mean=[0.4, 0.5, 0.6], variance=[0.05, 0.06, 0.07])(LAYERS.Rescaling(1 / 255)(image))


@pytest.mark.parametrize(
    "scaling",
    [
        LAYERS.Rescaling(1 / 127.5, -1),
        LAYERS.Rescaling([1 / 50, 1 / 60, 1 / 70], [-1, -0.5, 0.3]),
        LAYERS.Normalization(mean=MEAN, variance=VARIANCE),
        rescaled_and_normalized,
        lambda image: (image - np.array(MEAN, np.float32)) / 50.0,
        lambda image: 1.0 - image / 255.0,
    ],
    ids=["rescaling", "rescaling by channel", "normalization", "two layers", "operators", "negative"],
)
def test_keras_layers_that_scale_the_input_become_one_convolution_that_opencv_reads_rightly(scaling):
    model, description = model_behind(scaling)
    frozen = freeze(model, description)
    assert operations(frozen)[:4] == ["Conv2D", "BiasAdd", "Conv2D", "BiasAdd"]
    assert not {"Mul", "Sub", "Add", "AddV2", "RealDiv"} & set(operations(frozen))
    assert_same_values(frozen, model, description, images(4))


def test_uint8_input_is_scaled_behind_its_cast():
    model, description = model_behind(LAYERS.Rescaling(1 / 127.5, -1))
    assert operations(freeze(model, description, input_type="uint8"))[:3] == ["Cast", "Conv2D", "BiasAdd"]


@pytest.mark.parametrize(
    ("scaling", "kept"),
    [
        (lambda image: image * image, "Mul"),
        (lambda image: image * np.linspace(0, 1, 32, dtype=np.float32).reshape(32, 1), "Mul"),
        (lambda image: LAYERS.Add()([image / 255.0, image]), "AddV2"),
        (lambda image: 1.0 / (image + 300.0), "RealDiv"),
    ],
    ids=["by itself", "by row", "read twice", "one over it"],
)
def test_what_no_1x1_convolution_does_stays(scaling, kept):
    model, description = model_behind(scaling)
    frozen = freeze(model, description)
    assert kept in operations(frozen)
    found = import_graph(frozen.data, frozen.signature)(images(4).astype(np.float32))["value"]
    np.testing.assert_allclose(found, model.predict(images(4).astype(np.float32), verbose=0), rtol=1e-5, atol=1e-5)


numbers = st.lists(st.floats(0.25, 4), min_size=3, max_size=3)
steps = st.lists(st.tuples(st.sampled_from(["+", "-", "*", "/", "r-"]), numbers), min_size=1, max_size=4)


@settings(max_examples=15)
@given(steps)
def test_any_chain_of_scalings_is_folded_to_the_same_values(chain):
    def scaling(image):
        values = image
        for sign, number in chain:
            constant = np.array(number, np.float32)
            values = {
                "+": lambda v, c: v + c,
                "-": lambda v, c: v - c,
                "*": lambda v, c: v * c,
                "/": lambda v, c: v / c,
                "r-": lambda v, c: keras.ops.subtract(c, v),
            }[sign](values, constant)
        return values / 255.0

    model, description = model_behind(scaling)
    frozen = freeze(model, description)
    assert operations(frozen)[:2] == ["Conv2D", "BiasAdd"]
    found = import_graph(frozen.data, frozen.signature)(images(3).astype(np.float32))["value"]
    expected = model.predict(images(3).astype(np.float32), verbose=0)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * max(1.0, np.abs(expected).max()))
