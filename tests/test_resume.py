"""Kind of setting after kind of setting: a run that is killed in the middle ends as the unbroken one."""

import json
import shutil
import signal
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np
import pytest
from run_remains import contents, differing, remains
from training_kills import End, Job, Life, Trainings

#: A network of two convolutions: what is resumed is the same as with a large one.
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
    "trainable_layers": "5",
    "fine_tuning_from": "last",
    "checkpoint_every": 1,
    "checkpoint_every_steps": 3,
    "checkpoint_every_minutes": 0,
    "keep": "all",
}
#: Seven steps an epoch: in the middle of fine-tuning's first one, one step after its checkpoint.
MIDDLE = End("end_step fine_tuning 1 3")


@pytest.fixture(scope="module")
def data(packed):
    return packed("agegender", count=180)


@pytest.fixture(scope="module")
def trainings():
    with Trainings() as process:
        yield process


@dataclass(frozen=True)
class Unbroken:
    job: Job
    life: Life
    remains: dict

    @property
    def folder(self):
        return Path(self.job.history) / self.job.run


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory, data, trainings):
    """Gives the unbroken run of some settings, made once."""
    runs = {}

    def get(**sets):
        if repr(sets) not in runs:
            place = tmp_path_factory.mktemp("unbroken")
            job = Job(str(place), str(data), "run", str(place / "log"), COMMON | sets)
            life = trainings.live(job)
            assert life.status == 0, life.lines[-30:]
            runs[repr(sets)] = Unbroken(job, life, remains(place / "run"))
        return runs[repr(sets)]

    return get


@pytest.fixture
def again(tmp_path, trainings):
    """Lives a run of the same settings, a life for each end and one to its very end: gives the folder and the lives."""

    def live(run, *ends, **changes):
        job = replace(run.job, history=str(tmp_path), log=str(tmp_path / "log"), **changes)
        lives = [trainings.live(replace(job, end=end)) for end in (*ends, End())]
        assert [life.status for life in lives] == [*(_status(end) for end in ends), 0], lives[-1].lines[-30:]
        return tmp_path / "run", lives

    return live


def _status(end):
    return -end.signal if end.signal == signal.SIGKILL else 128 + end.signal


@pytest.mark.parametrize(
    "sets",
    [
        {"optimizer": "adam"},
        pytest.param({"optimizer": "adamax"}, marks=pytest.mark.long),
        {"optimizer": "rmsprop"},
        pytest.param({"optimizer": "sgd"}, marks=pytest.mark.long),
        {"schedule": "plateau:1:0.5", "learning_rate_warm_up": 0.5},
        {"schedule": "step:1:0.5", "warm_up_schedule": "cosine"},
        {"fine_tuning_from": "best", "class_weights": "balanced"},
        {"warm_up_epochs": 0},
        {"gradient_accumulation": 2, "label": "gender,age", "gradient_clipping": 0.5},
        {"precision": "mixed_bfloat16", "weight_decay": 0.01},
    ],
    ids=lambda sets: " ".join(f"{name}={value}" for name, value in sets.items()),
)
def test_a_killed_run_ends_as_the_unbroken_one(unbroken, again, sets):
    run = unbroken(**sets)
    folder, lives = again(run, MIDDLE)
    assert lives[-1].began == "fine_tuning-epoch-0001-step-000003.keras"
    assert differing(remains(folder), run.remains) == []


def test_a_run_without_fine_tuning_does_too(unbroken, again):
    run = unbroken(fine_tuning_epochs=0)
    folder, _lives = again(run, End("end_step warm_up 2 4"))
    assert differing(remains(folder), run.remains) == []


def test_a_warm_up_that_stopped_early_stays_stopped(unbroken, again):
    run = unbroken(warm_up_early_stopping=1, warm_up_learning_rate=1e-9, warm_up_epochs=5)
    assert [row["epoch"] for row in run.remains["rows"] if row["phase"] == "warm_up"] == [0, 1, 2]
    folder, _lives = again(run, End("begin_phase fine_tuning 0"), End("begin_step fine_tuning 1 2"))
    assert differing(remains(folder), run.remains) == []


@pytest.mark.parametrize(
    "ends",
    [
        [End("begin_step warm_up 1 0")],
        [End("end_step fine_tuning 2 6")],
        [End("complete")],
        [End("end_step warm_up 2 3"), End("end_step warm_up 2 5")],
        [End("end_step warm_up 2 3", signal=signal.SIGTERM)],
        [End("validate warm_up 0 0", signal=signal.SIGTERM), End("validate fine_tuning 1 0", signal=signal.SIGTERM)],
        [End("end_step warm_up 1 1", signal=signal.SIGINT), End("begin_step warm_up 1 2")],
    ],
    ids=["step 0", "last step", "behind the end", "twice in an epoch", "SIGTERM", "validation SIGTERM", "SIGINT"],
)
def test_wherever_it_ends_it_goes_on(unbroken, again, ends):
    run = unbroken(optimizer="adam")
    folder, _lives = again(run, *ends)
    found = remains(folder)
    kept = [file for file in found["files"] if file not in run.remains["files"]]
    assert differing(found | {"files": []}, run.remains | {"files": []}) == []
    stopped = [end for end in ends if end.signal != signal.SIGKILL]
    assert len(kept) <= len(stopped)  # the checkpoint that held the place, since all are kept


