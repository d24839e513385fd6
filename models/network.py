"""A whole model: `preprocess`, backbone, heads, all in Keras's own layers."""

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from hdf5_helper.errors import FacetError
from models.backbones.building import initialise
from models.backbones.grouped import group_natively
from models.heads.head import Head
from models.preprocessing import Preprocessing

#: Units of a dense layer at most: a typing error shall not ask for terabytes.
_WIDEST = 65_536


@dataclass(frozen=True)
class HeadShape:
    """The new layers on top of a backbone.

    Attributes:
        pooling: `average` (over the whole feature map) or `flatten`; nothing on a backbone that ends in vectors.
        units: widths of the hidden dense layers.
        dropout: share of features dropped before the first dense layer, in [0, 1).
        hidden_dropout: share dropped behind each hidden layer, in [0, 1).
        normalization: `layer` normalizes the feature map over its channels (Ba et al. 2016) first, or `none`.
    """

    pooling: str = "average"
    units: tuple[int, ...] = (256,)
    dropout: float = 0.2
    hidden_dropout: float = 0.0
    normalization: str = "none"

    def __post_init__(self) -> None:
        """Refuses what cannot be built."""
        if self.pooling not in ("average", "flatten"):
            raise FacetError(f"pooling {self.pooling!r}: expected average or flatten")
        if self.normalization not in ("none", "layer"):
            raise FacetError(f"normalization {self.normalization!r}: expected none or layer")
        dropouts_fit = all(0 <= dropout < 1 for dropout in (self.dropout, self.hidden_dropout))
        if not all(1 <= unit <= _WIDEST for unit in self.units) or not dropouts_fit:
            raise FacetError(f"head: expected units of 1 to {_WIDEST} and dropouts in [0, 1), found {self}")


def build_network(
    base: Any,
    preprocessing: Preprocessing,
    heads: tuple[Head, ...],
    shape: HeadShape,
    seed: int,
    image_size: tuple[int, int] | None = None,
) -> Any:
    """Puts a model together.

    Args:
        base: keras.Model from images in its own colours to feature maps (N, h, w, channels) or vectors (N, channels).
        preprocessing: what `base` wants to see.
        heads: one or more.
        shape: of the new layers; each head has its own.
        seed: chooses the new layers' first weights.
        image_size: (height, width) of the model's images where `base` sees a smaller window in their middle.

    Returns:
        keras.Model, float32 RGB 0–255 (N, H, W, 3) to (N, k), or to a dict of such by label for several heads. The
        backbone's BatchNormalization is frozen, which for Keras also means inference mode: it does not move.
    """
    import keras

    for layer in base.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False
    window = tuple(base.input_shape[1:3])
    group_natively(base)
    images = keras.Input((*(image_size or window), 3), name="image")
    seen = _preprocess_layer(preprocessing)(images)
    if image_size is not None and image_size != window:
        seen = _crop_layer(image_size, window)(seen)
    features = _features(base(seen, training=False), shape)
    outputs = {head.label: _head(features, head, shape) for head in heads}
    model = keras.Model(images, outputs if len(heads) > 1 else outputs[heads[0].label], name="facet")
    fixed = {layer: layer.get_weights() for layer in model.layers if layer is not base and not layer.trainable}
    initialise(model, seed)
    for layer, weights in fixed.items():
        layer.set_weights(weights)
    return model


def window_margin(image_size: tuple[int, int], window: tuple[int, int]) -> tuple[int, int]:
    """Gives (rows, columns) that a window in the middle of an image leaves above and to its left."""
    return (image_size[0] - window[0]) // 2, (image_size[1] - window[1]) // 2


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


def start_at(model: Any, head: Head, values: NDArray[Any]) -> None:
    """Starts a head with the bias that its known stored labels `values` (n, …) ask for, where they ask for one."""
    bias = head.first_bias(values) if len(values) else None
    if bias is not None:
        layer = model.get_layer(head.scores_layer)
        layer.set_weights([layer.get_weights()[0], bias])


def _preprocess_layer(preprocessing: Preprocessing) -> Any:
    import keras

    layer = keras.layers.Conv2D(3, 1, name="preprocess", trainable=False)
    layer.build((None, None, None, 3))
    layer.set_weights(list(preprocessing.kernel_and_bias()))
    return layer


def _crop_layer(image_size: tuple[int, int], window: tuple[int, int]) -> Any:
    import keras

    sides = zip(window_margin(image_size, window), image_size, window, strict=True)
    return keras.layers.Cropping2D(
        tuple((margin, outer - inner - margin) for margin, outer, inner in sides), name="crop"
    )


def _features(features: Any, shape: HeadShape) -> Any:
    """Gives a vector an image (N, channels)."""
    import keras

    if shape.normalization == "layer":
        features = keras.layers.LayerNormalization(name="normalization")(features)
    if len(features.shape) == 2:
        return features
    pool = keras.layers.GlobalAveragePooling2D if shape.pooling == "average" else keras.layers.Flatten
    return pool(name="features")(features)


def _head(features: Any, head: Head, shape: HeadShape) -> Any:
    import keras

    values = keras.layers.Dropout(shape.dropout, name=f"{head.label}_dropout")(features)
    for number, units in enumerate(shape.units, start=1):
        values = keras.layers.Dense(units, activation="relu", name=f"{head.label}_dense_{number}")(values)
        if shape.hidden_dropout:
            values = keras.layers.Dropout(shape.hidden_dropout, name=f"{head.label}_dropout_{number}")(values)
    return head.answer(keras.layers.Dense(head.columns, name=head.scores_layer)(values))
