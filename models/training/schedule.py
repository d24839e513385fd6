"""The learning rate by step of a phase: a pure function of the step and of the epochs measured so far.

Nothing of it needs saving: a resumed run computes the same rates from its rows.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hdf5_helper.errors import FacetError, did_you_mean
from models.training.state import Row

if TYPE_CHECKING:
    from models.training.phase import Phase

_FORMS = {
    "constant": "constant",
    "cosine": "cosine or cosine:SHARE with a share of at least 0 and below 1, such as cosine:0.01",
    "step": "step:EPOCHS:FACTOR with at least 1 epoch and a factor between 0 and 1, such as step:10:0.5",
    "plateau": "plateau:EPOCHS:FACTOR with at least 1 epoch and a factor between 0 and 1, such as plateau:3:0.1",
}


@dataclass(frozen=True)
class Schedule:
    """A schedule's text, read.

    Attributes:
        kind: `constant`, `cosine`, `step` or `plateau`.
        epochs: `step`: how many there are between two reductions; `plateau`: how many without a fall are borne.
        factor: what a reduction multiplies by; `cosine`: the share of the learning rate at the phase's end.
    """

    kind: str
    epochs: int = 1
    factor: float = 0.0

    @property
    def needs_epochs(self) -> bool:
        """Says whether the rates depend on how many epochs the phase has."""
        return self.kind == "cosine"


def parse_schedule(text: str) -> Schedule:
    """Reads `constant`, `cosine`, `cosine:0.01`, `step:10:0.5` or `plateau:3:0.1`.

    Raises:
        FacetError: another text.
    """
    kind, *numbers = text.split(":")
    if kind not in _FORMS:
        raise FacetError(f"schedule {text!r}: {did_you_mean(kind, _FORMS)}")
    try:
        schedule = _schedule(kind, numbers)
    except ValueError:
        raise FacetError(f"schedule {text!r}: expected {_FORMS[kind]}") from None
    return schedule


def _schedule(kind: str, numbers: list[str]) -> Schedule:
    if kind in ("constant", "cosine") and not numbers:
        return Schedule(kind)
    if kind == "cosine":
        (share,) = numbers
        schedule = Schedule(kind, factor=float(share))
    elif kind in ("step", "plateau"):
        epochs, factor = numbers
        schedule = Schedule(kind, int(epochs), float(factor))
    else:
        raise ValueError
    falls = 0 < schedule.factor < 1 or (kind == "cosine" and schedule.factor == 0)
    if schedule.epochs < 1 or not falls:
        raise ValueError
    return schedule


def rates(phase: "Phase", rows: Sequence[Row], steps_per_epoch: int) -> Callable[[int], float] | None:
    """Gives the learning rate by step of a phase.

    While it warms up the rate rises linearly from 0, the first step being above it (Goyal et al. 2017, "Accurate, Large
    Minibatch SGD"). `cosine` falls from there to the phase's end (Loshchilov and Hutter 2016, "SGDR", one cycle);
    `step` and `plateau` count their epochs from the phase's beginning.

    Args:
        phase: whose schedule.
        rows: rows of `epochs.csv` so far; `plateau` looks at those of this phase from epoch 1 on.
        steps_per_epoch: how many.

    Returns:
        A function of the step, 0-based and counted over the phase's epochs; under `plateau` it holds up to the end of
        the epoch after the last row. None where the rate never changes.
    """
    schedule = parse_schedule(phase.schedule)
    rising = round(phase.learning_rate_warm_up * steps_per_epoch)
    if schedule.kind == "constant" and not rising:
        return None
    losses = _losses(phase.name, rows)
    falling = max(1, phase.epochs * steps_per_epoch - rising)

    def rate(step: int) -> float:
        epoch = step // steps_per_epoch
        share = min(1.0, (step + 1) / rising) if rising else 1.0
        if schedule.kind == "cosine":
            share *= _cosine(min(1.0, max(0, step - rising) / falling), schedule.factor)
        elif schedule.kind == "step":
            share *= schedule.factor ** (epoch // schedule.epochs)
        elif schedule.kind == "plateau":
            share *= schedule.factor ** reductions(losses[:epoch], schedule.epochs)
        return phase.learning_rate * share

    return rate


def reductions(losses: Sequence[float], patience: int) -> int:
    """Counts how often a loss has not fallen below its lowest for `patience` epochs, waiting anew each time.

    Args:
        losses: one an epoch.
        patience: at least 1.
    """
    lowest, waited, count = math.inf, 0, 0
    for loss in losses:
        lowest, waited = (loss, 0) if loss < lowest else (lowest, waited + 1)
        if waited == patience:
            count, waited = count + 1, 0
    return count


def _cosine(done: float, share: float) -> float:
    return share + (1 - share) * (1 + math.cos(math.pi * done)) / 2


def _losses(phase: str, rows: Sequence[Row]) -> list[float]:
    """Gives `val_loss` of each epoch of a phase, or `loss` where nothing was validated."""
    own = [row for row in rows if row["phase"] == phase and row["epoch"] >= 1]
    return [float(row["val_loss"] if "val_loss" in row else row["loss"]) for row in own]