def test_a_signal_ends_it_within_the_step_with_a_checkpoint_of_that_step(unbroken, again):
    _folder, lives = again(unbroken(optimizer="adam"), End("begin_step warm_up 2 3", signal=signal.SIGTERM))
    assert lives[0].told("end_step")[-1] == "warm_up 2 3"
    assert lives[1].began == "warm_up-epoch-0002-step-000004.keras"


def test_raised_epochs_end_as_the_longer_run(unbroken, again, trainings, tmp_path):
    longer, shorter = unbroken(fine_tuning_epochs=3), unbroken(optimizer="adam")
    folder, _lives = again(shorter, MIDDLE)
    job = replace(shorter.job, history=str(tmp_path), log=str(tmp_path / "log"), resume=True)
    life = trainings.live(replace(job, sets={"fine_tuning_epochs": 3}))
    assert (life.status, life.began) == (0, "fine_tuning-epoch-0002.keras")
    assert differing(remains(folder), longer.remains) == []


@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_a_damaged_newest_checkpoint_is_passed_over(unbroken, again, trainings, tmp_path, damage):
    run = unbroken(optimizer="adam")
    job = replace(run.job, history=str(tmp_path), log=str(tmp_path / "log"))
    assert trainings.live(replace(job, end=MIDDLE)).status == -9
    newest = tmp_path / "run/checkpoints/fine_tuning-epoch-0001-step-000003.keras"
    whole = newest.read_bytes()
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    newest.write_bytes(whole[:middle] if damage == "cut" else flipped)
    life = trainings.live(job)
    assert life.began == "warm_up-epoch-0002.keras"
    assert [text for text in life.told("said") if text.startswith(f"warning: passed over {newest}: damaged")]
    assert differing(remains(tmp_path / "run"), run.remains) == []


#: A first epoch that is better than the second, so that fine-tuning begins from it.
WORSE = {
    "fine_tuning_from": "best",
    "warm_up_learning_rate": 0.5,
    "warm_up_optimizer": "sgd",
    "checkpoint_every_steps": 0,
}


@pytest.mark.parametrize("keep", ["1", "2"])
def test_where_all_of_fine_tuning_is_damaged_it_begins_again_however_often_it_is_killed(unbroken, again, keep):
    run = unbroken(**WORSE, keep=keep)
    assert "starting from warm_up epoch 1, the best so far" in run.life.told("said")
    folder, _lives = again(run)
    for path in (folder / "checkpoints").glob("fine_tuning-*.keras"):
        path.write_bytes(path.read_bytes()[:1000])
    again_folder, lives = again(run, End("begin_step fine_tuning 1 0"), End("begin_step fine_tuning 1 1"))
    assert [life.began for life in lives] == ["warm_up-epoch-0002.keras"] * 3
    assert differing(remains(again_folder), run.remains) == []


def test_pointers_that_are_damaged_are_made_anew(unbroken, again):
    run = unbroken(**WORSE, keep="2")
    folder, _lives = again(run)
    (folder / "checkpoints" / "latest.json").write_text('{"checkpo')
    (folder / "checkpoints" / "best.json").write_text('{"x": 1}')
    folder, lives = again(run)
    assert lives[0].began == "fine_tuning-epoch-0002.keras"
    assert differing(remains(folder), run.remains) == []


@pytest.mark.parametrize("end", ["begin_phase fine_tuning 0", "end_step fine_tuning 1 3"])
def test_a_run_that_began_from_another_ends_as_the_unbroken_one(unbroken, trainings, tmp_path, end):
    first = unbroken(optimizer="adam")
    shutil.copytree(first.folder, tmp_path / "run")
    sets = {"warm_up_epochs": 1, "fine_tuning_epochs": 1, "trainable_layers": "0", "fine_tuning_from": "last"}
    job = replace(first.job, history=str(tmp_path), log=str(tmp_path / "log"), sets=sets)
    job = replace(job, start_from="run@fine_tuning-epoch-0002")
    assert trainings.live(replace(job, run="whole")).status == 0
    assert trainings.live(replace(job, run="killed", end=End(end))).status == -signal.SIGKILL
    assert trainings.live(replace(job, run="killed")).status == 0
    found, expected = (remains(tmp_path / name) for name in ("killed", "whole"))
    assert differing(found, expected) == []


