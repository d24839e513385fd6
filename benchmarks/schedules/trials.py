"""What one training showed, and the figures that are made of it."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.schedules.statistics import of_equal_epochs
from hdf5_helper.atomic import write_text


@dataclass(frozen=True)
class Epoch:
    """One epoch of a training.

    Attributes:
        phase: `warm_up` or `fine_tuning`.
        number: in its phase, from 1.
        seconds: of its training steps, waiting for batches included.
        images: that its steps took.
        at: seconds from the process's start to its end, without measuring on test images.
        accuracy: on the test images, None where it was not measured.
    """

    phase: str
    number: int
    seconds: float
    images: int
    at: float
    accuracy: float | None = None


@dataclass(frozen=True)
class Trial:
    """One training in a process of its own; times are in seconds and leave measuring on test images out.

    Attributes:
        seconds, cpu: wall time from start to end, and processor time.
        memory: highest resident memory, in MB.
        elsewhere: cores that others used meanwhile, on average.
        epochs: in their order.
        began: seconds from the start to the beginning of the first phase.
        accuracy: of the epoch that validation chose, on the test images.
        figure: of programs that give just one: see each.
    """

    seconds: float
    cpu: float
    memory: float
    elsewhere: float
    epochs: tuple[Epoch, ...] = ()
    began: float = 0.0
    accuracy: float | None = None
    figure: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Gives the fields as values for JSON."""
        return asdict(self)

    @classmethod
    def of(cls, values: dict[str, Any]) -> "Trial":
        """Reads it from `to_json`'s values."""
        return cls(**(values | {"epochs": tuple(Epoch(**epoch) for epoch in values["epochs"])}))

    def phase(self, name: str) -> list[Epoch]:
        """Gives a phase's epochs."""
        return [epoch for epoch in self.epochs if epoch.phase == name]

    def with_accuracies(self, accuracies: Sequence[float]) -> "Trial":
        """Gives it with the accuracy of each epoch."""
        epochs = tuple(replace(epoch, accuracy=one) for epoch, one in zip(self.epochs, accuracies, strict=True))
        return replace(self, epochs=epochs)


def write_trial(path: Path, trial: Trial) -> None:
    """Writes a trial as JSON, whole or not at all."""
    write_text(path, json.dumps(trial.to_json(), indent=1) + "\n")


def read_trial(path: Path) -> Trial:
    """Reads a trial back."""
    return Trial.of(json.loads(path.read_text(encoding="utf-8")))


def whole_speed(trial: Trial) -> float:
    """Gives images a second of wall time, from the process's start to its end."""
    return sum(epoch.images for epoch in trial.epochs) / trial.seconds


def phase_speed(trial: Trial, phase: str) -> float:
    """Gives images a second of all steps of a phase; the one that compiles and what fills a cache count."""
    epochs = trial.phase(phase)
    return sum(epoch.images for epoch in epochs) / sum(epoch.seconds for epoch in epochs)


def settled_speed(trial: Trial) -> float:
    """Gives images a second of an epoch, the median over all but the first, which compiles."""
    epochs = trial.epochs[1:] or trial.epochs
    return median(epoch.images / epoch.seconds for epoch in epochs)


def warm_up_seconds(trial: Trial, epochs: int) -> float:
    """Gives the seconds of a warm-up of so many epochs, from its first step to its last.

    A trial that trained all of them has its wall time counted, validation and checkpoints included; of one that
    trained fewer, equal epochs are the median times their number, which leaves out the compiling and all between.
    """
    trained = trial.phase("warm_up")
    if len(trained) >= epochs:
        return trained[-1].at - trial.began
    return of_equal_epochs([epoch.seconds for epoch in trained], epochs)
