"""What an architecture wants of a weights file: the arrays of its layers, known before any memory is taken for them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hdf5_helper.errors import FacetError
from models.backbones.arguments import check_arguments
from models.backbones.building import without_preprocessing
from models.backbones.registry import Backbone

#: Layers of networks whose order says all: with the same kernels, every framework computes the same.
_PLAIN = {"InputLayer", "Conv2D", "MaxPooling2D", "Flatten", "Dense"}


@dataclass(frozen=True)
class Target:
    """One array of a Keras layer.

    Attributes:
        layer: name of the layer.
        kind: its class, such as `Conv2D`.
        role: of the array, as Keras calls it: `kernel`, `bias`, `gamma`, `moving_mean`, …
        shape: in Keras's order, such as (height, width, in, out) or (in, out).
        feature_map: (height, width, channels) that a dense kernel sees flattened; empty elsewhere.
    """

    layer: str
    kind: str
    role: str
    shape: tuple[int, ...]
    feature_map: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """Gives `LAYER.ROLE`, as in a weights file."""
        return f"{self.layer}.{self.role}"


def abstract_network(backbone: Backbone, arguments: dict[str, Any]) -> Any:
    """Gives the keras.Model of an architecture at its own image size, whose variables have shapes and no values.

    Raises:
        FacetError: arguments that it does not take.
    """
    import keras

    try:
        check_arguments(backbone, arguments)
        with keras.StatelessScope(initialize_variables=False):
            return without_preprocessing(backbone.build(None, (backbone.size, backbone.size), arguments))
    except (TypeError, ValueError, OverflowError) as error:
        raise FacetError(f"--set: {backbone.name} with {arguments}: {error}") from None


def targets_of(model: Any) -> list[Target]:
    """Gives the arrays of a model's layers, nested ones too, from below."""
    return [
        Target(layer.name, type(layer).__name__, role, tuple(variable.shape), _feature_map(layer, role))
        for layer in layers_with_variables(model)
        for variable, role in own_variables(layer)
    ]


def layers_with_variables(model: Any) -> Iterator[Any]:
    """Gives the layers that have variables of their own, from below."""
    for layer in model._flatten_layers(include_self=False):  # noqa: SLF001 - Keras has no public walk through nested models
        if any(own_variables(layer)):
            yield layer


def own_variables(layer: Any) -> list[tuple[Any, str]]:
    """Gives (variable, role) of a layer, in the order in which `save_own_variables` numbers them."""
    own = layer._trainable_variables + layer._non_trainable_variables  # noqa: SLF001 - `weights` has those of nested ones too
    return [(variable, variable.path.rpartition("/")[2]) for variable in own]


def is_plain_chain(model: Any) -> bool:
    """Tells whether a network is a chain of convolutions, poolings and dense layers, such as VGG.

    Then the order of its layers says which is which, and no epsilon or padding of strides differs by framework.
    """
    kinds = {type(layer).__name__ for layer in model.layers}
    strides = {layer.strides for layer in model.layers if type(layer).__name__ == "Conv2D"}
    return len(model.operations) == len(model.layers) and kinds <= _PLAIN and strides == {(1, 1)}


def _feature_map(layer: Any, role: str) -> tuple[int, ...]:
    """Gives what is flattened just below a dense layer."""
    import keras

    if role != "kernel" or not isinstance(layer, keras.layers.Dense):
        return ()
    below = layer.input._keras_history.operation  # noqa: SLF001 - Keras has no public way from a tensor to its layer
    return tuple(below.input.shape[1:]) if isinstance(below, keras.layers.Flatten) else ()
