"""Builds backbones with fresh weights, all with their preprocessing outside and nothing left to chance inside."""

import contextlib
import io
from collections.abc import Iterator
from typing import Any

from hdf5_helper.errors import FacetError
from hdf5_helper.hashing import hash_integer
from models.backbones.arguments import check_arguments
from models.backbones.grouped import group_natively
from models.backbones.registry import backbone_named


def build_backbone(name: str, image_size: tuple[int, int], arguments: dict[str, Any], seed: int) -> Any:
    """Gives a backbone with fresh weights, without its classifier.

    Args:
        name: of the registry, or of a function of `keras.applications`.
        image_size: (height, width) in pixels.
        arguments: passed to the builder, such as `{"alpha": 0.5}`.
        seed: chooses the fresh weights, the same in every process.

    Returns:
        keras.Model named `backbone`, float32 (N, height, width, 3) as the backbone's preprocessing leaves them, to
        feature maps (N, h, w, channels), or to vectors (N, channels) where the arguments say so.
    """
    import keras

    backbone = backbone_named(name)
    if min(image_size) < backbone.smallest:
        raise FacetError(
            f"image size {image_size[0]}x{image_size[1]}: {name} needs at least {backbone.smallest} pixels a side"
        )
    try:
        check_arguments(backbone, arguments)
        with contextlib.redirect_stdout(io.StringIO()):
            model = backbone.build(None, image_size, arguments, name="backbone")
    except (TypeError, ValueError, OverflowError) as error:
        raise FacetError(f"backbone {name} with arguments {arguments}: {error}") from None
    model = without_chance(without_preprocessing(model))
    model.name = "backbone"
    # He et al., 2015: keeps the spread of activations through ReLU layers, which Keras's default loses
    _draw(model, seed, keras.initializers.HeNormal())
    return group_natively(model)


def without_preprocessing(model: Any) -> Any:
    """Gives the part of a model behind the Rescaling and Normalization layers at its input, or the model itself.

    EfficientNet (the first) has them and no argument that leaves them out. Its weights of these layers are off by a
    square root, which Keras mends by another layer where it loads them (tensorflow/tensorflow#49930).
    """
    import keras

    inside = (keras.layers.Rescaling, keras.layers.Normalization)
    found = [layer for layer in model.layers[1:4] if isinstance(layer, inside)]
    return keras.Model(found[-1].output, model.outputs[0], name=model.name) if found else model


def without_chance(model: Any) -> Any:
    """Gives a copy of the model, weights too, with all dropout and stochastic depth at rate 0.

    Where there is neither it gives the model itself. Keras runs a nested model in training mode whenever the outer one
    is, whatever it was called with: a frozen EfficientNet would give other features each time. The rates are in the
    configuration, so files have them too.
    """
    import keras

    rates = ("rate", "drop_path_rate")
    layers = model._flatten_layers(include_self=False)  # noqa: SLF001 - Keras has no public walk through nested models
    if not any(getattr(layer, rate, 0) for layer in layers for rate in rates):
        return model

    def still(layer: Any) -> Any:
        config = layer.get_config()
        return type(layer).from_config(config | {rate: 0.0 for rate in rates if rate in config})

    copy = keras.models.clone_model(model, clone_function=still)
    copy.set_weights(model.get_weights())
    return copy


def _draw(model: Any, seed: int, rule: Any) -> None:
    import keras

    initialise(model, seed, rule)
    for place, layer in enumerate(model.layers):
        if isinstance(layer, keras.Sequential):  # ConvNeXt's stem and its steps between stages
            initialise(layer, hash_integer(seed, place), rule)


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
