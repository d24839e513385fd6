"""Many yes-or-no attributes at once, each unknown by itself where nobody has said."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.heads.head import Floats, Head


@dataclass(frozen=True)
class AttributesHead(Head):
    """A score an attribute: `bce` takes it for a logit, `mse` for a value between -1 (no) and 1 (yes)."""

    metric_kinds = ("accuracy",)

    @property
    def columns(self) -> int:
        """One score an attribute."""
        return len(self.output.class_names)

    def known(self, values: NDArray[Any]) -> NDArray[np.bool_]:
        """Says which attributes (n, A) are known."""
        return np.asarray(values != 0)

    def targets(self, values: NDArray[Any]) -> Floats:
        """Gives (n, A): -1 or 1 for `mse`, 0 or 1 for `bce`."""
        return values.astype(np.float32) if self.form == "mse" else (values > 0).astype(np.float32)

    def losses(self, scores: Any, targets: Any, smoothing: float = 0.0) -> Any:
        """Gives the loss of each attribute (B, A)."""
        import tensorflow as tf

        middle = 0.0 if self.form == "mse" else 0.5
        targets = targets * (1.0 - smoothing) + middle * smoothing if smoothing else targets
        if self.form == "mse":
            return tf.square(scores - targets)
        return tf.nn.sigmoid_cross_entropy_with_logits(labels=targets, logits=scores)

    def metrics(self, scores: Any, targets: Any) -> tuple[Any, ...]:
        """Gives 1 or 0 (B, A) for right or wrong."""
        import tensorflow as tf

        yes = targets > 0.0 if self.form == "mse" else targets >= 0.5
        said = scores >= 0.0
        return (tf.cast(tf.equal(said, yes), tf.float32),)

    def answer(self, scores: Any) -> Any:
        """Gives the scores themselves, or their sigmoids."""
        return scores if self.form == "mse" else super().answer(scores)
