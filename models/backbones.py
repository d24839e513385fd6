"""The backbones: which Keras application each is, and what its input must look like."""

import contextlib
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hdf5_helper.errors import FacetError, did_you_mean
from hdf5_helper.hashing import hash_integer
from models.preprocessing import Preprocessing

#: ImageNet means of the Caffe models, B, G, R on 0–255 (Simonyan and Zisserman, 2014); `keras.applications` mode caffe.
_CAFFE = Preprocessing("BGR", (103.939, 116.779, 123.68), 1.0)
#: x / 127.5 - 1 (TF-slim); `keras.applications` mode tf.
_SLIM = Preprocessing("RGB", (127.5, 127.5, 127.5), 127.5)


@dataclass(frozen=True)
class Backbone:
    """A pretrained convolutional body.

    Attributes:
        name: what users call it.
        application: name of the function in `keras.applications`.
        keras_name: what the name of a model begins with that this application made.
        preprocessing: what its ImageNet weights want to see.
        smallest: smallest side of an image that it takes, in pixels.
    """

    name: str
    application: str
    keras_name: str
    preprocessing: Preprocessing
    smallest: int = 32


BACKBONES = {
    backbone.name: backbone
    for backbone in (
        Backbone("mobilenet", "MobileNet", "mobilenet_", _SLIM),
        Backbone("mobilenet_v2", "MobileNetV2", "mobilenetv2_", _SLIM),
        Backbone("vgg19", "VGG19", "vgg19", _CAFFE),
    )
}


def backbone_named(name: str) -> Backbone:
    """Gives a backbone of the registry; raises FacetError with the nearest name for any other."""
    if name not in BACKBONES:
        raise FacetError(f"backbone {name!r}: {did_you_mean(name, BACKBONES)}")
    return BACKBONES[name]


def build_backbone(name: str, image_size: tuple[int, int], arguments: dict[str, Any], seed: int) -> Any:
    """Gives a backbone with fresh weights, without its classifier.

    Args:
        name: of the registry.
        image_size: (height, width) in pixels.
        arguments: passed to the Keras application, such as `{"alpha": 0.5}`.
        seed: chooses the fresh weights, the same in every process.

    Returns:
        keras.Model named `backbone`, float32 (N, height, width, 3) in the backbone's own colours to feature maps.
    """
    import keras

    backbone = backbone_named(name)
    if min(image_size) < backbone.smallest:
        raise FacetError(
            f"image size {image_size[0]}x{image_size[1]}: {name} needs at least {backbone.smallest} pixels a side"
        )
    application = getattr(keras.applications, backbone.application)
    shape = (*image_size, 3)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            model = application(include_top=False, weights=None, input_shape=shape, name="backbone", **arguments)
    except (TypeError, ValueError) as error:
        raise FacetError(f"backbone {name} with arguments {arguments}: {error}") from None
    # He et al., 2015: keeps the spread of activations through ReLU layers, which Keras's default loses
    initialise(model, seed, keras.initializers.HeNormal())
    return model


def initialise(model: Any, seed: int, rule: Any = None) -> None:
    """Draws every kernel of `model` anew, from a seed of the layer's place in the model.

    Args:
        model: its own layers only, not those of nested models.
        seed: the same seed gives the same weights in every process.
        rule: a Keras initializer for all kernels; by default each layer's own.
    """
    for place, layer in enumerate(model.layers):
        for number, (variable, own) in enumerate(_kernels(layer)):
            chosen = rule or own
            drawn_by = type(chosen).from_config(chosen.get_config() | {"seed": hash_integer(seed, place, number) >> 33})
            variable.assign(drawn_by(variable.shape, variable.dtype))


def _kernels(layer: Any) -> Iterator[tuple[Any, Any]]:
    """Gives (variable, initializer) of each kernel of a layer; depthwise convolutions call theirs by two names."""
    rules = {"kernel": "kernel_initializer", "depthwise_kernel": "", "pointwise_kernel": "pointwise_initializer"}
    for attribute, name in rules.items():
        variable = getattr(layer, attribute, None)
        rule = getattr(layer, name, None) or getattr(layer, "depthwise_initializer", None)
        if variable is not None and rule is not None:
            yield variable, rule


def load_imagenet(model: Any, name: str, image_size: tuple[int, int], arguments: dict[str, Any]) -> None:
    """Copies Keras's ImageNet weights into a backbone, downloading them once.

    Raises:
        FacetError: there is no network; it says which file to put where.
    """
    import keras

    application = getattr(keras.applications, backbone_named(name).application)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            trained = application(include_top=False, weights="imagenet", input_shape=(*image_size, 3), **arguments)
    except Exception as error:  # noqa: BLE001 - Keras raises bare Exception and others here
        raise FacetError(_download_sentence(str(error), name)) from None
    model.set_weights(trained.get_weights())


def _download_sentence(reason: str, name: str) -> str:
    found = re.search(r"https?://\S+?\.h5", reason)
    if found is None:
        return f"weights imagenet: Keras has none for {name} in this form: {reason.splitlines()[0] if reason else ''}"
    place = Path.home() / ".keras" / "models" / found[0].rsplit("/", 1)[1]
    return f"weights imagenet: {found[0]} cannot be downloaded, expected the file at {place} (or give --weights FILE)"
