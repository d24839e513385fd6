"""Heads: what a label's output looks like, and its loss and metrics from (scores, target, weight) alone."""

from dataclasses import dataclass
from typing import Any

from hdf5_helper.errors import FacetError, did_you_mean
from hdf5_helper.labels import GENDER_NAMES
from models.description import Output


@dataclass(frozen=True)
class Head:
    """How one label is learnt.

    Attributes:
        output: the model's output of the label's name.
        scores_layer: name of the layer whose values (N, 1) the loss takes: logits, or years.
        loss: `bce` (binary cross-entropy on logits), `mae` or `mse` (years).
        metric: `accuracy` or `mae`; the first word after the label in `epochs.csv`.
        loss_weight: factor of this label's loss in the sum of several.
    """

    output: Output
    scores_layer: str
    loss: str
    metric: str
    loss_weight: float = 1.0

    @property
    def label(self) -> str:
        """Name of the label."""
        return self.output.label

    @property
    def metric_name(self) -> str:
        """Name of the main metric, such as `gender_accuracy`."""
        return f"{self.label}_{self.metric}"

    @property
    def loss_name(self) -> str:
        """Name of the loss, such as `gender_loss`."""
        return f"{self.label}_loss"

    def losses(self, scores: Any, targets: Any, smoothing: float = 0.0) -> Any:
        """Gives the loss of each example, float32 (N,), for scores (N, 1) and targets float32 (N,).

        `smoothing` draws the targets of classes that far towards one half, as `keras.losses.BinaryCrossentropy` does.
        """
        import tensorflow as tf

        scores = tf.reshape(scores, [-1])
        if self.loss == "bce":
            targets = targets * (1.0 - smoothing) + 0.5 * smoothing if smoothing else targets
            return tf.nn.sigmoid_cross_entropy_with_logits(labels=targets, logits=scores)
        difference = scores - targets
        return tf.abs(difference) if self.loss == "mae" else tf.square(difference)

    def metrics(self, scores: Any, targets: Any) -> Any:
        """Gives the metric of each example, float32 (N,): 1 or 0 for right or wrong, or the absolute error."""
        import tensorflow as tf

        scores = tf.reshape(scores, [-1])
        if self.metric == "accuracy":
            # P(female) = 0.5 counts as female, as in programs that ask `p < 0.5` for male
            return tf.cast(tf.equal(scores >= 0.0, targets >= 0.5), tf.float32)
        return tf.abs(scores - targets)


#: Age counts 1, gender 10 in a model of both: their losses (years and nats) are then of one size.
_HEADS = {
    "gender": Head(Output("gender", "sigmoid", GENDER_NAMES), "gender_logits", "bce", "accuracy", loss_weight=10.0),
    "age": Head(Output("age", "linear", unit="years"), "age", "mae", "mae"),
}


def heads_for(labels: tuple[str, ...]) -> tuple[Head, ...]:
    """Gives the heads of one model, in the labels' order; a single head has loss weight 1.

    Raises:
        FacetError: a label that this version does not train.
    """
    for label in labels:
        if label not in _HEADS:
            raise FacetError(f"label {label!r}: cannot be trained in this version, {did_you_mean(label, _HEADS)}")
    if len(labels) == 1:
        head = _HEADS[labels[0]]
        return (Head(head.output, head.scores_layer, head.loss, head.metric),)
    return tuple(_HEADS[label] for label in labels)


def main_metric(heads: tuple[Head, ...]) -> str:
    """Gives the column of `epochs.csv` that chooses the best epoch: a label's metric, or the sum of losses."""
    return f"val_{heads[0].metric_name}" if len(heads) == 1 else "val_loss"


def larger_is_better(metric: str) -> bool:
    """Says which way a column of `epochs.csv` improves."""
    return metric.endswith("accuracy")
