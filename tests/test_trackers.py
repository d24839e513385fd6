import contextlib
import itertools

import pytest
import tensorflow as tf

from models.training.stopping import Stopped
from models.training.tensorboard import TensorBoard
from models.training.trackers import Tracking


class Notes:
    """A tracker that writes down what it takes."""

    def __init__(self):
        self.calls = []

    def begin(self, run, settings):
        self.calls.append(("begin", run, settings))

    def log(self, row):
        self.calls.append(("log", row["total_epochs"], row["loss"]))

    def end(self, status):
        self.calls.append(("end", status))


class Broken(Notes):
    def log(self, row):
        super().log(row)
        raise ConnectionError("the server\nis away")


def row(phase, epoch, loss=1.0):
    figures = {"val_loss": loss / 2} if epoch == 0 else {"loss": loss, "val_loss": loss / 2, "learning_rate": 0.125}
    return {"phase": phase, "epoch": epoch, "step": 0, **figures}


def tracked(tracker, rows, said=None):
    tracking = Tracking(tracker, "a-run", {"seed": 3}, (said if said is not None else []).append)
    for values in rows:
        tracking.end_epoch(values)
    return tracking


ROWS = [row("warm_up", 1, 4.0), row("warm_up", 2, 3.0), row("fine_tuning", 1, 2.0)]


def test_a_tracker_sees_the_run_its_epochs_over_both_phases_and_how_it_ended():
    notes = Notes()
    tracked(notes, ROWS).end()
    begun = ("begin", "a-run", {"seed": 3})
    assert notes.calls == [begun, ("log", 1, 4.0), ("log", 2, 3.0), ("log", 3, 2.0), ("end", "complete")]


def test_epochs_are_counted_on_after_a_resume():
    notes = Notes()
    tracking = Tracking(notes, "a-run", {})
    tracking.catch_up(ROWS[:2])
    tracking.begin_epoch(1)
    tracking.end_epoch(ROWS[2])
    assert notes.calls == [("begin", "a-run", {}), ("log", 3, 2.0)]


@pytest.mark.parametrize(("error", "status"), [(Stopped(15, "stopped"), "stopped"), (ValueError(), "failed")])
def test_how_a_training_ended_follows_from_what_was_raised(error, status):
    notes = Notes()
    tracking = tracked(notes, ROWS[:1])
    with contextlib.suppress(type(error)), contextlib.ExitStack() as stack:
        stack.callback(tracking.end)
        raise error
    assert notes.calls[-1] == ("end", status)


def test_a_training_inside_an_error_handler_of_others_is_complete():
    notes = Notes()
    try:
        {}["key"]
    except KeyError:
        tracked(notes, ROWS).end()
    assert notes.calls[-1] == ("end", "complete")


def test_a_tracker_that_fails_is_warned_of_once_and_left_alone():
    broken, said = Broken(), []
    tracked(broken, ROWS, said).end()
    assert broken.calls[1:] == [("log", 1, 4.0)]
    assert said == [
        "warning: Broken failed in log (ConnectionError: the server is away), the training goes on without it"
    ]


def scalars(folder):
    """Reads event files with TensorFlow alone: {tag: [(step, value), …]} in the order of the files."""
    points = {}
    for path in sorted(folder.glob("events.out.tfevents.*")):
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            event = tf.compat.v1.Event.FromString(record)
            for value in event.summary.value:
                points.setdefault(value.tag, []).append((event.step, value.simple_value))
    return points


def test_tensorboard_draws_training_and_validation_under_one_name(tmp_path):
    tracked(TensorBoard(tmp_path), [row("warm_up", 0, 5.0), *ROWS]).end()
    rate = [(1, 0.125), (2, 0.125), (3, 0.125)]
    assert scalars(tmp_path / "train") == {"loss": [(1, 4.0), (2, 3.0), (3, 2.0)], "learning_rate": rate}
    assert scalars(tmp_path / "validation") == {"loss": [(0, 2.5), (1, 2.0), (2, 1.5), (3, 1.0)]}


def test_each_epoch_is_on_the_disk_when_it_is_over(tmp_path):
    tracked(TensorBoard(tmp_path), ROWS[:1])
    assert scalars(tmp_path / "train")["loss"] == [(1, 4.0)]


@pytest.mark.parametrize(("saved", "written"), itertools.combinations_with_replacement(range(4), 2))
def test_a_resumed_run_has_every_epoch_once_in_one_file(tmp_path, saved, written):
    tracked(TensorBoard(tmp_path), ROWS[:written])  # killed: the epochs behind `saved` come again
    again = Tracking(TensorBoard(tmp_path), "a-run", {})
    again.catch_up(ROWS[:saved])
    for values in ROWS[saved:]:
        again.end_epoch(values)
    again.end()
    assert scalars(tmp_path / "train")["loss"] == [(1, 4.0), (2, 3.0), (3, 2.0)]
    assert len(list((tmp_path / "train").iterdir())) == 1


def test_a_file_that_a_kill_cut_short_is_gone_on_with(tmp_path):
    tracked(TensorBoard(tmp_path), ROWS[:2])
    [path] = (tmp_path / "train").iterdir()
    path.write_bytes(path.read_bytes()[:-3])
    again = Tracking(TensorBoard(tmp_path), "a-run", {})
    again.catch_up(ROWS[:1])
    for values in ROWS[1:]:
        again.end_epoch(values)
    assert scalars(tmp_path / "train")["loss"] == [(1, 4.0), (2, 3.0), (3, 2.0)]


def test_events_of_other_programs_in_the_folder_stay(tmp_path):
    other = tmp_path / "train" / "events.out.tfevents.1.machine.v2"
    other.parent.mkdir()
    other.write_bytes(b"")
    tracked(TensorBoard(tmp_path), ROWS[:1]).end()
    assert other.exists()
