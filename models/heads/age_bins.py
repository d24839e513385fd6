"""Age as the expected value over bins of one year each.

Rothe, Timofte and Van Gool 2015, "DEX": a softmax over the ages 0 to 100 and its expectation. Gao et al. 2018, "Age
estimation using expectation of label distribution learning": learnt as a distribution around the true age, together
with the error of the expectation.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.heads.head import Floats, Head

#: Middle of each bin in years.
CENTRES = np.arange(101, dtype=np.float32)

#: Standard deviation of the distribution around a true age, in years (Gao et al. 2017, "Deep label distribution").
_SPREAD = 2.0


@dataclass(frozen=True)
class AgeBinsHead(Head):
    """Logits of 101 bins; the model's output is the expected age, from a fixed layer that holds the bins' centres."""

    metric_kinds = ("mae",)

    @property
    def columns(self) -> int:
        """One score a bin."""
        return len(CENTRES)

    @property
    def exact_layers(self) -> tuple[str, ...]:
        """Logits, probabilities and years."""
        return self.scores_layer, self._probabilities, self.label

    @property
    def _probabilities(self) -> str:
        return f"{self.label}_probabilities"

    def targets(self, values: NDArray[Any]) -> Floats:
        """Gives years (n,)."""
        return np.where(self.known(values), values, 0).astype(np.float32)

    def losses(self, scores: Any, targets: Any, smoothing: float = 0.0) -> Any:
        """Gives the cross-entropy with the distribution around the true age plus the error in years, (B,)."""
        import tensorflow as tf

        distances = (targets[:, None] - CENTRES) / _SPREAD
        wanted = tf.nn.softmax(-0.5 * tf.square(distances))
        wanted = wanted * (1.0 - smoothing) + smoothing / self.columns if smoothing else wanted
        return tf.nn.softmax_cross_entropy_with_logits(labels=wanted, logits=scores) + self.metrics(scores, targets)[0]

    def metrics(self, scores: Any, targets: Any) -> tuple[Any, ...]:
        """Gives the absolute error of the expected age (B,) in years."""
        import tensorflow as tf

        return (tf.abs(tf.reduce_sum(tf.nn.softmax(scores) * CENTRES, axis=1) - targets),)

    def answer(self, scores: Any) -> Any:
        """Puts softmax and expectation on the logits; gives years (N, 1)."""
        import keras

        shares = keras.layers.Activation("softmax", name=self._probabilities)(scores)
        expected = keras.layers.Dense(1, use_bias=False, trainable=False, name=self.label)
        years = expected(shares)
        expected.set_weights([CENTRES[:, None]])
        return years

    def first_bias(self, values: NDArray[Any]) -> Floats | None:
        """Gives the logits of the ages to learn, spread as the targets are: the first answer is near their mean."""
        ages, counts = np.unique(np.asarray(values, np.float64), return_counts=True)
        shares = np.exp(-0.5 * ((ages[:, None] - CENTRES) / _SPREAD) ** 2) * counts[:, None]
        return np.asarray(np.log(shares.sum(axis=0) / len(values) + 1e-4), np.float32)
