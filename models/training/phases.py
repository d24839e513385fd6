"""The two phases: what each trains, with which optimizer."""

from dataclasses import dataclass
from typing import Any

from hdf5_helper.errors import FacetError, did_you_mean
from models.network import backbone_of
from models.training.settings import Settings

WARM_UP, FINE_TUNING = "warm_up", "fine_tuning"


@dataclass(frozen=True)
class Phase:
    """One phase of a training.

    Attributes:
        name: `warm_up` or `fine_tuning`.
        epochs: how many in all; 0 leaves the phase out.
        learning_rate: of its optimizer, above 0.
        optimizer: name.
        trainable_layers: backbone layers to train: a number counted from the top, a layer's name, or `all`.
    """

    name: str
    epochs: int
    learning_rate: float
    optimizer: str
    trainable_layers: str = "0"


def phases_of(settings: Settings) -> tuple[Phase, ...]:
    """Gives the phases of a run, in order, without empty ones."""
    warm_up = Phase(WARM_UP, settings.warm_up_epochs, settings.warm_up_learning_rate, settings.optimizer)
    fine_tuning = Phase(
        FINE_TUNING,
        settings.fine_tuning_epochs,
        settings.fine_tuning_learning_rate,
        settings.optimizer,
        settings.trainable_layers,
    )
    return tuple(phase for phase in (warm_up, fine_tuning) if phase.epochs)


def begin(model: Any, phase: Phase) -> list[str]:
    """Freezes and unfreezes for a phase, and gives the model a new optimizer.

    Returns:
        Names of the backbone layers that now train and have weights, from below; empty in warm-up.
    """
    trained = set_trainable(backbone_of(model), phase.trainable_layers)
    model.compile(optimizer=make_optimizer(phase), jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    return trained


def make_optimizer(phase: Phase) -> Any:
    """Gives a new Keras optimizer."""
    import keras

    classes = {
        "adam": keras.optimizers.Adam,
        "adamax": keras.optimizers.Adamax,
        "rmsprop": keras.optimizers.RMSprop,
        "sgd": keras.optimizers.SGD,
    }
    return classes[phase.optimizer](learning_rate=phase.learning_rate)


def set_trainable(base: Any, trainable_layers: str) -> list[str]:
    """Freezes a backbone below its top layers.

    BatchNormalization stays frozen everywhere: small batches would spoil its moving statistics.

    Args:
        base: the backbone.
        trainable_layers: a number of layers from the top (all kinds count, pooling too), the name of the lowest
            layer to train, or `all`.

    Returns:
        Names of the layers that train and have weights, from below.
    """
    import keras

    first = _first_trained(base, trainable_layers)
    base.trainable = True
    for place, layer in enumerate(base.layers):
        layer.trainable = place >= first and not isinstance(layer, keras.layers.BatchNormalization)
    if first >= len(base.layers):
        base.trainable = False
    return [layer.name for layer in base.layers if layer.trainable_variables]


def _first_trained(base: Any, trainable_layers: str) -> int:
    count = len(base.layers)
    if trainable_layers == "all":
        return 0
    if trainable_layers.isdecimal():
        return max(0, count - int(trainable_layers))
    names = [layer.name for layer in base.layers]
    if trainable_layers not in names:
        nearest = did_you_mean(trainable_layers, names).partition("(")[2]
        raise FacetError(
            f"trainable_layers {trainable_layers!r}: expected a number of layers from the top, all, or the name of one"
            f" of the backbone's {count} layers" + (f" ({nearest}" if nearest else "")
        )
    return names.index(trainable_layers)
