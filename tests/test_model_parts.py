"""A model in parts computes what the whole one does, and trains as it does, bit for bit."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import ROOT
from small_models import CAFFE, narrow_vgg, small_base

from models.backbones.building import build_backbone
from models.backbones.cut_points import cut_below, cut_points
from models.backbones.registry import BACKBONES
from models.calibration import measure_batch_normalization
from models.heads.choosing import heads_for
from models.network import HeadShape, backbone_of, build_network, scores_model
from models.training.activations.model_parts import Cut, between, low_cut, lower_part, top_cut, upper_part
from models.training.phases import set_trainable
from models.training.precision import computing_in

HEADS = heads_for(("age", "gender"))
PRECISIONS = ("float32", "mixed_bfloat16")
SHAPE = HeadShape(units=(8,), dropout=0.0)
NARROW = {
    "vggface": {"width": 0.0625},
    "resnext50": {"width": 0.0625, "cardinality": 4, "blocks": (1, 1, 1, 1)},
    "mobilenet": {"alpha": 0.25},
    "mobilenet_v2": {"alpha": 0.35},
    "mobilenet_v3_small": {"alpha": 0.75},
}


def pictures(side):
    return np.random.default_rng(0).integers(0, 256, (8, side, side, 3)).astype(np.uint8)


def network(base, side, shape=SHAPE):
    """A model whose images are `side` pixels wide, whatever its backbone sees of them."""
    model = build_network(base, CAFFE, HEADS, shape, 0, (side, side))
    if any(isinstance(layer, keras.layers.BatchNormalization) for layer in base.layers):
        measure_batch_normalization(model, pictures(side))
    return model


@pytest.fixture(scope="module")
def mobilenet():
    """Its backbone sees a window of 32 pixels in the middle of images of 40."""
    return network(build_backbone("mobilenet", (32, 32), NARROW["mobilenet"], 0), 40)


def computed(part, model, inputs, precision="float32"):
    """What a part gives in a compiled step, as arrays."""

    @tf.function(autograph=False)
    def step(values):
        with computing_in(precision, model, HEADS):
            return part(tf.cast(values, tf.float32), training=False)

    return tf.nest.map_structure(lambda value: value.numpy(), step(tf.constant(inputs)))


def gradients(part, model, inputs, precision):
    variables = model.trainable_variables

    @tf.function(autograph=False)
    def step(values):
        with computing_in(precision, model, HEADS), tf.GradientTape() as tape:
            outputs = part(tf.cast(values, tf.float32), training=True)
            losses = [tf.reduce_sum(tf.cast(outputs[head.label], tf.float32) ** 2) for head in HEADS]
            loss = tf.add_n(losses) / 100
        return tape.gradient(loss, variables)

    return [gradient.numpy() for gradient in step(tf.constant(inputs))]


def assert_equal(mine, others):
    mine, others = tf.nest.flatten(mine), tf.nest.flatten(others)
    assert len(mine) == len(others) > 0
    for one, other in zip(mine, others, strict=True):
        np.testing.assert_array_equal(one, other)


def train_from(base, cut):
    """Makes everything above a layer trainable, as fine-tuning does; gives that as `trainable_layers`."""
    layers = str(len(base.layers) - 1 - [layer.name for layer in base.layers].index(cut))
    set_trainable(base, layers)
    return layers


def places(base, count):
    """At most `count` layers that fine-tuning may be cut at, from everywhere in the backbone."""
    names = list(dict.fromkeys(cut_below(base, place) for place in range(1, len(base.layers))))[1:]
    names = [name for name in names if base.get_layer(name).output is not base.outputs[0]]
    return list(dict.fromkeys(names[place * len(names) // count] for place in range(count))) if names else []


def assert_parts_compute_the_whole(model, precision, count=5):
    base, images, whole = backbone_of(model), pictures(model.input_shape[1]), scores_model(model, HEADS)
    expected, top = computed(whole, model, images, precision), top_cut(model)
    at_top = computed(lower_part(model, top), model, images, precision)
    assert_equal(computed(upper_part(model, HEADS, top), model, at_top, precision), expected)
    for cut in (Cut(name, inside=True) for name in places(base, count)):
        at_cut = computed(lower_part(model, cut), model, images, precision)
        assert_equal(computed(upper_part(model, HEADS, cut), model, at_cut, precision), expected)
        assert_equal(computed(between(model, cut, top), model, at_cut, precision), at_top)


def assert_parts_train_as_the_whole(model, precision, count=3):
    base, images, whole = backbone_of(model), pictures(model.input_shape[1]), scores_model(model, HEADS)
    for name in places(base, count):
        cut = low_cut(model, train_from(base, name))
        part, at_cut = upper_part(model, HEADS, cut), computed(lower_part(model, cut), model, images, precision)
        assert_equal(gradients(part, model, at_cut, precision), gradients(whole, model, images, precision))
    set_trainable(base, "0")
    at_top = computed(lower_part(model, top_cut(model)), model, images, precision)
    part = upper_part(model, HEADS, top_cut(model))
    assert_equal(gradients(part, model, at_top, precision), gradients(whole, model, images, precision))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_parts_together_give_what_the_whole_gives(mobilenet, precision):
    assert_parts_compute_the_whole(mobilenet, precision, 2)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_training_above_a_cut_has_the_gradients_of_training_on_images(mobilenet, precision):
    assert_parts_train_as_the_whole(mobilenet, precision, 1)


@pytest.mark.parametrize("pooling", ["average", "flatten"])
@pytest.mark.parametrize("normalization", ["none", "layer"])
def test_every_shape_of_head_can_be_cut_off(pooling, normalization):
    model = network(small_base(), 32, HeadShape(pooling, (8,), 0.0, normalization=normalization))
    assert_parts_compute_the_whole(model, "float32", 1)
    assert_parts_train_as_the_whole(model, "mixed_bfloat16", 1)


def test_a_sequential_backbone_can_be_cut():
    layers = keras.layers
    base = keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            layers.Conv2D(4, 3, activation="relu", name="low"),
            layers.MaxPooling2D(name="pool"),
            layers.Conv2D(4, 3, name="high"),
        ],
        name="backbone",
    )
    model = network(base, 16)
    assert low_cut(model, "high") == Cut("pool", inside=True)
    assert_parts_compute_the_whole(model, "float32")
    assert_parts_train_as_the_whole(model, "float32")


def test_a_backbone_of_vectors_is_cut_behind_itself():
    images = keras.Input((16, 16, 3))
    base = keras.Model(images, keras.layers.Dense(5, name="fc")(keras.layers.Flatten(name="flat")(images)), name="base")
    model = network(base, 16)
    assert top_cut(model) == Cut("base", inside=False)
    assert_parts_compute_the_whole(model, "float32")


def test_the_top_cut_is_behind_pooling_unless_something_trains_before_it():
    assert top_cut(network(small_base(), 32)) == Cut("features", inside=False)
    model = network(small_base(), 32, HeadShape("flatten", (8,), 0.0, normalization="layer"))
    assert top_cut(model) == Cut("backbone", inside=False)


@pytest.mark.parametrize(
    ("trainable_layers", "cut"),
    [
        ("0", Cut("features", inside=False)),
        ("1", Cut("features", inside=False)),  # pooling alone, which has nothing to train
        ("2", Cut("block5_conv3", inside=True)),
        ("4", Cut("block5_conv1", inside=True)),
        ("block5", Cut("block4_pool", inside=True)),
        ("block1_conv2", Cut("block1_conv1", inside=True)),
        ("block1", None),
        ("all", None),
    ],
)
def test_fine_tuning_is_cut_below_the_first_layer_that_trains(trainable_layers, cut):
    assert low_cut(network(narrow_vgg(32), 32), trainable_layers) == cut


def test_frozen_batch_normalization_lies_below_the_cut_and_synchronized_above(mobilenet):
    names = [layer.name for layer in backbone_of(mobilenet).layers]
    trainable = str(len(names) - names.index("conv_pw_12_bn"))
    assert low_cut(mobilenet, trainable) == Cut("conv_pw_12_relu", inside=True)
    # never between a convolution and its BatchNormalization
    assert low_cut(mobilenet, trainable, "synchronized") == Cut("conv_dw_12_relu", inside=True)


def test_no_cut_parts_a_convolution_from_what_is_computed_with_it(mobilenet):
    base = backbone_of(mobilenet)
    cuts = {cut_below(base, place) for place in range(len(base.layers) + 1)}
    kinds = keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.BatchNormalization
    apart = {name for name in cut_points(base) if isinstance(base.get_layer(name), kinds)}
    assert len(apart) > 40
    assert cuts & apart == set()


def test_parts_have_no_variables_of_their_own(mobilenet):
    before = {id(variable) for variable in mobilenet.variables}
    low, top = Cut("conv_pw_6_relu", inside=True), top_cut(mobilenet)
    parts = lower_part(mobilenet, low), between(mobilenet, low, top), upper_part(mobilenet, HEADS, top)
    mine = [id(variable) for part in parts for variable in part.variables]
    assert len(mine) == len(set(mine)) == len(before)
    assert set(mine) == before


def test_cutting_leaves_the_model_as_it_was(tmp_path):
    model = network(small_base(), 32)
    before = model.get_config()
    upper_part(model, HEADS, Cut("relu", inside=True))
    lower_part(model, Cut("relu", inside=True))
    assert model.get_config() == before
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras", compile=False)
    assert_equal(again(pictures(32).astype(np.float32)), model(pictures(32).astype(np.float32)))


@pytest.mark.long
@pytest.mark.parametrize("name", sorted(BACKBONES))
@pytest.mark.parametrize("precision", PRECISIONS)
def test_every_backbone_can_be_cut(name, precision):
    side = max(64, BACKBONES[name].smallest)
    model = network(build_backbone(name, (side, side), NARROW.get(name, {}), 0), side)
    assert_parts_compute_the_whole(model, precision, 8)
    if name == "resnext50" and not gradients_of_grouped_convolutions():
        pytest.skip("TensorFlow without oneDNN has no gradients of grouped convolutions on this processor")
    assert_parts_train_as_the_whole(model, precision)


def gradients_of_grouped_convolutions():
    """Says whether TensorFlow, in a process of its own, differentiates a convolution of two groups."""
    code = (
        "import tensorflow as tf\n"
        "x, k = tf.Variable(tf.ones((1, 4, 4, 4))), tf.ones((3, 3, 2, 4))\n"
        "@tf.function\n"
        "def f():\n"
        "    with tf.GradientTape() as t: y = tf.reduce_sum(tf.nn.conv2d(x, k, 1, 'SAME'))\n"
        "    return t.gradient(y, x)\n"
        "f()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], env=os.environ, cwd=ROOT, check=False, capture_output=True)
    return done.returncode == 0
