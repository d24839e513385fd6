"""The training loop: steps, validation, checkpoints. All that decides the result is in its arguments and its state."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from hdf5_helper.errors import FacetError
from hdf5_helper.progress import Progress, Say, Silent, no_words
from models.heads import Head
from models.training.feeding import Batch
from models.training.history import column_place
from models.training.keeper import CheckpointKeeper
from models.training.pace import Pace
from models.training.phases import FINE_TUNING, Phase
from models.training.state import Row, Sums, TrainingState, add
from models.training.steps import dropout_seeder, evaluation_step, figures, training_step
from models.training.stopping import StopFlag, Stopped

#: Columns of a row that are no loss or metric.
_NOT_FIGURES = ("phase", "epoch", "step", "learning_rate", "seconds", "images_per_second")

#: Epochs of fine-tuning are numbered from here for order and mirroring, so that it does not repeat those of warm-up.
_FINE_TUNING_EPOCHS = 1 << 20


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


@dataclass
class Trainer:
    """Trains one model through phases.

    Attributes:
        heads: of the model, in order.
        training, validation: where batches come from; without validation the training figures choose the best.
        keeper: writes checkpoints, `epochs.csv` and pointers.
        seed: of dropout.
        stop: tells when the user or the scheduler wants an end.
        say, progress: what the user sees.
        start_from: warm-up epoch that fine-tuning starts from, `best` or `last`.
    """

    heads: tuple[Head, ...]
    training: TrainingSource
    validation: EvaluationSource | None
    keeper: CheckpointKeeper
    seed: int = 0
    stop: StopFlag = field(default_factory=StopFlag)
    say: Say = no_words
    progress: Progress = field(default_factory=Silent)
    start_from: str = "best"

    def run_phase(self, model: Any, phase: Phase, state: TrainingState) -> None:
        """Trains from `state` to the end of `phase`; the model is compiled with the phase's optimizer.

        Raises:
            FacetError: a loss is not finite.
            Stopped: a stop was asked for, and a checkpoint holds the place.
        """
        train, measure, pace = training_step(model, self.heads), evaluation_step(model, self.heads), Pace()
        seed_dropout, fine_tuning = dropout_seeder(model, self.seed), phase.name == FINE_TUNING
        if not state.rows:
            row = {"phase": phase.name, "epoch": 0, "step": 0, **self._validate(model, measure, state, "epoch 0")}
            state.rows.append(row)
            self._tell(row, phase)
        while state.epoch < phase.epochs:
            steps, epoch = self.training.steps, state.epoch + 1
            self.progress.start(f"{phase.name} epoch {epoch}/{phase.epochs}", steps, done=state.step)
            pace.begin()
            for batch in self.training.batches(epoch + fine_tuning * _FINE_TUNING_EPOCHS, state.step):
                seed_dropout(int(fine_tuning), state.optimizer_steps)
                self._step(train(batch), pace, phase, state)
                self._between_steps(model, state)
            self._end_epoch(model, measure, phase, state)

    def _step(self, totals: Sums, pace: Pace, phase: Phase, state: TrainingState) -> None:
        loss = figures(self.heads, totals)["loss"]
        if not math.isfinite(loss):
            raise FacetError(
                f"{phase.name} epoch {state.epoch + 1} step {state.step + 1}: the loss is {loss}, expected a finite"
                f" one; the last checkpoint is untouched, try a learning rate below {phase.learning_rate:g}"
            )
        add(state.sums, totals)
        state.step += 1
        state.optimizer_steps += 1
        state.seconds += pace.step()
        self.progress.advance(1, _text(figures(self.heads, state.sums)))
        left = pace.estimate((phase.epochs - state.epoch) * self.training.steps - state.step)
        if left:
            self.say(f"{left} for the rest of {phase.name}")

    def _between_steps(self, model: Any, state: TrainingState) -> None:
        if self.stop.asked:
            self._stop(model, state)
        if state.step < self.training.steps and self.keeper.due_after_step(state):
            self.keeper.save(model, state)

    def _stop(self, model: Any, state: TrainingState) -> None:
        name = self.keeper.save(model, state)
        raise Stopped(self.stop.signal, f"stopped in {state.phase} epoch {state.epoch + 1}, {name} holds the place")

    def _end_epoch(self, model: Any, measure: Any, phase: Phase, state: TrainingState) -> None:
        row: Row = {"phase": phase.name, "epoch": state.epoch + 1, "step": state.step}
        row |= {"learning_rate": float(model.optimizer.learning_rate.numpy())} | figures(self.heads, state.sums)
        row |= self._validate(model, measure, state, "validation")
        row["seconds"] = state.seconds
        row["images_per_second"] = state.step * self.training.batch_size / max(state.seconds, 1e-9)
        if not math.isfinite(row.get("val_loss", 0.0)):
            raise FacetError(
                f"{phase.name} epoch {state.epoch + 1}: the validation loss is {row['val_loss']}, expected a finite"
                f" one; the last checkpoint is untouched, try a learning rate below {phase.learning_rate:g}"
            )
        state.rows.append(row)
        state.epoch += 1
        state.begin_epoch()
        self._tell(row, phase)
        self.keeper.end_epoch(model, state, last=state.epoch == phase.epochs)

    def _validate(self, model: Any, measure: Any, state: TrainingState, what: str) -> Row:
        if self.validation is None:
            return {}
        sums: Sums = {}
        self.progress.start(what, self.validation.steps)
        for batch in self.validation.batches():
            add(sums, measure(batch))
            self.progress.advance(1)
            if self.stop.asked:
                self._stop(model, state)
        return {f"val_{name}": value for name, value in figures(self.heads, sums).items()}

    def _tell(self, row: Row, phase: Phase) -> None:
        text = _text({name: value for name, value in row.items() if name not in _NOT_FIGURES})
        speed = f", {row['images_per_second']:.0f} images/s" if "images_per_second" in row else ""
        self.say(f"{phase.name} epoch {row['epoch']}/{phase.epochs}: {text}{speed}")


def _text(values: dict[str, float]) -> str:
    return ", ".join(f"{name} {values[name]:.4f}" for name in sorted(values, key=column_place))
