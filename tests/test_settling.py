import shutil
from pathlib import Path

import pytest
from small_models import small_model

from hdf5_helper.errors import FacetError
from models.interface.settling import RunOptions, TrainRequest, settle
from models.training.checkpoints import checkpoint_name, save_checkpoint
from models.training.phase import FINE_TUNING, WARM_UP, Phase
from models.training.phases import begin
from models.training.runs import Run
from models.training.settings_file import load_settings, to_yaml
from models.training.starting import start_checkpoint
from models.training.state import TrainingState
from models.weights import WeightsFile

BUILT = {"label": ("gender",), "backbone": "vgg19", "weights": "none"}
SHORT = {"warm_up_epochs": 2, "fine_tuning_epochs": 3, "units": (16,)}
TUNED = "afad@fine_tuning-epoch-0002"


@pytest.fixture(scope="module")
def file(packed):
    return packed("agegender", count=60)


@pytest.fixture(scope="module")
def history(tmp_path_factory, file):
    """The run `afad` with a checkpoint of each phase, the best one in fine-tuning."""
    folder = tmp_path_factory.mktemp("history")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACET_HISTORY", str(folder))
        request = TrainRequest(file, run="afad", given=BUILT | {"dropout": 0.1}, sets=SHORT | {"schedule": "cosine"})
        write_run(settle(request))
    return folder


@pytest.fixture(autouse=True)
def own_history(history, tmp_path, monkeypatch):
    shutil.copytree(history, tmp_path / "history")
    monkeypatch.setenv("FACET_HISTORY", str(tmp_path / "history"))


def write_run(settled):
    run = settled.run
    run.create()
    run.config.write_text(to_yaml(settled.settings, settled.origins))
    model, description = small_model()
    for phase, epoch in ((WARM_UP, 2), (FINE_TUNING, 2), (FINE_TUNING, 3)):
        begin(model, Phase(phase, 3, 0.01, "adam"))
        name = checkpoint_name(phase, epoch)
        save_checkpoint(run.checkpoints / name, model, description, TrainingState(phase, epoch), {})
        run.point("latest", name)
    run.point("best", checkpoint_name(FINE_TUNING, 2), value=0.5, phase=FINE_TUNING, epoch=2)


def refusal(**request):
    with pytest.raises(FacetError) as error:
        settle(TrainRequest(**request))
    return str(error.value)


def again(start=TUNED, **given):
    return TrainRequest(run="again", start_from=start, given=given)


def test_a_run_from_a_checkpoint_has_the_settings_of_its_run_but_for_what_is_given(file):
    settled = settle(again(fine_tuning_learning_rate=1e-5))
    settings, source = settled.settings, load_settings(Run("afad").config)
    path = Run("afad").checkpoints / "fine_tuning-epoch-0002.keras"
    assert source.differences(settings) == [
        "start_digest: , not " + WeightsFile(path).digest(),
        "warm_up_epochs: 2, not 0",
        "fine_tuning_learning_rate: 0.0001, not 1e-05",
    ]
    assert (settings.start, settings.data) == (TUNED, str(file))
    origins = ("warm_up_epochs", "dropout", "fine_tuning_learning_rate", "images_digest")
    assert [settled.origins[name] for name in origins] == ["run afad", "run afad", "option", "the HDF5 file"]


def test_set_beats_the_run_that_is_started_from():
    settled = settle(TrainRequest(run="again", start_from="afad", sets={"schedule": "constant", "warm_up_epochs": 1}))
    warm_up, fine_tuning = settled.settings.warm_up, settled.settings.fine_tuning
    assert (warm_up.schedule, fine_tuning.schedule, warm_up.epochs) == ("constant", "constant", 1)


def test_a_checkpoint_of_warm_up_keeps_the_warm_up():
    assert settle(again("afad@warm_up-epoch-0002")).settings.warm_up.epochs == 2


