"""The real command in real processes: what a run leaves, and what survives a kill."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
from conftest import ROOT

from models.backbones.building import build_backbone
from models.calibration import measure_batch_normalization
from models.heads.choosing import heads_for
from models.model_file import read_description
from models.network import HeadShape, build_network
from models.preprocessing import Preprocessing

SIDECAR = {
    "architecture": "mobilenet_v2",
    "arguments": {"alpha": 0.35},
    "preprocessing": {"color": "BGR", "mean": [90.0, 100.0, 110.0], "scale": 60.0},
    "trained_on": "nothing at all",
}
NOTHING = ("--backbone", "mobilenet_v2", "--weights", "none", "--set", "backbone_arguments={alpha: 0.35}")
SHORT = ("--batch-size", "16", "--warm-up-epochs", "2", "--fine-tuning-epochs", "2", "--class-weights", "balanced")
CHECKPOINTS = ("--checkpoint-every", "1", "--checkpoint-every-steps", "2", "--keep", "all")


@pytest.fixture(scope="module")
def file(packed):
    return packed("agegender", count=120, side=32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("train")


@pytest.fixture(scope="module")
def narrow(folder):
    """Options for a narrow backbone, its weights in a file of the folder that only its sidecar explains."""
    base = build_backbone("mobilenet_v2", (32, 32), {"alpha": 0.35}, 0)
    model = build_network(
        base, Preprocessing("BGR", (90.0, 100.0, 110.0), 60.0), heads_for(("gender",)), HeadShape(), 0
    )
    measure_batch_normalization(model, np.random.default_rng(0).integers(0, 256, (64, 32, 32, 3)).astype(np.uint8))
    base.save_weights(folder / "narrow.weights.h5")
    (folder / "narrow.weights.h5.json").write_text(json.dumps(SIDECAR))
    return "--weights", "narrow.weights.h5"


@pytest.fixture(scope="module")
def unbroken(facet, folder, file, narrow):
    """A run of two and two epochs that nothing disturbed."""
    answer = facet("train", file, "--run", "unbroken", *narrow, *SHORT, cwd=folder)
    assert (answer.code, answer.stderr) == (0, "")
    return folder / "history" / "unbroken", answer.stdout


def digests(run):
    """Digest of all weights and optimizer variables by the name of the checkpoint."""
    found = {}
    for path in sorted((run / "checkpoints").glob("*.keras")):
        with zipfile.ZipFile(path) as archive:
            found[path.name] = json.loads(archive.read("facet/state.json"))["variables_digest"]
    return found


def figures(run):
    """`epochs.csv` without the two columns of time."""
    return [line.rsplit(",", 2)[0] for line in (run / "epochs.csv").read_text().splitlines()]


def start(folder, *arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "scripts", "train", *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def signalled(process, number, checkpoints, pattern):
    """Sends a signal as soon as a checkpoint of that name is there; gives exit code and output."""
    until = time.monotonic() + 120
    while not list(checkpoints.glob(pattern)):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < until
        time.sleep(0.01)
    process.send_signal(number)
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def test_a_run_has_the_fixed_names(unbroken):
    run, _output = unbroken
    names = sorted(path.relative_to(run).as_posix() for path in run.rglob("[!.]*") if path.is_file())
    assert [name for name in names if not name.endswith(".keras")] == [
        "checkpoints/best.json",
        "checkpoints/latest.json",
        "config.yaml",
        "confusion.csv",
        "curves.png",
        "epochs.csv",
    ]
    assert {"fine_tuning-epoch-0002.keras", "warm_up-epoch-0002.keras"} <= set(digests(run))


def test_epochs_begin_with_the_validation_before_the_first_step(unbroken):
    run, _output = unbroken
    rows = figures(run)
    assert rows[0] == "phase,epoch,step,learning_rate,loss,gender_accuracy,val_loss,val_gender_accuracy"
    assert [row.split(",")[:3] for row in rows[1:]] == [
        ["warm_up", "0", "0"],
        ["warm_up", "1", "5"],
        ["warm_up", "2", "5"],
        ["fine_tuning", "1", "5"],
        ["fine_tuning", "2", "5"],
    ]


def test_the_output_says_what_is_trained_and_what_comes_next(unbroken):
    _run, output = unbroken
    assert "trains the head: " in output
    assert "the backbone's Conv_1" in output
    assert output.splitlines()[-1] == (
        f"the run is in {Path('history') / 'unbroken'}; next: facet evaluate unbroken --split test"
    )


def test_plain_keras_opens_the_checkpoints(unbroken):
    run, _output = unbroken
    model = keras.models.load_model(run / "checkpoints" / "fine_tuning-epoch-0002.keras")
    assert (model.input_shape, model.output_shape) == ((None, 32, 32, 3), (None, 1))
    assert type(model.optimizer).__name__ == "Adam"


def test_after_kills_within_both_phases_the_end_is_bit_identical(unbroken, facet, folder, file, narrow, tmp_path):
    run = folder / "history" / "killed"
    first = start(folder, file, "--run", "killed", *narrow, *SHORT, *CHECKPOINTS)
    assert signalled(first, signal.SIGKILL, run / "checkpoints", "warm_up-epoch-0001-step-*")[0] == -signal.SIGKILL
    second = start(folder, "--resume", "killed")
    assert signalled(second, signal.SIGKILL, run / "checkpoints", "fine_tuning-epoch-0001-step-*")[0] == -signal.SIGKILL
    elsewhere = {"cwd": tmp_path, "env": {"FACET_HISTORY": str(folder / "history")}}
    answer = facet("train", "--resume", "killed", **elsewhere)
    assert (answer.code, answer.stderr) == (0, "")
    assert "resuming killed from " in answer.stdout
    expected = digests(unbroken[0])
    assert {name: digest for name, digest in digests(run).items() if name in expected} == expected
    assert figures(run) == figures(unbroken[0])


def test_every_checkpoint_tells_what_the_weights_file_said(unbroken, folder):
    for run in ("unbroken", "killed"):
        for path in (folder / "history" / run / "checkpoints").glob("*.keras"):
            description = read_description(path)
            assert description.preprocessing.to_dict() == SIDECAR["preprocessing"], path
            assert description.notes == ("backbone weights trained on: nothing at all",), path


def test_fine_tuning_starts_from_the_best_warm_up_epoch(facet, folder, file, narrow):
    wild = ("--warm-up-epochs", "4", "--warm-up-learning-rate", "0.05", "--fine-tuning-learning-rate", "1e-30")
    answer = facet(
        "train", file, "--run", "wild", *narrow, *wild, "--fine-tuning-epochs", "1", "--keep", "all", cwd=folder
    )
    assert answer.code == 0
    epoch = int(re.search(r"starting from warm_up epoch (\d), the best so far", answer.stdout)[1])
    checkpoints = folder / "history/wild/checkpoints"
    weights = {
        name: keras.models.load_model(checkpoints / f"{name}.keras").get_weights()
        for name in (f"warm_up-epoch-000{epoch}", "warm_up-epoch-0004", "fine_tuning-epoch-0001")
    }
    best, last, tuned = weights.values()
    assert epoch < 4
    assert all(np.array_equal(*pair) for pair in zip(best, tuned, strict=True))
    assert not all(np.array_equal(*pair) for pair in zip(last, tuned, strict=True))


def test_a_loss_that_is_not_finite_stops_the_run_and_leaves_the_last_good_checkpoint(facet, folder, file, narrow):
    wild = (
        "--warm-up-epochs",
        "3",
        "--warm-up-learning-rate",
        "1e30",
        "--fine-tuning-epochs",
        "0",
        "--batch-size",
        "16",
    )
    answer = facet("train", file, "--run", "exploded", *narrow, *wild, "--optimizer", "sgd", cwd=folder)
    assert answer.code == 1
    assert answer.stderr.count("\n") == 1
    assert re.match(r"facet: warm_up epoch 1 step \d: the loss is (nan|inf), expected a finite one", answer.stderr)
    assert list((folder / "history/exploded/checkpoints").iterdir()) == []


def test_a_resume_may_begin_anew(unbroken, facet, folder):
    again = folder / "history" / "again"
    shutil.copytree(unbroken[0], again)
    answer = facet("train", "--resume", "again", "--overwrite", cwd=folder)
    assert answer.code == 0
    assert answer.stdout.startswith("begins run again: ")
    assert figures(again) == figures(unbroken[0])


def test_sigterm_saves_the_place_and_the_same_command_goes_on(unbroken, facet, folder, file, narrow):
    run = folder / "history" / "stopped"
    command = (file, "--run", "stopped", *narrow, *SHORT, "--checkpoint-every-steps", "3", "--keep", "all")
    process = start(folder, *command)
    code, output, error = signalled(process, signal.SIGTERM, run / "checkpoints", "warm_up-epoch-0001*")
    assert (code, error) == (128 + signal.SIGTERM, "")
    assert output.splitlines()[-1].endswith("holds the place; go on with: facet train --resume stopped")
    answer = facet("train", *command, cwd=folder)
    assert answer.code == 0
    assert digests(run)["fine_tuning-epoch-0002.keras"] == digests(unbroken[0])["fine_tuning-epoch-0002.keras"]
    assert figures(run) == figures(unbroken[0])


def test_more_epochs_extend_a_finished_run(unbroken, facet, folder):
    longer = folder / "history" / "longer"
    shutil.copytree(unbroken[0], longer)
    answer = facet("train", "--resume", "longer", "--fine-tuning-epochs", "3", cwd=folder)
    assert (answer.code, answer.stderr) == (0, "")
    assert figures(longer)[:-1] == figures(unbroken[0])
    assert figures(longer)[-1].startswith("fine_tuning,3,5,")


def test_a_finished_run_is_complete(unbroken, facet, folder):
    before = digests(unbroken[0])
    again = facet("train", "--resume", "unbroken", cwd=folder)
    assert (again.code, digests(unbroken[0])) == (0, before)
    assert "run unbroken is complete: 2 epochs of fine_tuning" in again.stdout


def test_a_run_of_that_name_with_other_settings_is_refused(unbroken, facet, folder, file, narrow):
    answer = facet("train", file, "--run", "unbroken", *narrow, *SHORT, "--seed", "5", cwd=folder)
    assert (answer.code, answer.stdout) == (1, "")
    assert answer.stderr == (
        "facet: run 'unbroken' exists with other settings (seed: 0, not 5): expected the same ones to go on,"
        " another --run name, or --overwrite to begin anew\n"
    )


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            ("--seed", "5"),
            (
                "seed: run 'unbroken' was trained with 0, found 5; expected the same,"
                " or a new run: facet train --from unbroken --run NEW --seed 5"
            ),
        ),
        (("--fine-tuning-epochs", "1"), "fine_tuning_epochs: run 'unbroken' has 2, found 1; expected no fewer"),
        (
            ("--warm-up-epochs", "3"),
            "warm_up_epochs: run 'unbroken' is already in fine-tuning, expected 2, found 3",
        ),
    ],
)
def test_a_resume_that_would_change_the_result_is_refused(unbroken, facet, folder, options, sentence):
    answer = facet("train", "--resume", "unbroken", *options, cwd=folder)
    assert (answer.code, answer.stdout, answer.stderr) == (1, "", f"facet: {sentence}\n")


def test_a_dry_run_says_what_it_would_do_and_leaves_nothing(facet, file, tmp_path):
    answer = facet("train", file, "--run", "dry", *NOTHING, "--dry-run", cwd=tmp_path)
    assert (answer.code, answer.stderr, list(tmp_path.iterdir())) == (0, "", [])
    assert answer.stdout.startswith(f"begins run dry: gender on {file}, mobilenet_v2 with weights none, images 32x32")


def test_age_and_gender_are_learnt_in_one_model_and_evaluated(facet, file, tmp_path):
    few = ("--warm-up-epochs", "1", "--fine-tuning-epochs", "0", "--label", "age,gender", "--batch-size", "16")
    trained = facet("train", file, "--run", "both", *NOTHING, *few, cwd=tmp_path)
    assert (trained.code, trained.stderr) == (0, "")
    header = (tmp_path / "history/both/epochs.csv").read_text().splitlines()[0]
    assert header == (
        "phase,epoch,step,learning_rate,loss,age_loss,gender_loss,age_mae,gender_accuracy,"
        "val_loss,val_age_loss,val_gender_loss,val_age_mae,val_gender_accuracy,seconds,images_per_second"
    )
    answer = facet("evaluate", "both", "--json", cwd=tmp_path)
    assert (answer.code, answer.stderr) == (0, "")
    values = json.loads(answer.stdout)
    assert list(values) == ["run", "checkpoint", "data", "split", "count", "metrics", "groups"]
    assert set(values["metrics"]["age"]) == {"count", "mae", "rmse", "bias", "cs5"}
    folder = tmp_path / "history/both/evaluation/agegender-test"
    assert json.loads((folder / "metrics.json").read_text()) == values
    rows = (folder / "predictions.csv").read_text().splitlines()
    assert rows[0] == (
        "path,subject,split,age,age_predicted,gender,gender_predicted,gender_male_probability,gender_female_probability"
    )
    assert len(rows) == 1 + values["count"]
    assert sorted(path.name for path in folder.iterdir()) == [
        "age.png",
        "gender-confusion.png",
        "metrics.json",
        "predictions.csv",
    ]
