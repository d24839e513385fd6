"""A whole model: `preprocess`, backbone, heads, all in Keras's own layers."""

from dataclasses import dataclass
from typing import Any

from hdf5_helper.errors import FacetError
from models.backbones import initialise
from models.heads import Head
from models.preprocessing import Preprocessing


@dataclass(frozen=True)
class HeadShape:
    """The new layers on top of a backbone.

    Attributes:
        pooling: `average` (over the whole feature map) or `flatten`.
        units: widths of the hidden dense layers.
        dropout: share of features dropped before the first dense layer, in [0, 1).
    """

    pooling: str = "average"
    units: tuple[int, ...] = (256,)
    dropout: float = 0.2

    def __post_init__(self) -> None:
        """Refuses what cannot be built."""
        if self.pooling not in ("average", "flatten"):
            raise FacetError(f"pooling {self.pooling!r}: expected average or flatten")
        if not all(unit >= 1 for unit in self.units) or not 0 <= self.dropout < 1:
            raise FacetError(f"head: expected units of at least 1 and a dropout in [0, 1), found {self}")


def build_network(base: Any, preprocessing: Preprocessing, heads: tuple[Head, ...], shape: HeadShape, seed: int) -> Any:
    """Puts a model together.

    Args:
        base: keras.Model from images in its own colours to feature maps (N, h, w, channels).
        preprocessing: what `base` wants to see.
        heads: one or more.
        shape: of the new layers; each head has its own.
        seed: chooses the new layers' first weights.

    Returns:
        keras.Model, float32 RGB 0–255 (N, H, W, 3) to (N, 1), or to a dict of such by label for several heads. The
        backbone's BatchNormalization is frozen, which for Keras also means inference mode: it does not move.
    """
    import keras

    for layer in base.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False
    images = keras.Input((*base.input_shape[1:3], 3), name="image")
    features = base(_preprocess_layer(preprocessing)(images), training=False)
    pool = keras.layers.GlobalAveragePooling2D if shape.pooling == "average" else keras.layers.Flatten
    features = pool(name="features")(features)
    outputs = {head.label: _head(features, head, shape) for head in heads}
    model = keras.Model(images, outputs if len(heads) > 1 else outputs[heads[0].label], name="facet")
    fixed = model.get_layer("preprocess").get_weights()
    initialise(model, seed)
    model.get_layer("preprocess").set_weights(fixed)
    return model


def scores_model(model: Any, heads: tuple[Head, ...]) -> Any:
    """Gives a keras.Model on the same layers whose outputs are what the losses take, a dict by label."""
    import keras

    return keras.Model(model.inputs, {head.label: model.get_layer(head.scores_layer).output for head in heads})


def backbone_of(model: Any) -> Any:
    """Gives the backbone inside a model of `build_network`."""
    import keras

    nested = [layer for layer in model.layers if isinstance(layer, keras.Model)]
    if not nested:
        raise FacetError(f"model {model.name}: expected a backbone as a nested Keras model, found none")
    return nested[0]


def set_age_bias(model: Any, mean_age: float) -> None:
    """Starts an age head at the mean age in years, so that the first steps do not go into finding it."""
    layer = model.get_layer("age")
    kernel, bias = layer.get_weights()
    layer.set_weights([kernel, bias * 0 + mean_age])


def _preprocess_layer(preprocessing: Preprocessing) -> Any:
    import keras

    layer = keras.layers.Conv2D(3, 1, name="preprocess", trainable=False)
    layer.build((None, None, None, 3))
    layer.set_weights(list(preprocessing.kernel_and_bias()))
    return layer


def _head(features: Any, head: Head, shape: HeadShape) -> Any:
    import keras

    values = keras.layers.Dropout(shape.dropout, name=f"{head.label}_dropout")(features)
    for number, units in enumerate(shape.units, start=1):
        values = keras.layers.Dense(units, activation="relu", name=f"{head.label}_dense_{number}")(values)
    values = keras.layers.Dense(1, name=head.scores_layer)(values)
    if head.scores_layer == head.label:
        return values
    return keras.layers.Activation(head.output.activation, name=head.label)(values)
