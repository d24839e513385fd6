import pytest

from hdf5_helper.wording import own_names
from models.training.observers import Observer, Observers, figures_of


class Counter(Observer):
    """Counts steps, and keeps what it was told."""

    name = "counter"

    def __init__(self, stop=False, exact=True):
        self.stop, self.exact, self.steps, self.calls = stop, exact, 0, []

    def begin_phase(self, model, phase, epochs, steps, epoch):
        self.calls.append(("begin_phase", model, phase, epochs, steps, epoch))

    def begin_epoch(self, epoch):
        self.calls.append(("begin_epoch", epoch))

    def begin_step(self, step):
        self.calls.append(("begin_step", step))

    def end_step(self, step, figures):
        self.calls.append(("end_step", step, figures))
        self.steps += 1

    def end_epoch(self, row):
        self.calls.append(("end_epoch", row))

    def end(self):
        self.calls.append(("end",))

    def state(self):
        return {"steps": self.steps}

    def restore(self, state):
        self.steps = state["steps"]


class Unclosable(Counter):
    def end(self):
        super().end()
        raise OSError("disk is gone")


def test_each_observer_sees_every_call_in_order():
    both = Counter(), Counter()
    every = Observers(both)
    every.begin_phase("model", "warm_up", 1, 1, 0)
    every.begin_epoch(1)
    every.begin_step(0)
    every.end_step(0, {"loss": 1.0})
    every.end_epoch({"epoch": 1})
    every.end()
    seen = [
        ("begin_phase", "model", "warm_up", 1, 1, 0),
        ("begin_epoch", 1),
        ("begin_step", 0),
        ("end_step", 0, {"loss": 1.0}),
        ("end_epoch", {"epoch": 1}),
        ("end",),
    ]
    assert [observer.calls for observer in both] == [seen, seen]


def test_one_observer_that_asks_for_an_end_is_enough():
    assert not Observers([Counter(), Counter()]).stop
    assert Observers([Counter(), Counter(stop=True)]).stop


def test_one_observer_that_forgets_makes_a_resume_inexact():
    assert Observers([Counter(), Counter()]).exact
    assert not Observers([Counter(), Counter(exact=False)]).exact


def test_states_of_one_name_are_told_apart_by_number():
    one, two = Counter(), Counter()
    one.end_step(0, {})
    state = Observers([one, two]).state()
    assert state == {"counter": {"steps": 1}, "counter_2": {"steps": 0}}
    again = Counter(), Counter()
    Observers(again).restore(state)
    assert [observer.steps for observer in again] == [1, 0]


def test_a_state_without_an_observer_and_an_observer_without_a_state_are_said_once_each():
    said = []
    Observers([Counter()], said.append).restore({"mlflow": {"epochs": 3}})
    assert said == [
        "counter was not in the checkpoint: it begins anew here",
        "mlflow of the checkpoint is not in this training: its state is dropped",
    ]


def test_the_later_ones_end_too_where_an_earlier_one_fails():
    last = Counter()
    with pytest.raises(OSError, match="disk is gone"):
        Observers([Unclosable(), last]).end()
    assert last.calls == [("end",)]


def test_an_observer_that_overrides_nothing_does_nothing():
    observer = Observer()
    observer.begin_phase(None, "warm_up", 1, 1, 0)
    observer.end_epoch({"epoch": 0})
    assert (observer.state(), observer.stop, observer.exact) == ({}, False, True)


def test_names_that_come_again_are_numbered_past_those_that_are_taken():
    assert own_names(["a", "a", "a_2", "a"], "_") == ["a", "a_2", "a_2_2", "a_3"]


def test_the_figures_of_a_row_are_its_losses_and_metrics():
    row = {"phase": "warm_up", "epoch": 1, "step": 4, "learning_rate": 0.1, "loss": 1.0, "val_loss": 2.0, "seconds": 3}
    assert figures_of(row) == {"loss": 1.0, "val_loss": 2.0}
