"""Keeps a run's folder: when a checkpoint is due, which is best, which go, and the two files that show the epochs."""

import math
import time
from dataclasses import asdict, dataclass, field
from typing import Any

from models.description import ModelDescription
from models.heads.choosing import larger_is_better
from models.training.checkpoints import checkpoint_name, save_checkpoint
from models.training.confusion import write_confusions
from models.training.history import draw_curves, write_epochs
from models.training.runs import Run
from models.training.state import Best, TrainingState

#: Drawing takes a third of a second, so short epochs share a picture.
_SECONDS_BETWEEN_CURVES = 30.0


@dataclass
class CheckpointKeeper:
    """Writes everything that a training leaves in its run's folder.

    Attributes:
        run: whose folder.
        description: goes into every checkpoint.
        surroundings: goes into every checkpoint.
        metric: column of `epochs.csv` that chooses the best epoch.
        every_epochs, every_steps, every_minutes: intervals of checkpoints, 0 for never.
        keep: how many of the newest stay, or `all`.
        writes: False in all workers but the chief: they keep the same accounts and write nothing.
    """

    run: Run
    description: ModelDescription
    surroundings: dict[str, str]
    metric: str
    every_epochs: int = 2
    every_steps: int = 0
    every_minutes: float = 15.0
    keep: str = "2"
    writes: bool = True
    _saved_at: float = field(default_factory=time.monotonic)
    _drawn_at: float = float("-inf")

    def due_after_step(self, state: TrainingState) -> bool:
        """Says whether steps or minutes ask for a checkpoint after this step."""
        by_steps = self.every_steps > 0 and state.optimizer_steps % self.every_steps == 0
        return by_steps or self._minutes_passed()

    def save(self, model: Any, state: TrainingState) -> str:
        """Writes a checkpoint of this place, makes it the latest, and gives its file name."""
        name = checkpoint_name(state.phase, state.epoch, state.step)
        if not self.writes:
            return name
        save_checkpoint(self.run.checkpoints / name, model, self.description, state, self.surroundings)
        self.run.point("latest", name)
        self._saved_at = time.monotonic()
        self._prune(state, name)
        return name

    def end_epoch(self, model: Any, state: TrainingState, *, last: bool) -> None:
        """Notes a finished epoch: the best, a checkpoint where one is due, `epochs.csv` and the curves."""
        improved = self._note_best(state)
        due = last or improved or (self.every_epochs > 0 and state.epoch % self.every_epochs == 0)
        if due or self.due_after_step(state):
            self.save(model, state)
            if improved:
                self.settle(state)
        self.show(state, curves=last or time.monotonic() - self._drawn_at > _SECONDS_BETWEEN_CURVES)

    def settle(self, state: TrainingState) -> None:
        """Makes the best pointer and the files that stay what `state` says; a kill may have left them behind it."""
        latest = self.run.pointed("latest")
        if not self.writes or latest is None:
            return
        best = state.best
        if best is not None and self.run.best() != best and (self.run.checkpoints / best.checkpoint).is_file():
            value = best.value if math.isfinite(best.value) else None  # JSON has no infinity
            self.run.point("best", **asdict(best) | {"value": value}, metric=self.metric)
        self._prune(state, latest)

    def show(self, state: TrainingState, *, curves: bool = True) -> None:
        """Writes `epochs.csv` and `confusion.csv`, and `curves.png` where asked."""
        if not (state.rows and self.writes):
            return
        write_epochs(self.run.folder / "epochs.csv", state.rows)
        class_names = {output.label: output.class_names for output in self.description.outputs}
        write_confusions(self.run.folder / "confusion.csv", state.rows, class_names)
        if curves:
            draw_curves(self.run.folder / "curves.png", state.rows)
            self._drawn_at = time.monotonic()

    def _minutes_passed(self) -> bool:
        return self.every_minutes > 0 and time.monotonic() - self._saved_at >= 60 * self.every_minutes

    def _note_best(self, state: TrainingState) -> bool:
        sign = 1 if larger_is_better(self.metric) else -1
        value = float(state.rows[-1].get(self.metric, math.nan))
        value = -sign * math.inf if math.isnan(value) else value
        if state.best is not None and not sign * value > sign * state.best.value:
            return False
        state.best = Best(value, state.phase, state.epoch, checkpoint_name(state.phase, state.epoch))
        return True

    def _prune(self, state: TrainingState, newest: str) -> None:
        """Removes checkpoints that are neither among the newest, nor best, nor the last or the start of a phase."""
        if self.keep == "all":
            return
        names = self.run.checkpoint_names()
        pointed = {self.run.pointed(which) for which in ("best", "latest")}
        best = state.best.checkpoint if state.best else ""
        stay = {*names[-int(self.keep) :], newest, *pointed, best, state.began_from} | _phase_ends(state)
        for name in set(names) - stay:
            (self.run.checkpoints / name).unlink(missing_ok=True)


def _phase_ends(state: TrainingState) -> set[str]:
    """Gives the names of the last checkpoints of finished phases."""
    ends = {row["phase"]: row["epoch"] for row in state.rows if row["phase"] != state.phase}
    return {checkpoint_name(phase, epoch) for phase, epoch in ends.items()}
