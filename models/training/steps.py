"""The two compiled steps: one that trains, one that measures. Each gives (sum, weight) pairs and nothing else."""

from collections.abc import Callable
from typing import Any

from hdf5_helper.hashing import hash_integer
from models.heads import Head
from models.network import backbone_of, scores_model
from models.training.feeding import Batch

Totals = dict[str, tuple[float, float]]


def training_step(model: Any, heads: tuple[Head, ...]) -> Callable[[Batch], Totals]:
    """Gives a function that updates the model's trainable variables by one batch.

    Its totals are those of the batch before the update. The loss of each label is the sum of weighted losses over
    the number of known labels, so an unknown label, or a padded row, adds nothing.
    """
    import tensorflow as tf

    scores = scores_model(model, heads)
    variables, optimizer = model.trainable_variables, model.optimizer

    @tf.function(reduce_retracing=True)
    def step(images: Any, targets: Any, weights: Any, counted: Any) -> Any:
        with tf.GradientTape() as tape:
            outputs = scores(tf.cast(images, tf.float32), training=True)
            totals = _totals(heads, outputs, targets, weights, counted)
            loss = totals["loss"][0]
        gradients = tape.gradient(loss, variables)
        optimizer.apply(gradients, variables)
        return totals

    return lambda batch: _numbers(step(batch.images, batch.targets, batch.weights, batch.counted))


def evaluation_step(model: Any, heads: tuple[Head, ...]) -> Callable[[Batch], Totals]:
    """Gives a function that measures one batch in inference mode, without class weights."""
    import tensorflow as tf

    scores = scores_model(model, heads)

    @tf.function(reduce_retracing=True)
    def step(images: Any, targets: Any, counted: Any) -> Any:
        outputs = scores(tf.cast(images, tf.float32), training=False)
        return _totals(heads, outputs, targets, counted, counted)

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


def _totals(heads: tuple[Head, ...], outputs: Any, targets: Any, weights: Any, counted: Any) -> Any:
    import tensorflow as tf

    totals, loss, rows = {}, 0.0, 0.0
    for head in heads:
        scores, target, count = outputs[head.label], targets[head.label], tf.reduce_sum(counted[head.label])
        total = tf.reduce_sum(head.losses(scores, target) * weights[head.label])
        correct = tf.reduce_sum(head.metrics(scores, target) * counted[head.label])
        totals[head.metric_name] = tf.stack([correct, count])
        if len(heads) > 1:
            totals[f"{head.label}_loss"] = tf.stack([total, count])
        loss += head.loss_weight * tf.math.divide_no_nan(total, count)
        rows = tf.maximum(rows, count)
    return totals | {"loss": tf.stack([loss, rows])}


def _numbers(totals: Any) -> Totals:
    """Turns the step's tensors into numbers; the loss, a mean, is weighted by its rows to be summed up later."""
    pairs = {name: (float(pair[0]), float(pair[1])) for name, pair in ((n, t.numpy()) for n, t in totals.items())}
    mean, rows = pairs["loss"]
    return pairs | {"loss": (mean * rows, rows)}