@pytest.mark.parametrize(
    ("which", "name"), [("afad", "0002"), ("afad@best", "0002"), ("afad@last", "0003"), (TUNED + ".keras", "0002")]
)
def test_the_start_is_remembered_by_the_name_of_its_file(which, name):
    assert settle(again(which)).settings.start == f"afad@fine_tuning-epoch-{name}"


def test_the_start_is_found_again_and_must_be_the_same_file():
    settings = settle(again()).settings
    path = Run("afad").checkpoints / "fine_tuning-epoch-0002.keras"
    assert start_checkpoint(settings) == path
    shutil.copy(path.with_name("fine_tuning-epoch-0003.keras"), path)
    with pytest.raises(FacetError, match="has changed since the run began from it, expected digest "):
        start_checkpoint(settings)


def test_the_weights_file_that_the_earlier_run_began_with_may_be_gone(tmp_path, monkeypatch):
    run, gone = Run("afad"), tmp_path / "gone.weights.h5"
    run.config.write_text(run.config.read_text().replace("\nweights: none", f"\nweights: {gone}"))
    monkeypatch.chdir(tmp_path)
    found = [settle(request).settings for request in (again(), again(weights="gone.weights.h5"))]
    assert [(settings.weights, settings.weights_digest) for settings in found] == [(str(gone), "none")] * 2


def test_the_same_command_again_goes_on_with_the_run():
    write_run(settle(again()))
    assert settle(again()).resumed
    assert settle(TrainRequest(resume="again")).settings.start == TUNED


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        ({"start_from": "afadd"}, "run 'afadd': not in {history}, expected one of afad (did you mean 'afad'?)"),
        (
            {"start_from": "afad@fine_tuning-epoch-0009"},
            "checkpoint 'fine_tuning-epoch-0009' of run 'afad': expected one of best, fine_tuning-epoch-0002, ",
        ),
        (
            {"start_from": "afad@/etc/hostname"},
            "--from afad@/etc/hostname: expected best, last or the name of a checkpoint of this run",
        ),
        (
            {"start_from": "afad", "resume": "afad"},
            "--from and --resume: both given, expected one of them; a resume starts from its own run",
        ),
        (
            {"start_from": "afad", "run": "afad"},
            "--run afad: is the run that --from names, expected another name for the new one",
        ),
        (
            {"start_from": "afad", "given": {"backbone": "mobilenet"}},
            "backbone: the checkpoint of run 'afad' was made with vgg19, found mobilenet; expected the same",
        ),
        (
            {"start_from": "afad", "sets": {"units": [8]}},
            "units: the checkpoint of run 'afad' was made with (16,), found (8,); expected the same",
        ),
        (
            {"start_from": "afad", "given": {"weights": "imagenet"}},
            "weights: the checkpoint of run 'afad' was made with none, found imagenet; expected the same",
        ),
        (
            {"start_from": "afad", "sets": {"start": "afad@last"}},
            "--set start: expected one of ",
        ),
        (
            {},
            "facet train: no data given, expected a packed HDF5 file, --resume NAME or --from RUN",
        ),
    ],
)
def test_a_start_that_means_nothing_is_refused(request_, sentence, tmp_path):
    found = refusal(**request_)
    assert found.startswith(sentence.replace("{history}", str(tmp_path / "history")))


