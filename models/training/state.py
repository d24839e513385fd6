"""Where a training is: everything that resuming needs beside weights and optimizer, as plain numbers."""

from dataclasses import asdict, dataclass, field
from typing import Any

#: One row of `epochs.csv`, column name -> value.
Row = dict[str, Any]

#: [sum, weight] by column; what is summed over steps, and over replicas, before it is divided.
Sums = dict[str, list[float]]


@dataclass
class Best:
    """The best epoch so far.

    Attributes:
        value: of the metric that chooses.
        phase, epoch: where it was.
        checkpoint: file name in `checkpoints/`.
    """

    value: float
    phase: str
    epoch: int
    checkpoint: str


@dataclass
class TrainingState:
    """The place of a training between two steps.

    Attributes:
        phase: name of the phase under way.
        epoch: epochs of this phase that are done.
        step: steps of the next epoch that are done, 0 between epochs.
        sums: (sum, weight) by column of the running epoch.
        seconds: time spent in the running epoch's steps.
        rows: rows of `epochs.csv` so far.
        best: the best epoch over all phases, None before the first.
        optimizer_steps: updates of the present phase's optimizer.
        observers: what callbacks keep, by name.
        began_from: checkpoint that the phase began from, empty where it began from none.
    """

    phase: str = ""
    epoch: int = 0
    step: int = 0
    sums: Sums = field(default_factory=dict)
    seconds: float = 0.0
    rows: list[Row] = field(default_factory=list)
    best: Best | None = None
    optimizer_steps: int = 0
    observers: dict[str, Any] = field(default_factory=dict)
    began_from: str = ""

    def begin_phase(self, name: str, began_from: str = "") -> None:
        """Moves to the start of a phase, which begins from a checkpoint of the one before."""
        self.began_from = began_from
        self.phase, self.epoch, self.optimizer_steps, self.observers = name, 0, 0, {}
        self.begin_epoch()

    def begin_epoch(self) -> None:
        """Clears what belongs to the running epoch."""
        self.step, self.sums, self.seconds = 0, {}, 0.0

    def to_dict(self) -> dict[str, Any]:
        """Gives the JSON form."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "TrainingState":
        """Reads the JSON form."""
        best = Best(**values["best"]) if values["best"] else None
        return cls(**(values | {"best": best}))


def add(sums: Sums, more: Sums) -> None:
    """Adds (sum, weight) pairs to `sums`, column by column."""
    for name, (value, weight) in more.items():
        before = sums.get(name, [0.0, 0.0])
        sums[name] = [before[0] + value, before[1] + weight]
