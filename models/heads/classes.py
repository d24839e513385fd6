"""Any class label: a logit a class, their softmax, cross-entropy."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from models.heads.head import Floats, Head


@dataclass(frozen=True)
class ClassHead(Head):
    """One of k classes; where the output says so, an unknown label is the last one."""

    metric_kinds: ClassVar[tuple[str, ...]] = ("accuracy",)

    @property
    def columns(self) -> int:
        """One score a class."""
        return len(self.output.class_names)

    @property
    def classes(self) -> int:
        """As many as there are names."""
        return self.columns

    def known(self, values: NDArray[Any]) -> NDArray[np.bool_]:
        """Says which labels (n,) are known; all of them where unknown is a class."""
        return np.ones(len(values), bool) if self.output.unknown_is_a_class else super().known(values)

    def class_numbers(self, values: NDArray[Any]) -> NDArray[np.int64]:
        """Gives the class of each stored label, int64 (n,); the last one where it is unknown."""
        return np.where(super().known(values), values, self.columns - 1).astype(np.int64)

    def targets(self, values: NDArray[Any]) -> Floats:
        """Gives a 1.0 in the class's column, (n, k)."""
        return np.eye(self.columns, dtype=np.float32)[self.class_numbers(values)]

    def losses(self, scores: Any, targets: Any, smoothing: float = 0.0) -> Any:
        """Gives the cross-entropy (B,); smoothing as in `keras.losses.CategoricalCrossentropy`."""
        import tensorflow as tf

        targets = targets * (1.0 - smoothing) + smoothing / self.columns if smoothing else targets
        return tf.nn.softmax_cross_entropy_with_logits(labels=targets, logits=scores)

    def metrics(self, scores: Any, targets: Any) -> tuple[Any, ...]:
        """Gives 1 or 0 (B,) for right or wrong."""
        import tensorflow as tf

        said, true = self.decisions(scores, targets)
        return (tf.cast(tf.equal(said, true), tf.float32),)

    def decisions(self, scores: Any, targets: Any) -> tuple[Any, Any]:
        """Gives the class of the highest score and the target's, the first of equal ones."""
        import tensorflow as tf

        return tf.argmax(scores, axis=1), tf.argmax(targets, axis=1)


@dataclass(frozen=True)
class OrderedClassHead(ClassHead):
    """Classes in an order, such as age groups: also measured by how many miss by one class at most.

    Source: Eidinger, Enbar and Hassner 2014, "Age and gender estimation of unfiltered faces": exact and one-off.
    """

    metric_kinds = ("accuracy", "one_off")

    def metrics(self, scores: Any, targets: Any) -> tuple[Any, ...]:
        """Gives 1 or 0 (B,) for the right class, and for the right one or its neighbour."""
        import tensorflow as tf

        said, true = self.decisions(scores, targets)
        return *super().metrics(scores, targets), tf.cast(tf.abs(said - true) <= 1, tf.float32)
