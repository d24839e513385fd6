import json

import keras
import numpy as np
import pytest

from hdf5_helper.errors import FacetError
from models.training.keras_callbacks import KerasCallbacks

X, Y = np.linspace(-1, 1, 12, dtype=np.float32).reshape(12, 1), np.zeros((12, 1), np.float32)


def compiled(learning_rate=0.1):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, kernel_initializer="ones")])
    model.compile(keras.optimizers.SGD(learning_rate), loss="mse")
    return model


class Recorder(keras.callbacks.Callback):
    """Writes down which method was called for which epoch or batch, and the names in its logs."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def note(self, *call):
        self.calls.append((*call[:-1], sorted(call[-1])))

    def set_params(self, params):
        super().set_params(params)
        self.calls.append(("params", params["epochs"], params["steps"]))

    def on_train_begin(self, logs=None):
        self.note("train_begin", self.model is not None, self.model.stop_training, logs)

    def on_train_end(self, logs=None):
        self.note("train_end", logs)

    def on_epoch_begin(self, epoch, logs=None):
        self.note("epoch_begin", epoch, logs)

    def on_epoch_end(self, epoch, logs=None):
        self.note("epoch_end", epoch, logs)

    def on_train_batch_begin(self, batch, logs=None):
        self.note("batch_begin", batch, logs)

    def on_train_batch_end(self, batch, logs=None):
        self.note("batch_end", batch, logs)


class Counter(keras.callbacks.Callback):
    """Counts batches and epochs, resets itself at a begin as Keras's own do, and keeps its state."""

    def on_train_begin(self, *_):
        self.batches, self.epochs = 0, 0

    def on_train_batch_end(self, *_):
        self.batches += 1

    def on_epoch_begin(self, *_):
        self.epochs += 1

    def get_state(self):
        return {"batches": self.batches, "epochs": self.epochs}

    def set_state(self, state):
        self.batches, self.epochs = state["batches"], state["epochs"]


class Halving(Counter):
    """Halves the learning rate at each epoch's begin."""

    def on_epoch_begin(self, *_):
        super().on_epoch_begin()
        self.model.optimizer.learning_rate = self.model.optimizer.learning_rate / 2


def row(epoch, **figures):
    return {"phase": "warm_up", "epoch": epoch, "step": 3, "learning_rate": 0.1, "seconds": 1.0, **figures}


def drive(observer, losses, *, first=1, validated=True):
    """Calls an observer as the trainer does: epochs `first`, … with the given validation losses, until it stops."""
    for epoch, loss in enumerate(losses, start=first):
        observer.begin_epoch(epoch)
        for step in range(3):
            observer.begin_step(step)
            observer.end_step(step, {"loss": loss})
        observer.end_epoch(row(epoch, loss=loss, **({"val_loss": loss} if validated else {})))
        if observer.stop:
            return epoch
    return first + len(losses) - 1


def test_a_callback_sees_what_it_sees_under_keras_fit():
    under_keras, under_facet = Recorder(), Recorder()
    compiled().fit(
        X, Y, batch_size=4, epochs=2, verbose=0, validation_data=(X, Y), shuffle=False, callbacks=[under_keras]
    )
    observer = KerasCallbacks([under_facet])
    observer.begin_phase(compiled(), "warm_up", 2, 3, 0)
    observer.end_epoch(row(0, val_loss=1.0))
    drive(observer, [1.0, 0.5])
    observer.end()
    assert under_facet.calls == under_keras.calls


def test_a_resume_between_two_epochs_is_a_fit_from_there():
    under_keras, under_facet, before = Recorder(), Recorder(), KerasCallbacks([Recorder()])
    compiled().fit(X, Y, batch_size=4, initial_epoch=1, epochs=2, verbose=0, shuffle=False, callbacks=[under_keras])
    before.begin_phase(compiled(), "warm_up", 2, 3, 0)
    drive(before, [1.0])
    observer = KerasCallbacks([under_facet])
    observer.begin_phase(compiled(), "warm_up", 2, 3, 1)
    observer.restore(before.state())
    drive(observer, [1.0], first=2, validated=False)
    observer.end()
    assert under_facet.calls == under_keras.calls


def test_each_phase_is_one_fit():
    callback, first, second = Recorder(), compiled(), compiled()
    observer = KerasCallbacks([callback])
    observer.begin_phase(first, "warm_up", 1, 3, 0)
    observer.begin_phase(second, "fine_tuning", 5, 3, 0)
    assert callback.model is second
    observer.end()
    observer.end()
    assert callback.calls == [
        ("params", 1, 3),
        ("train_begin", True, False, []),
        ("train_end", []),
        ("params", 5, 3),
        ("train_begin", True, False, []),
        ("train_end", []),
    ]


