"""Where a phase's batches come from, and which part of the model takes them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from models.training.feeding import Batch
from models.training.phase import Phase


class TrainingSource(Protocol):
    """Where training batches come from."""

    steps: int
    batch_size: int

    def batches(self, epoch: int, first: int = 0) -> Iterator[Batch]:
        """Gives the batches of an epoch (from 1), from step `first` (from 0) on."""


class EvaluationSource(Protocol):
    """Where validation batches come from."""

    steps: int
    count: int

    def batches(self) -> Iterator[Batch]:
        """Gives every batch once."""


@dataclass(frozen=True)
class Sources:
    """What one phase trains and validates on.

    Attributes:
        training, validation: where batches come from.
        training_part, validation_part: keras.Model from what those batches hold to what the losses take, a dict by
            label; None where they hold images, which the whole model takes.
        close: lets go of the files that the batches are made of.
    """

    training: TrainingSource
    validation: EvaluationSource | None
    training_part: Any = None
    validation_part: Any = None
    close: Callable[[], None] = lambda: None


#: From a model and the phase that it is trained in.
SourcesOf = Callable[[Any, Phase], Sources]
