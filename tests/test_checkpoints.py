import json
import zipfile

import keras
import numpy as np
import pytest
from small_models import images, small_model, values_of

from hdf5_helper.errors import FacetError
from models.model_file import load_model_file
from models.training.checkpoints import checkpoint_name, load_checkpoint, save_checkpoint, variables_digest
from models.training.keeper import CheckpointKeeper
from models.training.phase import WARM_UP, Phase
from models.training.phases import begin
from models.training.runs import Run
from models.training.state import Best, TrainingState

SURROUNDINGS = {"tensorflow": "2.21"}


@pytest.fixture(scope="module")
def model():
    built, described = small_model()
    begin(built, Phase(WARM_UP, 3, 0.01, "adam"))
    for variable in built.optimizer.variables:
        variable.assign(np.full(variable.shape, 3).astype(variable.numpy().dtype))
    return built, described


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("FACET_HISTORY", str(tmp_path / "history"))
    made = Run("some")
    made.create()
    made.config.write_text("")
    return made


def state(epoch=2, value=0.5):
    rows = [{"phase": WARM_UP, "epoch": epoch, "step": 7, "loss": 0.25, "val_loss": value}]
    best = Best(value, WARM_UP, epoch, checkpoint_name(WARM_UP, epoch))
    return TrainingState(WARM_UP, epoch, 3, {"loss": [1.5, 3.0]}, 12.5, rows, best, 17)


def test_names_count_epochs_from_one_and_say_the_step_within_one():
    assert checkpoint_name("warm_up", 2) == "warm_up-epoch-0002.keras"
    assert checkpoint_name("fine_tuning", 2, 300) == "fine_tuning-epoch-0003-step-000300.keras"


def test_a_checkpoint_gives_back_weights_optimizer_state_and_surroundings(model, tmp_path):
    save_checkpoint(tmp_path / "a.keras", *model, state(), SURROUNDINGS)
    found = load_checkpoint(tmp_path / "a.keras")
    assert variables_digest(found.model) == variables_digest(model[0])
    assert [v.numpy().tolist() for v in found.model.optimizer.variables] == [
        v.numpy().tolist() for v in model[0].optimizer.variables
    ]
    assert (found.state, found.surroundings) == (state(), SURROUNDINGS)
    assert [p.name for p in tmp_path.iterdir()] == ["a.keras"]


def test_plain_keras_opens_a_checkpoint_and_predicts_the_same(model, tmp_path):
    save_checkpoint(tmp_path / "a.keras", *model, state(), SURROUNDINGS)
    plain = keras.models.load_model(tmp_path / "a.keras")
    assert type(plain.optimizer).__name__ == "Adam"
    expected = values_of(*model, images())["gender"]
    assert np.array_equal(plain.predict(images().astype(np.float32), verbose=0), expected)


def test_the_description_travels_in_the_file(model, tmp_path):
    save_checkpoint(tmp_path / "a.keras", *model, state(), SURROUNDINGS)
    assert load_model_file(tmp_path / "a.keras")[1] == model[1]


@pytest.mark.parametrize("cut", [0, 100, -300])
def test_a_truncated_checkpoint_is_one_sentence(model, tmp_path, cut):
    path = tmp_path / "a.keras"
    save_checkpoint(path, *model, state(), SURROUNDINGS)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(FacetError, match=r"a\.keras: damaged, or not a checkpoint that Facet wrote"):
        load_checkpoint(path)


