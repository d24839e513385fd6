"""`facet train --folds` in real processes: what it leaves, and what survives a SIGTERM."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from conftest import ROOT

from hdf5_helper import HDF5Reader
from hdf5_helper.packing.packer import pack
from models.model_file import read_description

NARROW = ("--backbone", "vggface", "--weights", "none", "--set", "backbone_arguments={width: 0.0625, output: pool1}")
SHORT = ("--image-size", "32", "--warm-up-epochs", "2", "--fine-tuning-epochs", "0")


@pytest.fixture(scope="module")
def file(sample_tree, tmp_path_factory):
    """Adience's tree with three of its folds."""
    tree = tmp_path_factory.mktemp("tree") / "adience"
    shutil.copytree(sample_tree("adience", 100), tree)
    for fold in (3, 4):
        (tree / f"fold_{fold}_data.txt").unlink()
    path = tmp_path_factory.mktemp("packed") / "folds.h5"
    pack([tree], path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("folds")


def command(file, name):
    return ("train", file, "--folds", "--run", name, "--label", "age_group", *NARROW, *SHORT)


@pytest.fixture(scope="module")
def unbroken(facet, folder, file):
    answer = facet(*command(file, "unbroken"), "--json", cwd=folder)
    assert answer.code == 0, answer.stderr
    return answer


@pytest.fixture(scope="module")
def stopped(folder, file):
    """A cross-validation that a SIGTERM stops in its second fold."""
    words = [sys.executable, "-m", "scripts", *map(str, command(file, "stopped"))]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipe = subprocess.PIPE
    process = subprocess.Popen(words, cwd=folder, env=environment, stdout=pipe, stderr=pipe, text=True)
    until = time.monotonic() + 120
    while not (folder / "history/stopped/fold-1/config.yaml").is_file():  # its first step is about to begin
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < until
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def test_each_fold_is_tested_by_a_run_that_has_not_seen_it(unbroken, file, folder):
    values = json.loads(unbroken.stdout)
    assert values == json.loads((folder / "history/unbroken/folds.json").read_text())
    with HDF5Reader(file) as reader:
        known = reader.labels("age_group") != 255
        counts = [int((known & (reader.folds == fold)).sum()) for fold in reader.fold_numbers]
    found = [(entry["fold"], entry["run"], entry["count"]) for entry in values["folds"]]
    assert found == [(fold, f"unbroken/fold-{fold}", count) for fold, count in enumerate(counts)]
    assert {"accuracy", "one_off"} <= set(values["metrics"]["age_group"])


def test_a_checkpoint_of_a_fold_is_measured_on_its_own_fold_by_itself(unbroken, facet, folder, file):
    entry = json.loads(unbroken.stdout)["folds"][1]
    checkpoint = folder / "history/unbroken/fold-1/checkpoints" / entry["checkpoint"]
    answer = facet("evaluate", checkpoint, "--data", file, "--json", cwd=folder)
    found = json.loads(answer.stdout)
    newest = max(path.name for path in checkpoint.parent.glob("*.keras"))
    kept = {name: found[name] for name in ("run", "checkpoint", "count", "metrics")}
    assert kept | {"fold": 1, "newest": newest} == entry


def test_a_run_that_starts_from_another_folds_is_of_its_own_fold(unbroken, facet, folder, file):
    names = ("--from", "unbroken/fold-0", "--run", "again")
    answer = facet("train", file, *names, "--fold", "1", "--warm-up-epochs", "1", cwd=folder)
    assert answer.code == 0, answer.stderr
    checkpoints = (folder / "history/again/checkpoints").glob("*.keras")
    assert {read_description(path).fold for path in checkpoints} == {1}


def test_a_stopped_cross_validation_goes_on_with_the_fold_it_was_in_and_ends_as_an_unbroken_one(
    unbroken, stopped, facet, folder, file
):
    code, out, err = stopped
    assert (code, err) == (128 + signal.SIGTERM, "")
    assert out.splitlines()[-1].endswith("go on with: the same command")
    done = folder / "history/stopped/fold-0/checkpoints/latest.json"
    before = done.stat().st_mtime_ns
    answer = facet(*command(file, "stopped"), cwd=folder)
    assert answer.code == 0, answer.stderr
    assert "fold 0 is measured already" in answer.stdout
    assert "resuming stopped/fold-1 from " in answer.stdout
    assert done.stat().st_mtime_ns == before
    values = json.loads((folder / "history/stopped/folds.json").read_text())
    assert json.dumps(values).replace("stopped", "unbroken") == json.dumps(json.loads(unbroken.stdout))
    assert " ± " in answer.stdout.splitlines()[-2]


def test_json_goes_with_folds_alone(facet, file):
    answer = facet("train", file, "--json")
    assert (answer.code, answer.stderr) == (1, "facet: --json: goes with --folds, found no --folds\n")
