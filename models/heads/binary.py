"""Gender as one probability: a logit, its sigmoid, binary cross-entropy."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.heads.head import Floats, Head


@dataclass(frozen=True)
class BinaryHead(Head):
    """Two classes as P(the second one)."""

    metric_kinds = ("accuracy",)

    @property
    def classes(self) -> int:
        """Two."""
        return 2

    def targets(self, values: NDArray[Any]) -> Floats:
        """Gives 0.0 or 1.0 (n,)."""
        return np.where(self.known(values), values, 0).astype(np.float32)

    def losses(self, scores: Any, targets: Any, smoothing: float = 0.0) -> Any:
        """Gives the cross-entropy (B,); smoothing as in `keras.losses.BinaryCrossentropy`."""
        import tensorflow as tf

        targets = targets * (1.0 - smoothing) + 0.5 * smoothing if smoothing else targets
        return tf.nn.sigmoid_cross_entropy_with_logits(labels=targets, logits=tf.reshape(scores, [-1]))

    def metrics(self, scores: Any, targets: Any) -> tuple[Any, ...]:
        """Gives 1 or 0 (B,) for right or wrong."""
        import tensorflow as tf

        said, true = self.decisions(scores, targets)
        return (tf.cast(tf.equal(said, true), tf.float32),)

    def decisions(self, scores: Any, targets: Any) -> tuple[Any, Any]:
        """Gives both classes; P = 0.5 counts as the second one, as in programs that ask `p < 0.5` for the first."""
        import tensorflow as tf

        return tf.cast(tf.reshape(scores, [-1]) >= 0.0, tf.int64), tf.cast(targets >= 0.5, tf.int64)
