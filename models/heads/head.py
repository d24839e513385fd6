"""A head: what a label's output looks like, and its loss and metrics from (scores, targets) alone."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from hdf5_helper.labels import known
from models.description import Output

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Head:
    """How one label is learnt; a subclass says how.

    Scores are what the loss takes: logits, years, or values around 0. Targets are float32 (B,), or (B, k) where the
    label is k values an example; losses, metrics and `known` have a number for each example (B,), or for each of an
    example's attributes (B, A). Targets may be mixtures of two examples' (Zhang et al. 2018, "mixup").

    Attributes:
        output: the model's output of the label's name.
        form: name of this kind of head among those of its label, see `models.heads.choosing.FORMS`.
        scores_layer: name of the layer whose values (N, columns) the loss takes.
        loss_weight: factor of this label's loss in the sum of several.
        metric_kinds: what is measured in every epoch, the main one first.
    """

    output: Output
    form: str
    scores_layer: str
    loss_weight: float = 1.0

    metric_kinds: ClassVar[tuple[str, ...]] = ()

    @property
    def label(self) -> str:
        """Name of the label."""
        return self.output.label

    @property
    def metric_names(self) -> tuple[str, ...]:
        """Names of the metrics in `epochs.csv`, the main one first, such as `gender_accuracy`."""
        return tuple(f"{self.label}_{kind}" for kind in self.metric_kinds)

    @property
    def loss_name(self) -> str:
        """Name of the loss, such as `gender_loss`."""
        return f"{self.label}_loss"

    @property
    def columns(self) -> int:
        """Scores of an example."""
        return 1

    @property
    def classes(self) -> int:
        """Classes of which `decisions` gives one an example; 0 where the label has none."""
        return 0

    @property
    def exact_layers(self) -> tuple[str, ...]:
        """Names of the layers from the scores on, which compute in float32 whatever the rest does."""
        return self.scores_layer, self.label

    def known(self, values: NDArray[Any]) -> NDArray[np.bool_]:
        """Says which of the stored labels (n, …) teach something: bool (n,), or (n, A)."""
        return known(self.label, values)

    def targets(self, values: NDArray[Any]) -> Floats:
        """Gives the targets of stored labels (n, …): float32 (n,) or (n, k), finite also where the label is unknown."""
        raise NotImplementedError

    def losses(self, scores: Any, targets: Any, smoothing: float = 0.0) -> Any:
        """Gives the losses of scores float32 (B, columns); `smoothing` draws classes that far towards all alike."""
        raise NotImplementedError

    def metrics(self, scores: Any, targets: Any) -> tuple[Any, ...]:
        """Gives the metrics in the order of `metric_kinds`, float32 each."""
        raise NotImplementedError

    def decisions(self, scores: Any, targets: Any) -> tuple[Any, Any]:
        """Gives the class that the scores say and the one of the targets, int64 (B,) each; of labels with classes."""
        raise NotImplementedError

    def answer(self, scores: Any) -> Any:
        """Puts the layers from the scores to the model's output, which is named after the label; gives its tensor."""
        import keras

        return keras.layers.Activation(self.output.activation, name=self.label)(scores)

    def first_bias(self, values: NDArray[Any]) -> Floats | None:
        """Gives the first bias of the scores (columns,) for known stored labels to learn; None for the layer's own."""
        del values
        return None
