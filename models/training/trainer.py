"""The training loop: steps, validation, checkpoints. All that decides the result is in its arguments and its state."""

import math
from dataclasses import dataclass, field, replace
from typing import Any

from hdf5_helper.errors import FacetError
from hdf5_helper.progress import Progress, Say, Silent, no_words
from models.heads.head import Head
from models.training.confusion import confusions
from models.training.distribution.replicas import Replicas
from models.training.early_stopping import patience_over
from models.training.history import column_place
from models.training.keeper import CheckpointKeeper
from models.training.memory import memory_explained
from models.training.observers import Observers, figures_of
from models.training.pace import Pace
from models.training.phase import FINE_TUNING, Phase
from models.training.schedule import rates
from models.training.sources import EvaluationSource, Sources, SourcesOf, TrainingSource
from models.training.state import Row, Sums, TrainingState, add
from models.training.steps import EvaluationStep, TrainingStep, Update, evaluation_step, figures, training_step
from models.training.stopping import Flags, StopFlag, Stopped

#: Epochs of fine-tuning are numbered from here for order and mirroring, so that it does not repeat those of warm-up.
_FINE_TUNING_EPOCHS = 1 << 20


@dataclass
class Trainer:
    """Trains one model through phases.

    Attributes:
        heads: of the model, in order.
        training, validation: where batches come from; without validation the training figures choose the best.
        keeper: writes checkpoints, `epochs.csv` and pointers.
        replicas: the devices that share every batch.
        update: how a batch becomes an update, but for what the phases say.
        observers: callbacks and trackers.
        stop: tells when the user or the scheduler wants an end.
        say, progress: what the user sees.
        start_from: warm-up epoch that fine-tuning starts from, `best` or `last`.
        sources_of: from a phase and its model to what it trains and validates on; without it, images of `training` and
            `validation`.
    """

    heads: tuple[Head, ...]
    training: TrainingSource
    validation: EvaluationSource | None
    keeper: CheckpointKeeper
    replicas: Replicas = field(default_factory=Replicas)
    update: Update = field(default_factory=Update)
    observers: Observers = field(default_factory=Observers)
    stop: StopFlag = field(default_factory=StopFlag)
    say: Say = no_words
    progress: Progress = field(default_factory=Silent)
    start_from: str = "best"
    sources_of: SourcesOf | None = None
    pace: Pace = field(default_factory=Pace, init=False)
    _sources: Sources = field(init=False)

    def run_phase(self, model: Any, phase: Phase, state: TrainingState) -> None:
        """Trains from `state` to the end of `phase`; the model is compiled with the phase's optimizer.

        Raises:
            FacetError: a loss is not finite, or memory ran out.
            Stopped: a stop was asked for, and a checkpoint holds the place.
        """
        self.pace = Pace()
        self.observers.catch_up(state.rows)
        self.observers.begin_phase(model, phase.name, phase.epochs, self.training.steps, state.epoch)
        if state.observers:
            self.observers.restore(state.observers)
        if state.rows and self.is_over(phase, state):
            return
        self._sources = self.sources_of(model, phase) if self.sources_of else Sources(self.training, self.validation)
        try:
            self._run_epochs(model, phase, state)
        finally:
            self._sources.close()

    def _run_epochs(self, model: Any, phase: Phase, state: TrainingState) -> None:
        update = replace(
            self.update,
            phase=int(phase.name == FINE_TUNING),
            clipping=phase.gradient_clipping,
            smoothing=phase.label_smoothing,
        )
        train = training_step(model, self.heads, self.replicas, update, self._sources.training_part)
        measure = evaluation_step(model, self.heads, self.replicas, self._sources.validation_part)
        if not state.rows:
            row = {"phase": phase.name, "epoch": 0, "step": 0, **self._validate(model, measure, state, "epoch 0")}
            state.rows.append(row)
            self._tell(row, phase)
        while not self.is_over(phase, state):
            self._run_epoch(model, train, phase, state)
            self._end_epoch(model, measure, phase, state)

    def is_over(self, phase: Phase, state: TrainingState) -> bool:
        """Says whether a phase has no epoch left: all are done, or early stopping or a callback ended it."""
        return (
            state.epoch >= phase.epochs
            or patience_over(phase, state.rows, self.keeper.metric)
            or bool(self.replicas.chiefs(self.observers.stop))
        )

    def _run_epoch(self, model: Any, train: TrainingStep, phase: Phase, state: TrainingState) -> None:
        steps, epoch = self.training.steps, state.epoch + 1
        rate = rates(phase, state.rows, steps)
        self.progress.start(f"{phase.name} epoch {epoch}/{phase.epochs}", steps, done=state.step)
        self.observers.begin_epoch(epoch)
        self.pace.begin()
        numbered = epoch + (phase.name == FINE_TUNING) * _FINE_TUNING_EPOCHS
        for batch in self._sources.training.batches(numbered, state.step):
            if rate is not None:
                model.optimizer.learning_rate = rate(state.epoch * steps + state.step)
            self.observers.begin_step(state.step)
            with memory_explained(self.training.batch_size):
                totals, flags = train(batch, state.optimizer_steps, self.stop.flags)
            self._count(totals, phase, state)
            self._between_steps(model, self._agreed(flags), state)

    def _agreed(self, flags: Flags) -> Flags:
        """Gives what all workers know of signals: alone, this process need not wait for the next step's sums."""
        return flags if self.replicas.workers > 1 else self.stop.flags

    def _count(self, totals: Sums, phase: Phase, state: TrainingState) -> None:
        loss = figures(self.heads, totals)["loss"]
        if not math.isfinite(loss):
            raise FacetError(
                f"{phase.name} epoch {state.epoch + 1} step {state.step + 1}: the loss is {loss}, expected a finite"
                f" one; the last checkpoint is untouched, try a learning rate below {phase.learning_rate:g}"
            )
        add(state.sums, totals)
        so_far = figures(self.heads, state.sums)
        self.observers.end_step(state.step, so_far)
        state.step += 1
        state.optimizer_steps += 1
        state.seconds += self.pace.step()
        self.progress.advance(1, _text(so_far))
        left = self.pace.estimate((phase.epochs - state.epoch) * self.training.steps - state.step)
        if left:
            self.say(f"{left} for the rest of {phase.name}")

    def _between_steps(self, model: Any, flags: Flags, state: TrainingState) -> None:
        if flags.signal:
            self._stop(model, flags, state)
        if state.step < self.training.steps and self.keeper.due_after_step(state):
            self._save(model, state)

    def _save(self, model: Any, state: TrainingState) -> str:
        state.observers = self.observers.state()
        return self.keeper.save(model, state)

    def _stop(self, model: Any, flags: Flags, state: TrainingState) -> None:
        name = self._save(model, state)
        self.replicas.chiefs(None)  # nobody ends before the chief has written: some schedulers then kill the rest
        raise Stopped(flags.signal, f"stopped in {state.phase} epoch {state.epoch + 1}, {name} holds the place")

    def _end_epoch(self, model: Any, measure: EvaluationStep, phase: Phase, state: TrainingState) -> None:
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
        state.observers = self.observers.state()
        self.keeper.end_epoch(model, state, last=self.is_over(phase, state))

    def _validate(self, model: Any, measure: EvaluationStep, state: TrainingState, what: str) -> Row:
        validation = self._sources.validation
        if validation is None:
            return {}
        sums: Sums = {}
        self.progress.start(what, validation.steps)
        for batch in validation.batches():
            with memory_explained(self.training.batch_size):
                totals, flags = measure(batch, self.stop.flags)
            add(sums, totals)
            self.progress.advance(1)
            if (asked := self._agreed(flags)).signal:
                self._stop(model, asked, state)
        measured: Row = {f"val_{name}": value for name, value in figures(self.heads, sums).items()}
        matrices = confusions(self.heads, sums)
        return measured | ({"confusion": matrices} if matrices else {})

    def _tell(self, row: Row, phase: Phase) -> None:
        text = _text(figures_of(row))
        speed = f", {row['images_per_second']:.0f} images/s" if "images_per_second" in row else ""
        self.say(f"{phase.name} epoch {row['epoch']}/{phase.epochs}: {text}{speed}")
        self.observers.end_epoch(row)


def _text(values: dict[str, float]) -> str:
    return ", ".join(f"{name} {values[name]:.4f}" for name in sorted(values, key=column_place))
