"""The training loop: steps, validation, checkpoints. All that decides the result is in its arguments and its state."""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol

from hdf5_helper.errors import FacetError
from hdf5_helper.progress import Progress, Say, Silent, no_words
from models.heads import Head
from models.training.feeding import Batch
from models.training.history import column_place
from models.training.keeper import CheckpointKeeper
from models.training.phases import FINE_TUNING, Phase
from models.training.state import Row, TrainingState, averages
from models.training.steps import dropout_seeder, evaluation_step, training_step
from models.training.stopping import StopFlag, Stopped

#: Columns of a row that are no loss or metric.
_NOT_FIGURES = ("phase", "epoch", "step", "learning_rate", "seconds", "images_per_second")

#: Steps after which the first estimate of the time left is given.
_STEPS_TO_ESTIMATE = 10


class TrainingSource(Protocol):
    """Where training batches come from."""

    steps: int

    def batches(self, epoch: int, first: int = 0) -> Iterator[Batch]:
        """Gives the batches of an epoch (from 1), from step `first` (from 0) on."""


class EvaluationSource(Protocol):
    """Where validation batches come from."""

    steps: int

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
        start_from: warm-up epoch that fine-tuning starts from, `best` or `last`.
        stop: tells when the user or the scheduler wants an end.
        say, progress: what the user sees.
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
    _step_seconds: list[float] = field(default_factory=list)

    def run_phase(self, model: Any, phase: Phase, state: TrainingState) -> None:
        """Trains from `state` to the end of `phase`; the model is compiled with the phase's optimizer.

        Raises:
            FacetError: the loss is not finite.
            Stopped: a stop was asked for, and a checkpoint holds the place.
        """
        self._step_seconds.clear()
        train, measure = training_step(model, self.heads), evaluation_step(model, self.heads)
        seed_dropout = dropout_seeder(model, self.seed)
        if not state.rows:
            state.rows.append({"phase": phase.name, "epoch": 0, "step": 0, **self._validate(measure, "epoch 0")})
            self._tell(state.rows[-1], phase)
        while state.epoch < phase.epochs:
            self.progress.start(f"{phase.name} epoch {state.epoch + 1}/{phase.epochs}", self.training.steps)
            self.progress.advance(state.step)
            for batch in self.training.batches(state.epoch + 1, state.step):
                seed_dropout(int(phase.name == FINE_TUNING), state.optimizer_steps)
                self._step(train, batch, phase, state)
                self._between_steps(model, state)
            self._end_epoch(model, measure, phase, state)

    def _step(self, train: Any, batch: Batch, phase: Phase, state: TrainingState) -> None:
        began = time.monotonic()
        totals = train(batch)
        if not math.isfinite(totals["loss"][0]):
            raise FacetError(
                f"{phase.name} epoch {state.epoch + 1} step {state.step + 1}: the loss is {totals['loss'][0]},"
                " expected a finite one; the last checkpoint is untouched,"
                f" try a learning rate below {phase.learning_rate:g}"
            )
        state.add(totals)
        state.step += 1
        state.optimizer_steps += 1
        state.seconds += time.monotonic() - began
        self.progress.advance(1, _figures(averages(state.sums)))
        self._estimate(time.monotonic() - began, phase, state)

    def _estimate(self, seconds: float, phase: Phase, state: TrainingState) -> None:
        """Says once how long the rest of the phase will take; the first step, which compiles, is left out."""
        self._step_seconds.append(seconds)
        if len(self._step_seconds) == _STEPS_TO_ESTIMATE:
            step = sum(self._step_seconds[1:]) / (_STEPS_TO_ESTIMATE - 1)
            left = (phase.epochs - state.epoch) * self.training.steps - state.step
            self.say(f"{step:.2f} s a step, about {timedelta(seconds=round(step * left))} for the rest of {phase.name}")

    def _between_steps(self, model: Any, state: TrainingState) -> None:
        last = state.step == self.training.steps
        if self.stop.asked and not last:
            name = self.keeper.save(model, state)
            raise Stopped(self.stop.signal, f"stopped in {state.phase} epoch {state.epoch + 1}, {name} holds the place")
        if not last and self.keeper.due_within_epoch(state):
            self.keeper.save(model, state)

    def _end_epoch(self, model: Any, measure: Any, phase: Phase, state: TrainingState) -> None:
        seconds, images = state.seconds, state.sums["loss"][1]
        row: Row = {"phase": phase.name, "epoch": state.epoch + 1, "step": state.step}
        row |= {"learning_rate": float(model.optimizer.learning_rate.numpy())} | averages(state.sums)
        row |= self._validate(measure, "validation")
        row |= {"seconds": seconds, "images_per_second": images / max(seconds, 1e-9)}
        state.rows.append(row)
        state.epoch += 1
        state.begin_epoch()
        self._tell(row, phase)
        self.keeper.end_epoch(model, state, last=state.epoch == phase.epochs)
        if self.stop.asked:
            name = self.keeper.save(model, state)
            raise Stopped(self.stop.signal, f"stopped after {phase.name} epoch {state.epoch}, {name} holds the place")

    def _validate(self, measure: Any, what: str) -> Row:
        if self.validation is None:
            return {}
        sums = TrainingState()
        self.progress.start(what, self.validation.steps)
        for batch in self.validation.batches():
            sums.add(measure(batch))
            self.progress.advance(1)
        return {f"val_{name}": value for name, value in averages(sums.sums).items()}

    def _tell(self, row: Row, phase: Phase) -> None:
        figures = _figures({name: value for name, value in row.items() if name not in _NOT_FIGURES})
        speed = f", {row['images_per_second']:.0f} images/s" if "images_per_second" in row else ""
        self.say(f"{phase.name} epoch {row['epoch']}/{phase.epochs}: {figures}{speed}")


def _figures(values: dict[str, float]) -> str:
    return ", ".join(f"{name} {values[name]:.4f}" for name in sorted(values, key=column_place))
