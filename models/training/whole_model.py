"""A user's own whole Keras model as it is: what its outputs mean, and the loss from what it ends in."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from hdf5_helper.errors import FacetError
from models.heads.attributes import AttributesHead
from models.heads.binary import BinaryHead
from models.heads.classes import ClassHead
from models.heads.head import Head

#: Activations that an output may end in, by what a head of Facet ends in.
_ENDS = {
    "sigmoid": ("sigmoid",),
    "softmax": ("softmax",),
    "linear": ("linear", "relu", "softplus", "exponential"),
}


@dataclass(frozen=True)
class ProbabilityHead(BinaryHead):
    """A head whose scores are probabilities; the loss is Keras's own, which knows the logits behind a sigmoid."""

    def losses(self, scores: Any, targets: Any, smoothing: float = 0.0) -> Any:
        """Gives the loss of each example, float32 (N,); see Head."""
        import keras
        import tensorflow as tf

        smooth = targets * (1.0 - smoothing) + 0.5 * smoothing
        return tf.reshape(keras.ops.binary_crossentropy(smooth[:, None], scores), [-1])

    def decisions(self, scores: Any, targets: Any) -> tuple[Any, Any]:
        """Gives both classes; see Head."""
        return super().decisions(scores - 0.5, targets)


@dataclass(frozen=True)
class ProbabilitiesHead(ClassHead):
    """Likewise for classes, behind a softmax."""

    def losses(self, scores: Any, targets: Any, smoothing: float = 0.0) -> Any:
        """Gives the loss of each example, float32 (N,); see Head."""
        import keras

        smooth = targets * (1.0 - smoothing) + smoothing / self.columns
        return keras.ops.categorical_crossentropy(smooth, scores)


@dataclass(frozen=True)
class AttributeProbabilitiesHead(AttributesHead):
    """Likewise for attributes, each behind a sigmoid."""

    def losses(self, scores: Any, targets: Any, smoothing: float = 0.0) -> Any:
        """Gives the loss of each attribute, float32 (N, A); see Head."""
        import keras

        return keras.ops.binary_crossentropy(targets * (1.0 - smoothing) + 0.5 * smoothing, scores)

    def metrics(self, scores: Any, targets: Any) -> tuple[Any, ...]:
        """Gives 1 or 0 (N, A) for right or wrong; see Head."""
        return super().metrics(scores - 0.5, targets)


def is_whole(model: Any) -> bool:
    """Says whether a model ends in one value an image for each output, and was not put together by `build_network`."""
    shapes = [tuple(tensor.shape) for tensor in getattr(model, "outputs", ())]
    names = {layer.name for layer in model.layers}
    return bool(shapes) and all(len(shape) == 2 for shape in shapes) and "preprocess" not in names


def heads_of(model: Any, heads: tuple[Head, ...]) -> tuple[Head, ...]:
    """Gives the heads of somebody's own model, in the labels' order.

    Args:
        model: keras.Model (functional or Sequential) from images (N, H, W, 3), RGB 0–255, to (N, 1): P(female) for
            gender, as the last thing a sigmoid; years for age; to (N, classes) behind a softmax for classes, or (N,
            attributes) behind sigmoids. Several labels are a dict of such by label, or outputs in the labels' order,
            whose layers have the labels' names.
        heads: of the labels to train, as they are on Facet's own models.

    Raises:
        FacetError: the model has other inputs or outputs.
    """
    shapes = [tuple(tensor.shape) for tensor in getattr(model, "inputs", None) or ()]
    if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][3] != 3:
        found = " and ".join(map(str, shapes)) or "a model without a fixed input"
        raise FacetError(f"model {model.name}: takes {found}, expected one colour image (None, H, W, 3)")
    layers = _layers_by_label(model, tuple(head.label for head in heads))
    return tuple(_head(model, head, layers[head.label]) for head in heads)


def _layers_by_label(model: Any, labels: tuple[str, ...]) -> dict[str, str]:
    """Gives the name of each label's last layer."""
    import keras

    names = list(getattr(model, "output_names", ())) or [model.layers[-1].name]
    structure = getattr(model, "output", None)
    if isinstance(structure, Mapping):
        keys = keras.tree.flatten({key: key for key in structure})
    else:
        keys = list(labels) if len(names) == len(labels) == 1 else names
    fit = sorted(keys) == sorted(labels) if isinstance(structure, Mapping) else keys == list(labels)
    if not fit:
        expected = " and ".join(labels) + (", in this order or as a dict" if len(labels) > 1 else "")
        raise FacetError(f"model {model.name}: has outputs {', '.join(keys)}, expected {expected}")
    return dict(zip(keys, names, strict=True))


def _head(model: Any, head: Head, name: str) -> Head:
    layer = model.get_layer(name)
    activation = getattr(getattr(layer, "activation", None), "__name__", "")
    shape = tuple(layer.output.shape)
    expected = head.columns
    if shape[1:] != (expected,) or activation not in _ENDS[head.output.activation]:
        meaning = {"sigmoid": "P(female) from a sigmoid", "linear": "years from a Dense layer"}
        found = f"output {name!r} is {shape} with activation {activation or 'unknown'}"
        wanted = meaning.get(head.output.activation, "a softmax over the classes")
        wanted = "P(yes) of each attribute from a sigmoid" if head.label == "attributes" else wanted
        raise FacetError(f"model {model.name}: {found}, expected (None, {expected}), {wanted}")
    if isinstance(head, ClassHead):
        return ProbabilitiesHead(head.output, head.form, name, head.loss_weight)
    if isinstance(head, AttributesHead):
        return AttributeProbabilitiesHead(head.output, head.form, name, head.loss_weight)
    if isinstance(head, BinaryHead):
        return ProbabilityHead(head.output, head.form, name, head.loss_weight)
    return replace(head, scores_layer=name)