def test_variables_that_are_not_the_saved_ones_are_noticed(model, tmp_path):
    path = tmp_path / "a.keras"
    save_checkpoint(path, *model, state(), SURROUNDINGS)
    changed = tmp_path / "b.keras"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(changed, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name == "facet/state.json":
                data = json.dumps(json.loads(data) | {"variables_digest": "0"}).encode()
            new.writestr(name, data)
    with pytest.raises(FacetError, match="its variables are not the ones that were saved"):
        load_checkpoint(changed)


def test_a_failed_save_is_one_sentence_and_leaves_the_earlier_file(model, tmp_path):
    path = tmp_path / "a.keras"
    path.write_text("earlier")
    broken = state()
    broken.rows = [{"phase": object()}]
    with pytest.raises(TypeError):
        save_checkpoint(path, *model, broken, SURROUNDINGS)
    with pytest.raises(FacetError, match="the checkpoint could not be written"):
        save_checkpoint(tmp_path / "missing" / "a.keras", *model, state(), SURROUNDINGS)
    assert (path.read_text(), [p.name for p in tmp_path.iterdir()]) == ("earlier", ["a.keras"])


def files(run):
    return sorted(path.name for path in run.checkpoints.iterdir())


def keeper(run, model, **options):
    return CheckpointKeeper(run, model[1], SURROUNDINGS, "val_loss", **options)


def finished(epoch, losses, best=None):
    rows = [
        {"phase": WARM_UP, "epoch": n, "step": 1, "loss": 1.0, "val_loss": loss} for n, loss in enumerate(losses, 1)
    ]
    return TrainingState(WARM_UP, epoch, rows=rows[:epoch], best=best)


def test_the_newest_two_and_the_best_stay(model, run):
    keep, place = keeper(run, model, every_epochs=1), None
    losses = [3.0, 1.0, 2.0, 2.0, 2.0]
    for epoch in range(1, 6):
        place = finished(epoch, losses, place.best if place else None)
        keep.end_epoch(model[0], place, last=False)
    names = [f"warm_up-epoch-000{n}.keras" for n in (2, 4, 5)]
    assert files(run) == ["best.json", "latest.json", *names]
    assert (run.pointed("latest"), run.pointed("best")) == (names[2], names[0])
    assert run.best() == Best(1.0, WARM_UP, 2, names[0])


def test_the_best_is_saved_at_its_own_epoch_whatever_the_interval(model, run):
    keep = keeper(run, model, every_epochs=10)
    first = finished(1, [2.0, 3.0])
    keep.end_epoch(model[0], first, last=False)
    keep.end_epoch(model[0], finished(2, [2.0, 3.0], first.best), last=False)
    assert run.pointed("latest") == run.pointed("best") == "warm_up-epoch-0001.keras"


def test_of_two_equal_epochs_the_earlier_is_best(model, run):
    keep = keeper(run, model, every_epochs=1)
    first = finished(1, [2.0, 2.0])
    keep.end_epoch(model[0], first, last=False)
    keep.end_epoch(model[0], finished(2, [2.0, 2.0], first.best), last=True)
    assert run.pointed("best") == "warm_up-epoch-0001.keras"


def test_the_last_of_a_finished_phase_stays(model, run):
    keep = keeper(run, model, every_epochs=1, keep="1")
    first = finished(1, [2.0, 1.0])
    keep.end_epoch(model[0], first, last=True)
    rows = [*first.rows, *({"phase": "fine_tuning", "epoch": n, "step": 1, "val_loss": 1.0 / n} for n in (1, 2))]
    for epoch in (1, 2):
        place = TrainingState("fine_tuning", epoch, rows=rows[: epoch + 1], best=first.best)
        keep.end_epoch(model[0], place, last=False)
    assert [name for name in files(run) if name.endswith(".keras")] == [
        "fine_tuning-epoch-0002.keras",
        "warm_up-epoch-0001.keras",
    ]


def test_minutes_and_steps_ask_for_checkpoints_within_an_epoch(model, run):
    place = TrainingState(WARM_UP, optimizer_steps=6)
    assert keeper(run, model, every_steps=3).due_after_step(place)
    assert not keeper(run, model, every_steps=4).due_after_step(place)
    assert keeper(run, model, every_minutes=1e-9).due_after_step(place)


def test_epochs_and_curves_are_shown(model, run):
    keeper(run, model).show(finished(2, [2.0, 1.0]))
    assert (run.folder / "epochs.csv").read_text() == (
        "phase,epoch,step,learning_rate,loss,val_loss,seconds,images_per_second\nwarm_up,1,1,,1,2,,\nwarm_up,2,1,,1,1,,\n"
    )
    assert (run.folder / "curves.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("which", "sentence"),
    [
        ("best", "run 'some': has no best checkpoint, none yet"),
        ("lst", "checkpoint 'lst' of run 'some': expected one of best, last (did you mean 'last'?)"),
    ],
)
def test_a_checkpoint_that_is_not_there_is_one_sentence(run, which, sentence):
    with pytest.raises(FacetError) as error:
        run.checkpoint(which)
    assert str(error.value) == sentence


def test_an_unknown_run_is_one_sentence_with_the_nearest_name(run):
    with pytest.raises(FacetError) as error:
        Run.open("sme")
    assert str(error.value).endswith("expected one of some (did you mean 'some'?)")


@pytest.mark.parametrize("name", ["", "../up", "-x", "a b", ".hidden", "a//b", "/root"])
def test_a_name_that_could_leave_the_history_folder_is_refused(run, name):
    with pytest.raises(FacetError, match="run name"):
        Run(name)


def test_a_second_training_on_one_run_is_refused(run):
    with run.locked(), pytest.raises(FacetError) as error, Run("some").locked():
        pass
    assert str(error.value) == "run 'some': another process is training it now"
    with Run("some").locked():
        pass
