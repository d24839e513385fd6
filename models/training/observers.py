"""What may watch a training and keep a state in its checkpoints: a base class, and several of them as one."""

from collections.abc import Iterable, Sequence
from typing import Any

from hdf5_helper.progress import Say, no_words
from hdf5_helper.wording import own_names
from models.training.state import Row

#: Columns of a row that are no loss or metric.
_NOT_FIGURES = ("phase", "epoch", "step", "learning_rate", "seconds", "images_per_second", "confusion")


class Observer:
    """Watches a training; every method does nothing until a subclass says otherwise.

    The trainer calls `catch_up`, then `begin_phase`, then `restore` where a checkpoint holds a state, then for every
    epoch `begin_epoch`, `begin_step` and `end_step` for every step, and `end_epoch`; last `end`, also where it was
    stopped.

    Attributes:
        name: what the user knows it by; its state is kept under it.
        stop: asks for an end of the phase after the running epoch.
        exact: False where a resumed run is that of an unbroken one but for what this observer does.
    """

    name: str = ""
    stop: bool = False
    exact: bool = True

    def catch_up(self, rows: Sequence[Row]) -> None:
        """Is called before `begin_phase` with the rows of `epochs.csv` so far."""

    def begin_phase(self, model: Any, phase: str, epochs: int, steps: int, epoch: int) -> None:
        """Is called before the first step of a phase, or of what is left of it.

        Args:
            model: keras.Model, compiled with the phase's optimizer.
            phase: `warm_up` or `fine_tuning`.
            epochs: of the phase, all of them.
            steps: of an epoch.
            epoch: epochs of the phase that are done.
        """

    def begin_epoch(self, epoch: int) -> None:
        """Is called before an epoch (from 1), also where one is gone on with in its middle."""

    def begin_step(self, step: int) -> None:
        """Is called before a step of the epoch, from 0."""

    def end_step(self, step: int, figures: dict[str, float]) -> None:
        """Is called after a step with the means over the epoch so far: `loss` and metrics as in `epochs.csv`."""

    def end_epoch(self, row: Row) -> None:
        """Is called with each new row of `epochs.csv`, also with that of epoch 0, the validation before any step."""

    def end(self) -> None:
        """Is called once after the last step, however the training ended."""

    def state(self) -> dict[str, Any]:
        """Gives what a checkpoint must hold for this observer, in JSON's values."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Takes the `state` of an earlier process back; is called after `begin_phase`."""


class Observers(Observer):
    """Several observers as one, called in their order.

    Args:
        observers: to call.
        say: takes one sentence for each state without an observer and each observer without a state.
    """

    def __init__(self, observers: Sequence[Observer] = (), say: Say = no_words) -> None:
        names = own_names((observer.name or type(observer).__name__ for observer in observers), "_")
        self._by_name, self._say = dict(zip(names, observers, strict=True)), say

    @property
    def stop(self) -> bool:  # type: ignore[override]  # one asks for all
        """Whether any of them asks for an end."""
        return any(observer.stop for observer in self._by_name.values())

    @property
    def exact(self) -> bool:  # type: ignore[override]  # one spoils all
        """Whether all of them resume exactly."""
        return all(observer.exact for observer in self._by_name.values())

    def catch_up(self, rows: Sequence[Row]) -> None:
        """Calls each."""
        for observer in self._by_name.values():
            observer.catch_up(rows)

    def begin_phase(self, model: Any, phase: str, epochs: int, steps: int, epoch: int) -> None:
        """Calls each."""
        for observer in self._by_name.values():
            observer.begin_phase(model, phase, epochs, steps, epoch)

    def begin_epoch(self, epoch: int) -> None:
        """Calls each."""
        for observer in self._by_name.values():
            observer.begin_epoch(epoch)

    def begin_step(self, step: int) -> None:
        """Calls each."""
        for observer in self._by_name.values():
            observer.begin_step(step)

    def end_step(self, step: int, figures: dict[str, float]) -> None:
        """Calls each."""
        for observer in self._by_name.values():
            observer.end_step(step, figures)

    def end_epoch(self, row: Row) -> None:
        """Calls each."""
        for observer in self._by_name.values():
            observer.end_epoch(row)

    def end(self) -> None:
        """Calls each, the later ones also where an earlier one raises."""
        failures: list[Exception] = []
        for observer in self._by_name.values():
            try:
                observer.end()
            except Exception as error:  # noqa: BLE001  # every file must be closed; the first is raised below
                failures.append(error)
        if failures:
            raise failures[0]

    def state(self) -> dict[str, Any]:
        """Gives the states there are by name; names that come twice are numbered: `NAME`, `NAME_2`."""
        states = {name: observer.state() for name, observer in self._by_name.items()}
        return {name: state for name, state in states.items() if state}

    def restore(self, state: dict[str, Any]) -> None:
        """Gives each its state back; what has no counterpart is said in one line each."""
        say_unmatched(self.state(), state, self._say)
        for name in self._by_name.keys() & state.keys():
            self._by_name[name].restore(state[name])


def say_unmatched(names: Iterable[str], state: Iterable[str], say: Say) -> None:
    """Says in one line each what is new since a checkpoint, and what of the checkpoint is no longer there."""
    here, there = list(names), list(state)
    for name in here:
        if name not in there:
            say(f"{name} was not in the checkpoint: it begins anew here")
    for name in there:
        if name not in here:
            say(f"{name} of the checkpoint is not in this training: its state is dropped")


def figures_of(row: Row) -> dict[str, float]:
    """Gives losses and metrics of a row of `epochs.csv`, without its place, learning rate and times."""
    return {name: value for name, value in row.items() if name not in _NOT_FIGURES}
