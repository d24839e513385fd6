"""A user's own whole Keras model as it is: what its outputs mean, and the loss from what it ends in."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from hdf5_helper.errors import FacetError
from models.heads import Head, heads_for

#: Activations that an output may end in, by what a head of Facet ends in.
_ENDS = {"sigmoid": ("sigmoid",), "linear": ("linear", "relu", "softplus", "exponential")}


@dataclass(frozen=True)
class ProbabilityHead(Head):
    """A head whose scores are probabilities; the loss is Keras's own, which knows the logits behind a sigmoid."""

    def losses(self, scores: Any, targets: Any, smoothing: float = 0.0) -> Any:
        """Gives the loss of each example, float32 (N,); see Head."""
        import keras
        import tensorflow as tf

        smooth = targets * (1.0 - smoothing) + 0.5 * smoothing
        return tf.reshape(keras.ops.binary_crossentropy(smooth[:, None], scores), [-1])

    def metrics(self, scores: Any, targets: Any) -> Any:
        """Gives the metric of each example, float32 (N,); see Head."""
        return super().metrics(scores - 0.5, targets)


def is_whole(model: Any) -> bool:
    """Says whether a model ends in one value an image for each output, and was not put together by `build_network`."""
    shapes = [tuple(tensor.shape) for tensor in getattr(model, "outputs", ())]
    names = {layer.name for layer in model.layers}
    return bool(shapes) and all(len(shape) == 2 for shape in shapes) and "preprocess" not in names


def heads_of(model: Any, labels: tuple[str, ...]) -> tuple[Head, ...]:
    """Gives the heads of somebody's own model, in the labels' order.

    Args:
        model: keras.Model (functional or Sequential) from images (N, H, W, 3), RGB 0–255, to (N, 1): P(female) for
            gender, as the last thing a sigmoid; years for age. Several labels are a dict of such by label, or outputs
            in the labels' order, whose layers have the labels' names.
        labels: to train.

    Raises:
        FacetError: the model has other inputs or outputs.
    """
    shapes = [tuple(tensor.shape) for tensor in getattr(model, "inputs", None) or ()]
    if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][3] != 3:
        found = " and ".join(map(str, shapes)) or "a model without a fixed input"
        raise FacetError(f"model {model.name}: takes {found}, expected one colour image (None, H, W, 3)")
    layers = _layers_by_label(model, labels)
    return tuple(_head(model, head, layers[head.label]) for head in heads_for(labels))


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
    ends = _ENDS[head.output.activation]
    if shape[1:] != (1,) or activation not in ends:
        meaning = "P(female) from a sigmoid" if head.label == "gender" else "years from a Dense layer"
        found = f"output {name!r} is {shape} with activation {activation or 'unknown'}"
        raise FacetError(f"model {model.name}: {found}, expected (None, 1), {meaning}")
    if head.output.activation == "linear":
        return replace(head, scores_layer=name)
    return ProbabilityHead(head.output, name, head.loss, head.metric, head.loss_weight)
