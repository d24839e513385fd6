"""How the two phases begin: what each trains, with which optimizer."""

from typing import Any

from hdf5_helper.errors import FacetError, did_you_mean
from models.backbones.stages import stages_of
from models.network import backbone_of
from models.training.phase import Phase
from models.training.settings import Settings


def phases_of(settings: Settings) -> tuple[Phase, ...]:
    """Gives the phases of a run, in order, without empty ones."""
    return tuple(phase for phase in (settings.warm_up, settings.fine_tuning) if phase.epochs)


def begin(model: Any, phase: Phase, batch_normalization: str = "frozen") -> list[str]:
    """Freezes and unfreezes for a phase, and gives the model a new optimizer.

    Args:
        model: as `models.network.build_network` or a checkpoint gives it.
        phase: what to train, and how.
        batch_normalization: `frozen`, or `synchronized`, see `set_trainable`.

    Returns:
        Names of the backbone layers that now train and have weights, from below; empty in warm-up.
    """
    trained = set_trainable(backbone_of(model), phase.trainable_layers, batch_normalization)
    model.compile(optimizer=make_optimizer(phase), jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    return trained


def make_optimizer(phase: Phase) -> Any:
    """Gives a new Keras optimizer with the phase's learning rate and weight decay."""
    import keras

    classes = {
        "adam": keras.optimizers.Adam,
        "adamax": keras.optimizers.Adamax,
        "rmsprop": keras.optimizers.RMSprop,
        "sgd": keras.optimizers.SGD,
    }
    optimizer = classes[phase.optimizer](learning_rate=phase.learning_rate, weight_decay=phase.weight_decay or None)
    prepare_optimizer(optimizer)
    return optimizer


def prepare_optimizer(optimizer: Any) -> None:
    """Keeps biases, gammas and betas from decaying, also in a loaded optimizer: Keras saves its decay, but not this.

    To be called before the optimizer's first step in this process.
    """
    # Keras asks by the name of TensorFlow's variable on the first replica, such as conv/bias:0.
    optimizer.exclude_from_weight_decay(var_names=[r"\b(bias|beta|gamma):"])


def set_trainable(base: Any, trainable_layers: str, batch_normalization: str = "frozen") -> list[str]:
    """Freezes a backbone below its top layers.

    BatchNormalization stays frozen everywhere, since small batches would spoil its moving statistics. `synchronized`
    trains it above the first trained layer, with means and variances over all replicas.

    Args:
        base: the backbone.
        trainable_layers: a number of layers from the top (all kinds count, pooling too), the lowest layer or stage to
            train, or `all`.
        batch_normalization: `frozen` or `synchronized`.

    Returns:
        Names of the layers that train and have weights, from below.
    """
    import keras

    first = first_trained(base, trainable_layers)
    base.trainable = True
    for place, layer in enumerate(base.layers):
        layer.trainable = place >= first
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = layer.trainable = place >= first and batch_normalization == "synchronized"
    if first >= len(base.layers):
        base.trainable = False
    return [layer.name for layer in base.layers if layer.trainable_variables]


def first_trained(base: Any, trainable_layers: str) -> int:
    """Gives the place in `base.layers` of the lowest layer to train, `len(base.layers)` where none is; see above."""
    count = len(base.layers)
    if trainable_layers == "all":
        return 0
    if trainable_layers.isdecimal():
        return max(0, count - int(trainable_layers))
    names, stages = [layer.name for layer in base.layers], stages_of(base)
    lowest = trainable_layers if trainable_layers in names else stages.get(trainable_layers)
    if lowest is None:
        raise FacetError(_unknown(trainable_layers, names, list(stages)))
    return names.index(lowest)


def _unknown(trainable_layers: str, names: list[str], stages: list[str]) -> str:
    nearest = did_you_mean(trainable_layers, [*names, *stages]).partition(" (")[2]
    staged = f" or stages ({', '.join(stages)})" if stages else ""
    return (
        f"trainable_layers {trainable_layers!r}: expected a number of layers from the top, all, or the name of one"
        f" of the backbone's {len(names)} layers{staged}" + (f" ({nearest}" if nearest else "")
    )