def fitted(callback, losses):
    """Gives epochs run and the final learning rate under Keras itself, validation losses given from outside."""

    class Given(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["val_loss"] = losses[epoch]

    model = compiled()
    history = model.fit(X, Y, batch_size=4, epochs=len(losses), verbose=0, callbacks=[Given(), callback])
    return len(history.epoch), float(model.optimizer.learning_rate)


LOSSES = [1.0, 0.8, 0.9, 0.85, 0.7, 0.75, 0.74, 0.73, 0.72, 0.71]


def stopping():
    return keras.callbacks.EarlyStopping(patience=3)


def plateau():
    return keras.callbacks.ReduceLROnPlateau(factor=0.5, patience=1, cooldown=1)


def scheduler():
    return keras.callbacks.LearningRateScheduler(lambda _epoch, rate: rate * 0.9)


@pytest.mark.parametrize("make", [stopping, plateau, scheduler])
def test_keras_own_callbacks_stop_and_change_the_rate_as_under_fit(make):
    model, observer = compiled(), KerasCallbacks([make()])
    observer.begin_phase(model, "warm_up", len(LOSSES), 3, 0)
    assert (drive(observer, LOSSES), float(model.optimizer.learning_rate)) == fitted(make(), LOSSES)


@pytest.mark.parametrize("done", range(1, 9))  # early stopping ends after the eighth
@pytest.mark.parametrize("make", [stopping, plateau, scheduler])
def test_keras_own_callbacks_go_on_from_a_checkpoint_as_if_nothing_had_happened(make, done):
    model, observer = compiled(), KerasCallbacks([make()])
    observer.begin_phase(model, "warm_up", len(LOSSES), 3, 0)
    drive(observer, LOSSES[:done])
    state, rate = json.loads(json.dumps(observer.state())), float(model.optimizer.learning_rate)
    model, observer = compiled(rate), KerasCallbacks([make()])
    observer.begin_phase(model, "warm_up", len(LOSSES), 3, done)
    observer.restore(state)
    last = done if observer.stop else drive(observer, LOSSES[done:], first=done + 1)
    assert (last, float(model.optimizer.learning_rate)) == fitted(make(), LOSSES)


def test_an_epoch_gone_on_with_in_its_middle_begins_once_for_state_and_learning_rate():
    model, observer = compiled(0.1), KerasCallbacks([Halving()])
    observer.begin_phase(model, "warm_up", 2, 3, 0)
    observer.begin_epoch(1)
    observer.end_step(0, {"loss": 1.0})
    state = observer.state()
    assert state == {"stop": False, "epoch": 1, "callbacks": {"Halving": {"batches": 1, "epochs": 1}}}
    callback, model = Halving(), compiled(0.05)
    observer = KerasCallbacks([callback])
    observer.begin_phase(model, "warm_up", 2, 3, 0)
    observer.restore(state)
    observer.begin_epoch(1)
    assert observer.state() == state
    assert float(model.optimizer.learning_rate) == pytest.approx(0.05)


def test_a_stop_between_two_phases_is_forgotten_in_the_next():
    model, observer = compiled(), KerasCallbacks([stopping()])
    observer.begin_phase(model, "warm_up", 9, 3, 0)
    assert drive(observer, [1.0] * 9) == 4
    assert observer.stop
    observer.begin_phase(model, "fine_tuning", 9, 3, 0)
    assert not observer.stop


def test_a_callback_without_a_state_is_named_once_and_makes_the_resume_inexact():
    said = []
    observer = KerasCallbacks(
        [Counter(), Recorder(), keras.callbacks.EarlyStopping(restore_best_weights=True)], said.append
    )
    observer.begin_phase(compiled(), "warm_up", 1, 3, 0)
    sentence = "resuming is exact but for Recorder, EarlyStopping: expected get_state() and set_state(dict) for that"
    assert (said, observer.exact) == ([sentence], False)
    assert KerasCallbacks([Counter(), stopping()]).exact


def test_another_list_of_callbacks_than_the_checkpoints_is_said():
    said = []
    observer = KerasCallbacks([Counter()], said.append)
    observer.begin_phase(compiled(), "warm_up", 1, 3, 0)
    observer.restore({"stop": False, "epoch": 0, "callbacks": {"EarlyStopping": {}}})
    assert said == [
        "Counter was not in the checkpoint: it begins anew here",
        "EarlyStopping of the checkpoint is not in this training: its state is dropped",
    ]


@pytest.mark.parametrize(
    ("state", "found"),
    [
        ({"best": np.float32(1)}, "found one that is not (Object of type float32 is not JSON serializable)"),
        ([1], "found list"),
    ],
)
def test_a_state_that_no_checkpoint_can_hold_is_one_sentence_before_the_first_step(state, found):
    callback = Counter()
    callback.get_state = lambda: state
    with pytest.raises(FacetError) as error:
        KerasCallbacks([callback]).begin_phase(compiled(), "warm_up", 1, 3, 0)
    assert str(error.value) == f"callback Counter: expected get_state() to give a dict of JSON's values, {found}"


@pytest.mark.parametrize(
    ("callback", "sentence"),
    [
        (len, "callbacks: expected instances of keras.callbacks.Callback, found <built-in function len>"),
        (
            keras.callbacks.BackupAndRestore("folder"),
            "callbacks: BackupAndRestore would undo what Facet restores itself, expected none",
        ),
    ],
)
def test_what_cannot_be_called_back_is_one_sentence(callback, sentence):
    with pytest.raises(FacetError) as error:
        KerasCallbacks([callback])
    assert str(error.value) == sentence
