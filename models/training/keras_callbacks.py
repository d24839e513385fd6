"""Keras callbacks under Facet's trainer: called as `keras.Model.fit` calls them, their state kept in checkpoints."""

import json
from collections.abc import Sequence
from typing import Any

from hdf5_helper.errors import FacetError
from hdf5_helper.progress import Say, no_words
from hdf5_helper.wording import own_names
from models.training.observers import Observer, figures_of, say_unmatched
from models.training.state import Row

#: What of Keras's own callbacks must be kept for them to go on as if nothing had happened, by class name.
_KERAS_FIELDS: dict[str, tuple[str, ...]] = {
    "EarlyStopping": ("best", "wait", "best_epoch", "stopped_epoch"),
    "ReduceLROnPlateau": ("best", "wait", "cooldown_counter"),
    "LearningRateScheduler": (),
    "TerminateOnNaN": (),
}


class KerasCallbacks(Observer):
    """Calls any `keras.callbacks.Callback`s, for each phase as one `fit` would.

    They see `on_train_*`, `on_epoch_*` (epochs from 0, counted over the phase) and `on_train_batch_*`, with `logs` as
    the columns of `epochs.csv` are named: `loss`, `gender_accuracy`, `val_loss`; `on_test_*` is not called. One that
    sets `model.stop_training` ends the phase after the running epoch. The learning rate is theirs to change under a
    constant schedule. Weights that one sets in `on_train_end` are in no checkpoint: the best epoch's is there for that.

    A callback with `get_state() -> dict` and `set_state(dict)`, of JSON's values, goes on from a checkpoint exactly; so
    do Keras's EarlyStopping (without `restore_best_weights`), ReduceLROnPlateau and LearningRateScheduler.

    Args:
        callbacks: to call, in their order.
        say: is told once which of them begin anew in a resumed run.

    Raises:
        FacetError: something else than a callback, or one whose state is not JSON's (in `begin_phase` and `state`).
    """

    name = "keras_callbacks"

    def __init__(self, callbacks: Sequence[Any], say: Say = no_words) -> None:
        self._callbacks = {name: callbacks[place] for place, name in enumerate(_names(callbacks))}
        inexact = [name for name, callback in self._callbacks.items() if not _keeps_state(callback)]
        self.exact = not inexact
        if inexact:
            say(f"resuming is exact but for {', '.join(inexact)}: expected get_state() and set_state(dict) for that")
        self._say = say
        self._model: Any = None
        self._running, self._begun = False, 0
        self._learning_rate = 0.0
        self._logs: dict[str, float] = {}

    @property
    def stop(self) -> bool:  # type: ignore[override]  # the model holds it, as in Keras
        """Whether a callback has set `model.stop_training`."""
        return bool(getattr(self._model, "stop_training", False))

    def begin_phase(self, model: Any, phase: str, epochs: int, steps: int, epoch: int) -> None:  # noqa: ARG002  # Keras knows no phases
        """Ends the phase before and begins a new one, as `fit` with `initial_epoch=epoch` does."""
        self.end()
        self._model, self._running, self._begun, self._logs = model, True, 0, {}
        self._learning_rate = _learning_rate(model)
        for callback in self._callbacks.values():
            callback.set_model(model)
        for callback in self._callbacks.values():
            callback.set_params({"verbose": 0, "epochs": epochs, "steps": steps})
        model.stop_training = False
        self._call("on_train_begin")
        self.state()  # one that no checkpoint can hold is a mistake to hear of before the first step

    def begin_epoch(self, epoch: int) -> None:
        """Calls `on_epoch_begin`, once for an epoch, also where it is gone on with in its middle."""
        if epoch != self._begun:
            self._begun = epoch
            self._call("on_epoch_begin", epoch - 1)

    def begin_step(self, step: int) -> None:
        """Calls `on_train_batch_begin`."""
        self._call("on_train_batch_begin", step)

    def end_step(self, step: int, figures: dict[str, float]) -> None:
        """Calls `on_train_batch_end`."""
        self._call("on_train_batch_end", step, logs=dict(figures))

    def end_epoch(self, row: Row) -> None:
        """Calls `on_epoch_end`; epoch 0 is no epoch for Keras."""
        if row["epoch"]:
            self._logs = figures_of(row)
            self._call("on_epoch_end", row["epoch"] - 1, logs=self._logs)
            self._begun = 0

    def end(self) -> None:
        """Calls `on_train_end` where a phase is running."""
        if self._running:
            self._running = False
            self._call("on_train_end", logs=self._logs)

    def state(self) -> dict[str, Any]:
        """Gives each callback's state by name, the epoch that has begun (0 between epochs), and whether one stopped."""
        states = {name: _state(name, callback) for name, callback in self._callbacks.items() if _keeps_state(callback)}
        return {"stop": self.stop, "epoch": self._begun, "callbacks": states}

    def restore(self, state: dict[str, Any]) -> None:
        """Gives each callback its state back, after what a begin resets and sets: the learning rate stays too."""
        states = state["callbacks"]
        say_unmatched((name for name, callback in self._callbacks.items() if _keeps_state(callback)), states, self._say)
        if state["epoch"]:
            self.begin_epoch(state["epoch"])
        for name in self._callbacks.keys() & states.keys():
            _set_state(self._callbacks[name], states[name])
        if self._model is not None:
            self._model.stop_training = state["stop"]
            if _learning_rate(self._model) != self._learning_rate:
                self._model.optimizer.learning_rate = self._learning_rate

    def _call(self, method: str, *place: int, logs: dict[str, float] | None = None) -> None:
        logs = {} if logs is None else logs  # all see one dict, as in `fit`: ReduceLROnPlateau adds to it
        for callback in self._callbacks.values():
            getattr(callback, method)(*place, logs)


def _names(callbacks: Sequence[Any]) -> list[str]:
    import keras

    for callback in callbacks:
        if not isinstance(callback, keras.callbacks.Callback):
            raise FacetError(f"callbacks: expected instances of keras.callbacks.Callback, found {callback!r}")
        if isinstance(callback, keras.callbacks.BackupAndRestore):
            raise FacetError("callbacks: BackupAndRestore would undo what Facet restores itself, expected none")
    return own_names((type(callback).__name__ for callback in callbacks), "_")


def _keeps_state(callback: Any) -> bool:
    if hasattr(callback, "get_state") and hasattr(callback, "set_state"):
        return True
    return _fields(callback) is not None and not getattr(callback, "restore_best_weights", False)


def _fields(callback: Any) -> tuple[str, ...] | None:
    """Gives the attributes that are the state of one of Keras's own callbacks; None for a class of somebody else."""
    kind = type(callback)
    return _KERAS_FIELDS.get(kind.__name__) if kind.__module__.startswith("keras.") else None


def _state(name: str, callback: Any) -> dict[str, Any]:
    fields = _fields(callback)
    state = callback.get_state() if fields is None else {field: getattr(callback, field) for field in fields}
    try:
        if isinstance(state, dict):
            json.dumps(state)
            return state
        reason = f"found {type(state).__name__}"
    except (TypeError, ValueError) as error:
        reason = f"found one that is not ({error})"
    raise FacetError(f"callback {name}: expected get_state() to give a dict of JSON's values, {reason}")


def _set_state(callback: Any, state: dict[str, Any]) -> None:
    if _fields(callback) is None:
        callback.set_state(state)
    else:
        for field, value in state.items():
            setattr(callback, field, value)


def _learning_rate(model: Any) -> float:
    return float(model.optimizer.learning_rate)
