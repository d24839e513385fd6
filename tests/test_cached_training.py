"""A training on kept activations ends with every bit of one that computes them in each epoch."""

import signal
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from run_remains import differing, remains
from training_kills import End, Job, Trainings

COMMON = {
    "backbone": "narrow",
    "weights": "none",
    "label": "gender",
    "image_size": "64",
    "batch_size": 16,
    "units": [8],
    "dropout": 0.4,
    "warm_up_epochs": 2,
    "fine_tuning_epochs": 2,
    "trainable_layers": "3",
    "checkpoint_every": 1,
}
#: Both views of a mirrored image: kept because it is asked for, however little it saves.
KEPT = {"cache_views": "2"}


@pytest.fixture(scope="module")
def data(packed):
    return packed("agegender", count=180)


@pytest.fixture(scope="module")
def trainings():
    with Trainings() as process:
        yield process


@pytest.fixture
def train(tmp_path, data, trainings):
    """Trains a run in the test's folder: gives its remains, and what it said."""

    def live(run, end=None, status=0, limit=None, **sets):
        job = Job(str(tmp_path), str(data), run, str(tmp_path / f"{run}.log"), COMMON | sets, cache_limit=limit)
        life = trainings.live(replace(job, end=end or End()))
        assert life.status == status, life.lines[-30:]
        return (remains(tmp_path / run) if not status else None), life.told("said")

    return live


def files_of(folder: Path) -> list[Path]:
    return sorted((folder / ".cache" / "activations").glob("*.h5"))


def stored_rows(folder: Path) -> int:
    found = 0
    for path in files_of(folder):
        with h5py.File(path) as file:
            found += int((file["checksum"][:] != 0).sum())
    return found


def keeps(told: list[str]) -> bool:
    return any(text.startswith("keeps activations: ") for text in told)


@pytest.mark.parametrize(
    "sets",
    [
        {},
        {"class_weights": "balanced", "fine_tuning_from": "last", "label": "gender,age"},
        pytest.param({"gradient_accumulation": 2}, marks=pytest.mark.long),
        {"precision": "mixed_bfloat16"},
        {"fine_tuning_epochs": 0, "augment": "none"},
        pytest.param({"warm_up_epochs": 0, "pooling": "flatten"}, marks=pytest.mark.long),
        pytest.param({"normalization": "layer"}, marks=pytest.mark.long),
        pytest.param({"crop": "48"}, marks=pytest.mark.long),
        pytest.param(
            {"backbone": "mobilenet", "backbone_arguments": {"alpha": 0.25}, "trainable_layers": "20"},
            marks=pytest.mark.long,
        ),
        pytest.param(
            {
                "backbone": "mobilenet",
                "backbone_arguments": {"alpha": 0.25},
                "trainable_layers": "20",
                "precision": "mixed_bfloat16",
            },
            marks=pytest.mark.long,
        ),
    ],
    ids=lambda sets: " ".join(f"{name}={value}" for name, value in sets.items()) or "built-in",
)
def test_a_run_on_kept_activations_has_every_bit_of_a_live_one(train, tmp_path, sets):
    live, told_live = train("live", cache_views="off", **sets)
    kept, told = train("kept", **KEPT, **sets)
    assert (keeps(told_live), keeps(told)) == (False, True)
    assert stored_rows(tmp_path) > 0
    assert differing(kept, live) == []


def test_nothing_is_kept_unasked_where_it_saves_a_few_seconds(train, tmp_path):
    _kept, told = train("short")
    assert (keeps(told), files_of(tmp_path)) == (False, [])


def test_a_run_that_is_killed_while_it_fills_goes_on_with_what_is_kept(train, tmp_path):
    live, _told = train("live", cache_views="off")
    train("kept", End("end_step warm_up 1 3"), -signal.SIGKILL, **KEPT)
    filled = stored_rows(tmp_path)
    train("kept", End("end_step fine_tuning 1 2"), -signal.SIGKILL, **KEPT)
    kept, _told = train("kept", **KEPT)
    assert 0 < filled < stored_rows(tmp_path)
    assert differing(kept, live) == []


def test_a_second_run_computes_no_row_again(train, tmp_path):
    first, _told = train("first", **KEPT)
    before = {path: path.read_bytes() for path in files_of(tmp_path)}
    second, _told = train("second", **KEPT)
    assert {path: path.read_bytes() for path in files_of(tmp_path)} == before
    assert differing(second, first) == []


def test_damaged_rows_are_said_and_computed_again(train, tmp_path):
    first, _told = train("first", **KEPT)
    for path in files_of(tmp_path):
        with h5py.File(path, "r+") as file:
            rows = np.flatnonzero(file["checksum"][:])
            file["activations"][rows[0]] = file["activations"][rows[0]] + 1
    second, told = train("second", **KEPT)
    assert sum("is damaged and computed again" in text for text in told) == len(files_of(tmp_path))
    assert differing(second, first) == []


def test_drawn_views_are_the_same_kept_and_live(train, tmp_path):
    asked = {"augment": "mirror,rotation=10", "cache_views": "3"}
    kept, told = train("kept", **asked)
    live, told_live = train("live", limit=1000, **asked)
    assert (keeps(told), keeps(told_live)) == (True, False)
    assert any(text.startswith("keeps no activations: ") and "more than the limit" in text for text in told_live)
    assert differing(live, kept) == []


def test_a_rounded_run_is_near_the_exact_one(train):
    exact, _told = train("exact", **KEPT)
    rounded, _told = train("rounded", **KEPT, cache_dtype="float16")
    assert differing(rounded, exact) != []
    ours, theirs = (found["rows"][-1]["val_loss"] for found in (rounded, exact))
    assert ours == pytest.approx(theirs, rel=2**-8)