def test_the_same_from_again_goes_on_when_its_source_is_gone(unbroken, trainings, tmp_path):
    first = unbroken(optimizer="adam")
    shutil.copytree(first.folder, tmp_path / "run")
    job = replace(
        first.job, history=str(tmp_path), log=str(tmp_path / "log"), run="next", start_from="run@best", sets={}
    )
    assert trainings.live(replace(job, end=MIDDLE)).status == -signal.SIGKILL
    shutil.rmtree(tmp_path / "run")
    life = trainings.live(job)
    assert (life.status, life.began) == (0, "fine_tuning-epoch-0001-step-000003.keras")


def test_other_weights_are_refused_at_a_resume(unbroken, again, trainings):
    folder, _lives = again(unbroken(optimizer="adam"))
    job = replace(
        unbroken(optimizer="adam").job, history=str(folder.parent), log=str(folder.parent / "log"), resume=True
    )
    life = trainings.live(replace(job, sets={"weights": "imagenet"}))
    assert life.status == 1
    assert life.told("said")[-1].startswith("weights_digest: run 'run' was trained with none, found imagenet;")


def test_epochs_behind_an_early_stop_are_refused(unbroken, again, trainings):
    run = unbroken(early_stopping=1, warm_up_epochs=0, fine_tuning_epochs=6, fine_tuning_learning_rate=1e-30)
    folder, _lives = again(run)
    folder, lives = again(run)
    assert any(text.endswith("epochs of fine_tuning, which early stopping ended") for text in lives[0].told("said"))
    job = replace(run.job, history=str(folder.parent), log=str(folder.parent / "log"), resume=True)
    life = trainings.live(replace(job, sets={"fine_tuning_epochs": 9}))
    assert life.status == 1
    assert "fine_tuning_epochs: early stopping has ended fine_tuning of run 'run'" in life.told("said")[-1]


def test_a_signal_before_the_first_step_is_heard_at_the_first_batch(unbroken, again):
    _folder, lives = again(unbroken(optimizer="adam"), End("begin_phase warm_up 0", signal=signal.SIGTERM))
    assert lives[0].told("end_step") == []
    assert lives[1].began == "warm_up-epoch-0000.keras"


def test_a_moved_data_file_is_gone_on_with(unbroken, trainings, tmp_path, data):
    run = unbroken(optimizer="adam")
    moved = tmp_path / "moved.h5"
    shutil.copy(data, moved)
    job = replace(run.job, history=str(tmp_path), log=str(tmp_path / "log"))
    assert trainings.live(replace(job, end=MIDDLE)).status == -9
    life = trainings.live(replace(job, data=str(moved), resume=True, sets={}))
    assert (life.status, life.began) == (0, "fine_tuning-epoch-0001-step-000003.keras")
    assert differing(remains(tmp_path / "run"), run.remains) == []


def test_another_data_file_is_refused(unbroken, trainings, tmp_path, packed):
    run = unbroken(optimizer="adam")
    job = replace(run.job, history=str(tmp_path), log=str(tmp_path / "log"))
    assert trainings.live(replace(job, end=MIDDLE)).status == -9
    life = trainings.live(replace(job, data=str(packed("agegender", count=120)), resume=True, sets={}))
    assert life.status == 1
    assert "images_digest: run 'run' was trained with" in life.told("said")[-1]


def test_batch_normalization_does_not_move(unbroken):
    run = unbroken(optimizer="adam")
    first, last = (
        keras.models.load_model(run.folder / "checkpoints" / name).get_layer("backbone")
        for name in ("warm_up-epoch-0001-step-000003.keras", "fine_tuning-epoch-0002.keras")
    )
    for name in ("bn", "depthwise_bn"):
        before, after = first.get_layer(name).get_weights(), last.get_layer(name).get_weights()
        assert len(before) == 4
        for old, new in zip(before, after, strict=True):
            np.testing.assert_array_equal(old, new)
    moved = first.get_layer("depthwise").get_weights()[0] != last.get_layer("depthwise").get_weights()[0]
    assert moved.all()  # what lies between them trains
    fixed = first.get_layer("conv").get_weights()[0] == last.get_layer("conv").get_weights()[0]
    assert fixed.all()


def test_the_harness_names_what_differs(unbroken):
    run, other = unbroken(optimizer="adam"), unbroken(optimizer="sgd")
    names = [line.split(":")[0] for line in differing(other.remains, run.remains)]
    assert "latest checkpoint/variables/optimizer/vars/2" in names
    assert [name for name in names if name.startswith("latest checkpoint/variables/layers/")]
    assert json.dumps(contents(run.folder / "checkpoints" / "fine_tuning-epoch-0002.keras")["state"])
