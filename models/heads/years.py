"""Age as a number of years, learnt by its error."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.heads.head import Floats, Head

#: Years from which on `huber` counts an error linearly (Huber 1964): about the error of a trained model.
_HUBER = 5.0


@dataclass(frozen=True)
class YearsHead(Head):
    """Years from a linear layer; the form is the loss: `mae`, `mse` or `huber`."""

    metric_kinds = ("mae",)

    def targets(self, values: NDArray[Any]) -> Floats:
        """Gives years (n,)."""
        return np.where(self.known(values), values, 0).astype(np.float32)

    def losses(self, scores: Any, targets: Any, smoothing: float = 0.0) -> Any:
        """Gives the loss (B,) in years, or their square; there are no classes to smooth."""
        import tensorflow as tf

        del smoothing
        errors = tf.reshape(scores, [-1]) - targets
        if self.form == "mae":
            return tf.abs(errors)
        if self.form == "mse":
            return tf.square(errors)
        linear = tf.minimum(tf.abs(errors), _HUBER)
        return 0.5 * tf.square(linear) + _HUBER * (tf.abs(errors) - linear)

    def metrics(self, scores: Any, targets: Any) -> tuple[Any, ...]:
        """Gives the absolute error (B,) in years."""
        import tensorflow as tf

        return (tf.abs(tf.reshape(scores, [-1]) - targets),)

    def answer(self, scores: Any) -> Any:
        """Gives the scores: they are the years."""
        return scores

    def first_bias(self, values: NDArray[Any]) -> Floats | None:
        """Gives the mean age, so that the first steps do not go into finding it."""
        return np.array([values.mean(dtype=np.float64)], np.float32)