@pytest.mark.parametrize("damage", ["cut", "flipped", "other"])
def test_a_damaged_checkpoint_is_no_start(damage):
    path = Run("afad").checkpoints / "fine_tuning-epoch-0002.keras"
    data = bytearray(path.read_bytes())
    if damage == "flipped":
        data[len(data) // 2] ^= 1
    path.write_bytes({"cut": data[:-30], "flipped": data, "other": b"no zip"}[damage])
    assert refusal(start_from=TUNED).startswith(f"{path}: damaged, or not a checkpoint that Facet wrote (")


def test_a_run_that_has_no_best_yet_has_a_last_one():
    (Run("afad").checkpoints / "best.json").unlink()
    assert refusal(start_from="afad") == "run 'afad': has no best checkpoint yet, expected --from afad@last"


def test_data_that_is_gone_is_asked_for(file, tmp_path):
    run = Run("afad")
    run.config.write_text(run.config.read_text().replace(str(file), "gone.h5"))
    assert (
        refusal(start_from=TUNED)
        == f"run 'afad': its data gone.h5 is gone, expected `facet train FILE.h5 --from {TUNED}`"
    )
    moved = shutil.copy(file, tmp_path / "moved.h5")
    assert settle(TrainRequest(Path(moved), start_from=TUNED)).settings.data == str(moved)


@pytest.mark.parametrize(
    ("given", "sets", "sentence", "options"),
    [
        (
            {"fine_tuning_learning_rate": 1e-5},
            {},
            "fine_tuning_learning_rate: run 'afad' was trained with 0.0001, found 1e-05; expected the same",
            "--fine-tuning-learning-rate 1e-05",
        ),
        (
            {"early_stopping": 3},
            {"weight_decay": 0.01},
            "warm_up_weight_decay: run 'afad' was trained with 0.0, found 0.01; expected the same",
            "--set weight_decay=0.01 --early-stopping 3",
        ),
        (
            {"fine_tuning_epochs": 5},
            {},
            "fine_tuning_epochs: run 'afad' has 3, found 5; its cosine schedule depends on their number,"  # noqa: ISC004
            " expected the same",
            "--fine-tuning-epochs 5",
        ),
        (
            {"precision": "float32"},
            {"augment": "none"},
            "augment: run 'afad' was trained with mirror, found none; expected the same",
            "--set augment=none --precision float32",
        ),
    ],
)
def test_a_resume_that_would_change_the_result_is_refused_with_the_command_for_a_new_run(
    given, sets, sentence, options
):
    found = refusal(resume="afad", given=given, sets=sets)
    assert found == f"{sentence}, or a new run: facet train --from afad --run NEW {options}"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"fine_tuning_epochs": 1}, "fine_tuning_epochs: run 'afad' has 3, found 1; expected no fewer"),
        (
            {"image_size": (32, 32)},
            "image_size: run 'afad' was trained with (64, 64), found (32, 32); expected the same, or a new --run",
        ),
    ],
)
def test_a_resume_that_no_start_could_do_instead_is_refused_without(given, sentence):
    assert refusal(resume="afad", given=given) == sentence


def test_other_data_is_refused_with_the_command_for_a_new_run(packed):
    other = packed("agegender", count=80)
    assert refusal(data=other, resume="afad").endswith(
        f"expected the same, or a new run: facet train {other} --from afad --run NEW"
    )


@pytest.mark.parametrize("schedule", ["constant", "step:2:0.5", "plateau:2:0.1"])
def test_epochs_may_be_added_where_the_schedule_does_not_depend_on_their_number(schedule):
    run = Run("afad")
    run.config.write_text(run.config.read_text().replace("cosine", schedule))
    assert settle(TrainRequest(resume="afad", given={"fine_tuning_epochs": 5})).settings.fine_tuning.epochs == 5


def test_a_precision_of_auto_is_what_the_run_began_with(file):
    run = Run("afad")
    run.config.write_text(run.config.read_text().replace("precision: auto", "precision: mixed_bfloat16"))
    given = BUILT | {"dropout": 0.1, "precision": "auto"}
    same = TrainRequest(file, run="afad", given=given, sets=SHORT | {"schedule": "cosine"})
    found = [settle(request) for request in (same, TrainRequest(resume="afad", given={"precision": "auto"}))]
    assert [settled.settings.precision for settled in found] == ["mixed_bfloat16"] * 2


def test_how_to_run_is_handed_on_and_is_no_setting():
    options = RunOptions("cpu:2", tensorboard=True, worker_timeout=5.0)
    settled = settle(TrainRequest(resume="afad", options=options))
    assert (settled.options, settled.settings) == (options, load_settings(Run("afad").config))
    with pytest.raises(FacetError, match="--worker-timeout 0: expected at least 1 second"):
        RunOptions(worker_timeout=0)
