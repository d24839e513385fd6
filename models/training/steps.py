"""The two compiled steps: one that trains, one that measures. Each gives (sum, weight) pairs over all replicas."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.heads.head import Head
from models.network import scores_model
from models.training.chance import seed_generators, seeded_by_step, step_seeds, use_seeds
from models.training.confusion import confusion_names, confusion_pairs
from models.training.distribution.replicas import Replicas
from models.training.feeding import Batch
from models.training.precision import computing_in
from models.training.state import Sums
from models.training.stopping import Flags


@dataclass(frozen=True)
class Update:
    """How a batch becomes one update of the weights, beside optimizer and learning rate.

    Attributes:
        seed, phase: choose the dropout of every step.
        clipping: largest global norm of the gradient, 0 for any (Pascanu et al. 2013).
        smoothing: of the targets of classes, in [0, 1) (Szegedy et al. 2016).
        parts: a batch is done in so many, one after the other: less memory for the same update.
        precision: `float32` or `mixed_bfloat16`.
    """

    seed: int = 0
    phase: int = 0
    clipping: float = 0.0
    smoothing: float = 0.0
    parts: int = 1
    precision: str = "float32"


#: Takes a batch, the number of the phase's update and this worker's flags; gives sums and flags over all workers.
TrainingStep = Callable[[Batch, int, Flags], tuple[Sums, Flags]]
EvaluationStep = Callable[[Batch, Flags], tuple[Sums, Flags]]


def training_step(
    model: Any, heads: tuple[Head, ...], replicas: Replicas, update: Update, scores: Any = None
) -> TrainingStep:
    """Gives a function that updates the model's trainable variables by one batch.

    Its sums are those of the batch before the update. The loss of each label is the sum of weighted losses over the
    number of known labels of the whole batch, so an unknown label, or a padded row, adds nothing, and however many
    replicas share the batch, the loss is the same.

    Args:
        model: compiled with its optimizer.
        heads: of the model.
        replicas: the devices.
        update: how a batch becomes an update.
        scores: keras.Model on the model's layers from what batches hold to what the losses take, a dict by label; by
            default they hold images.
    """
    import tensorflow as tf

    scores, generators = scores or scores_model(model, heads), seed_generators(model)
    variables, optimizer = model.trainable_variables, model.optimizer

    def gradients(inputs: Any) -> tuple[Any, Any]:
        use_seeds(inputs["seeds"])
        with tf.GradientTape() as tape:
            outputs = scores(tf.cast(inputs["values"], tf.float32), training=True)
            sums = tf.stack(_pairs(heads, outputs, inputs, update.smoothing))
            loss = _loss(heads, sums, inputs["totals"])
        return tape.gradient(loss, variables), sums

    def replica(inputs: Any) -> Any:
        found, sums = gradients(inputs) if update.parts == 1 else _by_parts(gradients, inputs, update.parts)
        if update.clipping:
            found = _clipped(found, update.clipping, replicas.count)
        optimizer.apply(found, variables)  # adds up the replicas' gradients
        return _reduced(sums, inputs["flags"])

    @tf.function(reduce_retracing=True, autograph=False)
    def step(inputs: Any) -> Any:
        with seeded_by_step(generators), computing_in(update.precision, model, heads):
            return replicas.strategy.run(replica, (inputs,))

    def run(batch: Batch, number: int, flags: Flags) -> tuple[Sums, Flags]:
        first = replicas.worker * replicas.local

        def inputs(part: int) -> dict[str, Any]:
            seeds = step_seeds(len(generators), update.seed, update.phase, number, first + part)
            return _arrays(batch, flags, replicas, part) | {"seeds": seeds}

        return _unpacked(pair_names(heads), replicas.first_of(step(replicas.spread(inputs))))

    return run


def evaluation_step(model: Any, heads: tuple[Head, ...], replicas: Replicas, scores: Any = None) -> EvaluationStep:
    """Gives a function that measures one batch in inference mode and in float32, without class weights.

    Its sums are those of a training step and, of labels with classes, the shares of their confusion matrix; `scores` is
    as there.
    """
    import tensorflow as tf

    scores = scores or scores_model(model, heads)

    def replica(inputs: Any) -> Any:
        outputs = scores(tf.cast(inputs["values"], tf.float32), training=False)
        pairs = tf.stack(_pairs(heads, outputs, inputs, 0.0)), confusion_pairs(heads, outputs, inputs)
        return _reduced(tf.concat(pairs, axis=0), inputs["flags"])

    @tf.function(reduce_retracing=True, autograph=False)
    def step(inputs: Any) -> Any:
        return replicas.strategy.run(replica, (inputs,))

    def run(batch: Batch, flags: Flags) -> tuple[Sums, Flags]:
        inputs = replicas.spread(lambda part: _arrays(batch, flags, replicas, part))
        return _unpacked(pair_names(heads) + confusion_names(heads), replicas.first_of(step(inputs)))

    return run


def pair_names(heads: tuple[Head, ...]) -> list[str]:
    """Names the (sum, weight) pairs of a step: each head's loss, then its metrics."""
    return [name for head in heads for name in (head.loss_name, *head.metric_names)]


