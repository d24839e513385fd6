"""Small models of the project's own shape, whose weights tell images apart: for tests of export and prediction."""

import functools

import keras
import numpy as np
import pytest

from models.description import ModelDescription
from models.heads.choosing import heads_for
from models.model_file import save_model_file
from models.network import HeadShape, build_network
from models.preprocessing import Preprocessing
from models.training.runs import Run
from models.training.settings import Settings
from models.training.settings_file import to_yaml

CAFFE = Preprocessing("BGR", (103.939, 116.779, 123.68), 1.0)
SLIM = Preprocessing("RGB", (127.5, 127.5, 127.5), 127.5)


def small_base(size=32):
    """Convolution, BatchNormalization, a depthwise block and pooling: the operations of the real backbones."""
    layers = keras.layers
    images = keras.Input((size, size, 3))
    values = layers.Conv2D(8, 3, padding="same", name="conv")(images)
    values = layers.ReLU(6.0, name="relu")(layers.BatchNormalization(name="bn")(values))
    values = layers.ZeroPadding2D(((0, 1), (0, 1)), name="pad")(values)
    values = layers.DepthwiseConv2D(3, strides=2, use_bias=False, name="depthwise")(values)
    values = layers.ReLU(6.0, name="depthwise_relu")(layers.BatchNormalization(name="depthwise_bn")(values))
    values = layers.MaxPooling2D(name="pool")(values)
    return keras.Model(images, values, name="backbone")


def narrow_vgg(size=64):
    """VGG19's layout at an eighth of its width."""
    layers = keras.layers
    images = values = keras.Input((size, size, 3))
    for block, (depth, width) in enumerate(((2, 8), (2, 16), (4, 32), (4, 64), (4, 64)), start=1):
        for number in range(1, depth + 1):
            name = f"block{block}_conv{number}"
            values = layers.Conv2D(width, 3, padding="same", activation="relu", name=name)(values)
        values = layers.MaxPooling2D(name=f"block{block}_pool")(values)
    return keras.Model(images, values, name="backbone")


def application(name, size=64, **arguments):
    """A real backbone of `keras.applications`, without its classifier and without its weights."""
    build = getattr(keras.applications, name)
    return build(input_shape=(size, size, 3), weights=None, include_top=False, name="backbone", **arguments)


def model_on(base, labels, preprocessing=CAFFE, shape=None, seed=0, forms=None):
    """Gives (model, description) with random weights, its outputs spread over their range."""
    heads = heads_for(labels, {"attributes": ("Smiling", "Hat", "Young")}, forms)
    model = build_network(base, preprocessing, heads, shape or HeadShape("flatten", (16,)), seed)
    _randomise(model, np.random.default_rng(seed))
    _spread(model, heads)
    description = ModelDescription(
        outputs=tuple(head.output for head in heads),
        image_size=tuple(base.input_shape[1:3]),
        backbone="small",
        preprocessing=preprocessing,
        run="a-run",
        images_digest="ab" * 16,
        index_digest="cd" * 16,
        notes=("Its weights have seen drawings.",),
    )
    return model, description


@functools.cache
def small_model(labels=("gender",), preprocessing=CAFFE, size=32, seed=0):
    """Gives (model, description) on `small_base`, the same objects every time: tests must not change them."""
    return model_on(small_base(size), labels, preprocessing, seed=seed)


def write_run(history, name, models, best, data="faces.h5"):
    """Lays out a run of several checkpoints: `models` is {file name: (model, description)}, the last one the newest."""
    settings = Settings(str(data), "ab", "cd", ("gender",), "mobilenet", "none", (32, 32), "val_gender_accuracy")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACET_HISTORY", str(history))
        run = Run(name)
        run.create()
        for file, (model, description) in models.items():
            save_model_file(model, description, run.checkpoints / file)
        run.config.write_text(to_yaml(settings, {}))
        run.point("best", best)
        run.point("latest", list(models)[-1])


def images(count=8, size=32, seed=0):
    """Gives uint8 (count, size, size, 3): random colours with random noise, so that no two look alike."""
    rng = np.random.default_rng(seed)
    colours = rng.integers(0, 256, (count, 1, 1, 3))
    return np.clip(colours + rng.integers(-60, 60, (count, size, size, 3)), 0, 255).astype(np.uint8)


def values_of(model, description, pictures):
    """Gives what Keras itself computes, by label: the oracle."""
    outputs = model.predict(pictures.astype(np.float32), verbose=0)
    return outputs if isinstance(outputs, dict) else {description.outputs[0].label: outputs}


def _randomise(model, rng):
    """Draws He-normal kernels, then lets BatchNormalization measure what really passes through."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.Dense) and layer.use_bias:
            layer.bias.assign(rng.uniform(0.1, 0.2, layer.bias.shape))  # TensorFlow leaves out the adding of zeros
    base = model.get_layer("backbone")
    normalizations = [layer for layer in base.layers if isinstance(layer, keras.layers.BatchNormalization)]
    for layer in base.layers:
        if layer not in normalizations:
            layer.set_weights([_drawn(layer, weight.shape, rng) for weight in layer.get_weights()])
    for layer in normalizations:
        gamma, beta, mean, variance = layer.get_weights()
        layer.set_weights([rng.uniform(0.8, 1.2, gamma.shape), rng.uniform(-0.2, 0.2, beta.shape), mean, variance])
        layer.momentum = 0.0
    pictures = images(32, model.input_shape[1], 9).astype(np.float32)
    base(model.get_layer("preprocess")(pictures), training=True)


def _drawn(layer, shape, rng):
    if len(shape) == 1:
        return rng.uniform(-0.1, 0.1, shape)
    inputs = shape[:2] if isinstance(layer, keras.layers.DepthwiseConv2D) else shape[:-1]
    return rng.normal(0, np.sqrt(2 / np.prod(inputs)), shape)


def _spread(model, heads):
    """Brings each head's scores to a fixed mean and spread over `images`: logits 0 ± 1, ages 35 ± 1.5."""
    size = model.input_shape[1]
    for head in heads:
        layer = model.get_layer(head.scores_layer)
        wanted_mean, wanted_spread = (35.0, 1.5) if head.scores_layer == "age" else (0.0, 1.0)
        values = keras.Model(model.input, layer.output).predict(images(32, size, 9).astype(np.float32), verbose=0)
        kernel, bias = layer.get_weights()
        factor = wanted_spread / values.std()
        layer.set_weights([kernel * factor, (bias - values.mean()) * factor + wanted_mean])
