"""Several devices under a FaceModel: a model moves onto all of them for a `fit`, and what it has learnt moves back."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hdf5_helper.errors import FacetError
from models.backbones.grouped import group_natively
from models.training.distribution.replicas import Replicas
from models.training.phases import prepare_optimizer


def replicas_on(num_gpus: int) -> Replicas:
    """Gives so many of the machine's GPUs as replicas; 0 and 1 mean the default device.

    Raises:
        FacetError: there are fewer.
    """
    import tensorflow as tf

    there = len(tf.config.list_physical_devices("GPU"))
    if num_gpus > there:
        raise FacetError(f"num_gpus={num_gpus}: this machine has {there}, expected a number up to that")
    names = [f"GPU:{number}" for number in range(num_gpus)]
    return Replicas(tf.distribute.MirroredStrategy(names) if num_gpus > 1 else None)


@contextmanager
def spread_over(replicas: Replicas, model: Any) -> Iterator[Any]:
    """Gives a compiled model, with its optimizer's state, on all replicas; at the end `model` has what that has learnt.

    On one device it is `model` itself.
    """
    import keras

    if replicas.count == 1:
        yield model
        return
    with replicas.scope():
        copy = group_natively(keras.models.clone_model(model))
        optimizer = type(model.optimizer).from_config(model.optimizer.get_config())
        prepare_optimizer(optimizer)
        copy.compile(optimizer=optimizer, jit_compile=False)
        optimizer.build(copy.trainable_variables)
    _give(model, copy)
    try:
        yield copy
    finally:
        _give(copy, model)


def _give(source: Any, target: Any) -> None:
    """Gives weights and optimizer variables of one model to its like."""
    target.set_weights(source.get_weights())
    target.optimizer.build(target.trainable_variables)
    for theirs, ours in zip(source.optimizer.variables, target.optimizer.variables, strict=True):
        ours.assign(theirs.numpy())