def figures(heads: tuple[Head, ...], sums: Sums) -> dict[str, float]:
    """Gives the columns of `epochs.csv` from summed (sum, weight) pairs.

    Returns:
        `loss` (of several labels the weighted sum of their mean losses), for several labels also each `LABEL_loss`, and
        each label's metric; NaN for a label that was never known, which adds nothing to `loss`.
    """
    pairs = {name: sums[name] for name in pair_names(heads) if name in sums}
    means = {name: value / weight if weight else math.nan for name, (value, weight) in pairs.items()}
    loss = sum(head.loss_weight * means[head.loss_name] for head in heads if sums[head.loss_name][1])
    if len(heads) == 1:
        del means[heads[0].loss_name]
    return {"loss": loss, **means}


def _arrays(batch: Batch, flags: Flags, replicas: Replicas, part: int) -> dict[str, Any]:
    """Gives what the step takes on one of this worker's replicas; flags count once a worker."""
    rows = {"targets": batch.targets, "weights": batch.weights, "counted": batch.counted}
    shares = {name: {k: replicas.share(v, part) for k, v in values.items()} for name, values in rows.items()}
    totals = {label: np.float32(count) for label, count in batch.totals.items()}
    mine = flags.numbers() if part == 0 else Flags().numbers()
    return {"values": replicas.share(batch.inputs, part), **shares, "totals": totals, "flags": mine}


def _pairs(heads: tuple[Head, ...], outputs: Any, inputs: Any, smoothing: float) -> list[Any]:
    """Gives a tensor [sum, weight] of one replica's batch for each of `pair_names`."""
    import tensorflow as tf

    pairs = []
    for head in heads:
        scores, target = tf.cast(outputs[head.label], tf.float32), inputs["targets"][head.label]
        counted = inputs["counted"][head.label]
        count = tf.reduce_sum(counted)
        loss = tf.reduce_sum(head.losses(scores, target, smoothing) * inputs["weights"][head.label])
        metrics = [tf.reduce_sum(metric * counted) for metric in head.metrics(scores, target)]
        pairs += [tf.stack([value, count]) for value in (loss, *metrics)]
    return pairs


def _loss(heads: tuple[Head, ...], sums: Any, totals: Any) -> Any:
    """Gives this replica's part of the loss to be minimised: as in `figures`, of one batch, as a tensor."""
    import tensorflow as tf

    place, losses = {name: place for place, name in enumerate(pair_names(heads))}, []
    for head in heads:
        mean = tf.math.divide_no_nan(sums[place[head.loss_name], 0], totals[head.label])
        losses.append(head.loss_weight * mean)
    return sum(losses)


def _by_parts(gradients: Callable[[Any], tuple[Any, Any]], inputs: Any, parts: int) -> tuple[Any, Any]:
    """Gives gradients and sums of a batch that is done in parts, one after the other, each with seeds of its own."""
    import tensorflow as tf

    rows = {name: inputs[name] for name in ("values", "targets", "weights", "counted")}
    stacked = tf.nest.map_structure(lambda v: tf.reshape(v, [parts, -1, *v.shape[1:]]), rows)

    def one(part: Any) -> tuple[Any, Any]:
        taken = tf.nest.map_structure(lambda values: values[part], stacked)
        seeds = tf.bitwise.bitwise_and(inputs["seeds"] + tf.stack([0, part * 65536]), 0x7FFFFFFF)
        return gradients(inputs | taken | {"seeds": seeds})

    def more(part: Any, so_far: Any) -> tuple[Any, Any]:
        return part + 1, tf.nest.map_structure(tf.add, so_far, one(part))

    # not unrolled: the next part begins only when the memory of the one before it is free again
    return tf.while_loop(lambda part, _: part < parts, more, (1, one(0)), parallel_iterations=1)[1]  # type: ignore[no-any-return]


def _clipped(gradients: Any, norm: float, replicas: int) -> Any:
    """Gives each replica its share of the whole gradient, shortened to a norm: the optimizer adds the shares up."""
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    clipped, _ = tf.clip_by_global_norm(context.all_reduce(tf.distribute.ReduceOp.SUM, gradients), norm)
    return [gradient / replicas for gradient in clipped]


def _reduced(sums: Any, flags: Any) -> Any:
    """Adds up sums and flags over all replicas, as one vector."""
    import tensorflow as tf

    vector = tf.concat([tf.reshape(sums, [-1]), flags], axis=0)
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, vector)


def _unpacked(names: list[str], vector: Any) -> tuple[Sums, Flags]:
    pairs = vector[: 2 * len(names)].astype(float).reshape(-1, 2).tolist()
    return dict(zip(names, pairs, strict=True)), Flags.of(vector[2 * len(names) :])
