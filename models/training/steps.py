"""The two compiled steps: one that trains, one that measures. Each gives (sum, weight) pairs and nothing else."""

import math
from collections.abc import Callable
from typing import Any

from hdf5_helper.hashing import hash_integer
from models.heads import Head
from models.network import backbone_of, scores_model
from models.training.feeding import Batch
from models.training.state import Sums


def training_step(model: Any, heads: tuple[Head, ...]) -> Callable[[Batch], Sums]:
    """Gives a function that updates the model's trainable variables by one batch.

    Its sums are those of the batch before the update. The loss of each label is the sum of weighted losses over
    the number of known labels, so an unknown label, or a padded row, adds nothing.
    """
    import tensorflow as tf

    scores = scores_model(model, heads)
    variables, optimizer = model.trainable_variables, model.optimizer

    @tf.function(reduce_retracing=True)
    def step(images: Any, targets: Any, weights: Any, counted: Any) -> Any:
        with tf.GradientTape() as tape:
            outputs = scores(tf.cast(images, tf.float32), training=True)
            sums = _sums(heads, outputs, targets, weights, counted)
            loss = _loss(heads, sums)
        optimizer.apply(tape.gradient(loss, variables), variables)
        return sums

    return lambda batch: _numbers(step(batch.images, batch.targets, batch.weights, batch.counted))


def evaluation_step(model: Any, heads: tuple[Head, ...]) -> Callable[[Batch], Sums]:
    """Gives a function that measures one batch in inference mode, without class weights."""
    import tensorflow as tf

    scores = scores_model(model, heads)

    @tf.function(reduce_retracing=True)
    def step(images: Any, targets: Any, counted: Any) -> Any:
        outputs = scores(tf.cast(images, tf.float32), training=False)
        return _sums(heads, outputs, targets, counted, counted)

    return lambda batch: _numbers(step(batch.images, batch.targets, batch.counted))


def dropout_seeder(model: Any, seed: int) -> Callable[[int, int], None]:
    """Gives a function that sets every dropout's seed for (phase, step), so that no random state needs saving."""
    import keras

    layers = [
        layer
        for layer in (*backbone_of(model).layers, *model.layers)
        if isinstance(layer, keras.layers.Dropout) and layer.rate > 0
    ]

    def assign(phase: int, step: int) -> None:
        for place, layer in enumerate(layers):
            bits = hash_integer(seed, phase, step, place, 0)
            layer.seed_generator.state.assign([bits >> 33, bits & 0x7FFFFFFF])

    return assign


def figures(heads: tuple[Head, ...], sums: Sums) -> dict[str, float]:
    """Gives the columns of `epochs.csv` from summed (sum, weight) pairs.

    Returns:
        `loss` (of several labels the weighted sum of their mean losses), for several labels also each `LABEL_loss`, and
        each label's metric; NaN for a label that was never known, which adds nothing to `loss`.
    """
    means = {name: value / weight if weight else math.nan for name, (value, weight) in sums.items()}
    loss = sum(head.loss_weight * means[head.loss_name] for head in heads if sums[head.loss_name][1])
    if len(heads) == 1:
        del means[heads[0].loss_name]
    return {"loss": loss, **means}


def _sums(heads: tuple[Head, ...], outputs: Any, targets: Any, weights: Any, counted: Any) -> Any:
    """Gives, by column, a tensor [sum, weight] of one batch."""
    import tensorflow as tf

    sums = {}
    for head in heads:
        scores, target, count = outputs[head.label], targets[head.label], tf.reduce_sum(counted[head.label])
        sums[head.loss_name] = tf.stack([tf.reduce_sum(head.losses(scores, target) * weights[head.label]), count])
        metric = tf.reduce_sum(head.metrics(scores, target) * counted[head.label])
        sums[head.metric_name] = tf.stack([metric, count])
    return sums


def _loss(heads: tuple[Head, ...], sums: Any) -> Any:
    """Gives the loss to be minimised: as in `figures`, of one batch, as a tensor."""
    import tensorflow as tf

    return sum(head.loss_weight * tf.math.divide_no_nan(*tf.unstack(sums[head.loss_name])) for head in heads)


def _numbers(sums: Any) -> Sums:
    return {name: [float(number) for number in pair.numpy()] for name, pair in sums.items()}
