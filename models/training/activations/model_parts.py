"""A model of `build_network` cut in two or three: what is below a cut, between two, and above one, on the same layers.

What is below a cut gives the same values for the same pixels as long as nothing below it trains. The parts have no
variables of their own, and together they compute what the whole model does, bit for bit.
"""

from dataclasses import dataclass
from typing import Any

from models.backbones.cut_points import cut_below
from models.heads.head import Head
from models.network import backbone_of
from models.training.phases import first_trained


@dataclass(frozen=True)
class Cut:
    """Where a model is cut: behind a layer.

    Attributes:
        layer: its name.
        inside: True for a layer of the backbone, False for one of the model around it.
    """

    layer: str
    inside: bool


def top_cut(model: Any) -> Cut:
    """Gives the cut behind the backbone, and behind the weightless `features` where that comes straight after it."""
    behind, names = _call_of(model, backbone_of(model)), [layer.name for layer in model.layers]
    if "features" in names:
        features = model.get_layer("features")
        if _call_of(model, features).input_tensors[0] is behind.output_tensors[0]:
            return Cut("features", inside=False)
    return Cut(backbone_of(model).name, inside=False)


def low_cut(model: Any, trainable_layers: str, batch_normalization: str = "frozen") -> Cut | None:
    """Gives the highest cut below everything that trains in fine-tuning.

    Args:
        model: as `models.network.build_network` gives it.
        trainable_layers: see `models.training.phases.set_trainable`.
        batch_normalization: the same.

    Returns:
        A layer of the backbone; the top cut where nothing of the backbone trains; None where nothing with weights is
        below.
    """
    base = backbone_of(model)
    first = first_trained(base, trainable_layers)
    while first < len(base.layers) and not _trains(base.layers[first], batch_normalization):
        first += 1
    if first == len(base.layers):
        return top_cut(model)
    cut = cut_below(base, first)
    below = _functional(base.inputs[0], base.get_layer(cut).output)
    return Cut(cut, inside=True) if below.weights else None


def lower_part(model: Any, cut: Cut) -> Any:
    """Gives a keras.Model from the model's images, float32 (N, H, W, 3), to what the layer of the cut gives."""
    if not cut.inside:
        return _functional(model.inputs[0], _behind(model, cut))
    base = backbone_of(model)
    below = _functional(base.inputs[0], _behind(model, cut))
    seen = _call_of(model, base).input_tensors[0]
    return _functional(model.inputs[0], below(seen, training=False))


def between(model: Any, low: Cut, top: Cut) -> Any:
    """Gives a keras.Model from what `lower_part(model, low)` gives to what `lower_part(model, top)` gives.

    Args:
        model: as `models.network.build_network` gives it.
        low: a layer of the backbone.
        top: one of the model around it.
    """
    return _from(model, low, _behind(model, top))


def upper_part(model: Any, heads: tuple[Head, ...], cut: Cut) -> Any:
    """Gives a keras.Model from what `lower_part(model, cut)` gives to what the losses take, a dict by label."""
    return _from(model, cut, {head.label: model.get_layer(head.scores_layer).output for head in heads})


def _from(model: Any, cut: Cut, ends: Any) -> Any:
    """Gives the keras.Model from a cut to tensors of the outer model."""
    import keras

    base = backbone_of(model)
    begin, behind = _behind(model, cut), _call_of(model, base).output_tensors[0]
    values = inputs = keras.Input(begin.shape[1:], name="activation", dtype=begin.dtype)
    if cut.inside:
        # as in build_network: BatchNormalization keeps its statistics
        values, begin = _through(begin, base.outputs[0], values, training=False), behind
    return _functional(inputs, _through(begin, ends, values))


def _through(begin: Any, ends: Any, values: Any, **how: Any) -> Any:
    """Gives what comes of `values` in the place of a graph's tensor `begin`, at its tensors `ends`."""
    return values if begin is ends else _functional(begin, ends)(values, **how)


def _behind(model: Any, cut: Cut) -> Any:
    """Gives the KerasTensor that a cut goes through."""
    if cut.inside:
        return backbone_of(model).get_layer(cut.layer).output
    return _call_of(model, model.get_layer(cut.layer)).output_tensors[0]


def _functional(begin: Any, ends: Any) -> Any:
    import keras

    return keras.Model(begin, ends)


def _trains(layer: Any, batch_normalization: str) -> bool:
    """Says whether fine-tuning would change a layer, were it among those to train."""
    import keras

    frozen = isinstance(layer, keras.layers.BatchNormalization) and batch_normalization != "synchronized"
    return bool(layer.weights) and not frozen


def _call_of(model: Any, layer: Any) -> Any:
    """Gives the one call of a layer in a model: a nested model's own inputs and outputs are others."""
    nodes = [node for nodes in model._nodes_by_depth.values() for node in nodes]  # noqa: SLF001 - no public walk
    return next(node for node in nodes if node.operation is layer)
