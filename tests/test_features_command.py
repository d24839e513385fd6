import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import pytest
from small_models import small_model, write_run

from hdf5_helper.errors import FacetError
from models.backbones.registry import BACKBONES
from scripts.features import command

ROOT = Path(__file__).resolve().parent.parent
CHECKPOINT = "warm_up-epoch-0001.keras"
NAMES = ", ".join(sorted([*BACKBONES, "first"]))


@pytest.fixture(scope="module")
def data(packed):
    return packed("agegender", count=70, side=32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, data):
    """A run `first`, and the packed file."""
    folder = tmp_path_factory.mktemp("features")
    write_run(folder / "history", "first", {CHECKPOINT: small_model(("age", "gender"))}, best=CHECKPOINT)
    (folder / "faces.h5").write_bytes(data.read_bytes())
    (folder / "taken.h5").write_bytes(b"old")
    (folder / "text.txt").write_text("no HDF5")
    return folder


def test_a_run_is_told_and_written(facet, folder):
    answer = facet("features", "first", "faces.h5", "told.h5", cwd=folder)
    plan, following = answer.stdout.splitlines()
    assert (answer.code, answer.stderr) == (0, "")
    assert plan.startswith(
        f"70 examples in faces.h5: small with weights {CHECKPOINT}, images 32x32, layer pool, 8 numbers each, 2.24 kB, "
    )
    assert plan.endswith(" free")
    assert following.startswith("next: python -c ")
    words = shlex.split(following.removeprefix("next: "))[1:]
    shown = subprocess.run([sys.executable, *words], cwd=folder, capture_output=True, text=True, check=False)
    assert (shown.returncode, shown.stderr) == (0, "")
    with h5py.File(folder / "told.h5") as file:
        assert file["features"].shape == (70, 8)


def test_json_of_a_dry_run_tells_everything_and_writes_nothing(facet, folder):
    answer = facet("features", "first", "faces.h5", "dry.h5", "--dry-run", "--json", "--split", "test", cwd=folder)
    told = json.loads(answer.stdout)
    assert answer.code == 0
    assert answer.stderr.startswith(f"{told['examples']} examples of test in faces.h5: small with weights ")
    assert (told["out"], told["width"], told["bytes"]) == ("dry.h5", 8, told["examples"] * 32)
    assert (told["split"], told["image_size"], told["layer"]) == ("test", [32, 32], "pool")
    assert not (folder / "dry.h5").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ["frist", "faces.h5", "out.h5"],
            f"'frist': is no run and no backbone, expected one of {NAMES} (did you mean 'first'?)",
        ),
        (
            ["mobilenet", "faces.h5", "out.h5"],
            "--weights: none given for backbone mobilenet, expected imagenet, none or a Keras weights file",
        ),
        (
            ["first", "faces.h5", "out.h5", "--weights", "none"],
            f"backbone 'first': expected one of {', '.join(sorted(BACKBONES))}, or a function of keras.applications",
        ),
        (
            ["mobilenet", "faces.h5", "out.h5", "--weights", "gone.weights.h5"],
            "weights gone.weights.h5: no such file, expected imagenet, none or a Keras weights file",
        ),
        (
            ["mobilenet", "faces.h5", "out.h5", "--weights", "none", "--checkpoint", "last"],
            "--checkpoint last: goes with a run, mobilenet with --weights is a backbone",
        ),
        (
            ["first", "faces.h5", "out.h5", "--image-size", "64"],
            "--image-size: goes with a backbone, first is a trained model with one of its own",
        ),
        (["first", "text.txt", "out.h5"], "text.txt: is no HDF5 file, expected one made by `facet pack`"),
        (["first", "gone.h5", "out.h5"], "gone.h5: no such file, expected one made by `facet pack`"),
        (["first", "faces.h5", "taken.h5"], "taken.h5: exists, expected another name or --overwrite"),
        (
            ["first", "faces.h5", "faces.h5", "--overwrite"],
            "faces.h5: is the packed file itself, expected the name of a new HDF5 file",
        ),
        (["first", "faces.h5", "gone/out.h5"], "gone/out.h5: the folder gone does not exist"),
        (
            ["first", "faces.h5", "out.h5", "--pooling", "flat"],
            "--pooling 'flat': expected one of average, flatten (did you mean 'flatten'?)",
        ),
        (
            ["first", "faces.h5", "out.h5", "--split", "tests"],
            "--split 'tests': expected one of all, test, train, validation (did you mean 'test'?)",
        ),
        (
            ["mobilenet", "faces.h5", "out.h5", "--weights", "none", "--set", "fit=crop"],
            "--set fit: expected backbone_arguments, which is all that features can set",
        ),
        (
            ["both.pb", "faces.h5", "out.h5"],
            "both.pb: no such file, expected a model (.pb, .keras, .h5) or a run's name",
        ),
    ],
)
def test_a_mistake_is_one_sentence(folder, monkeypatch, words, sentence):
    monkeypatch.chdir(folder)
    with pytest.raises(FacetError) as refused:
        command.main([*words, "--verbose"], standalone_mode=False)
    assert str(refused.value) == sentence
    assert (folder / "taken.h5").read_bytes() == b"old"
    assert not (folder / "out.h5").exists()


def test_an_unknown_layer_is_one_sentence_with_the_nearest(facet, folder):
    answer = facet("features", "first", "faces.h5", "out.h5", "--layer", "depthwize", cwd=folder)
    assert (answer.code, answer.stdout) == (1, "")
    assert answer.stderr == (
        "facet: --layer depthwize: the backbone does not have it, expected one of bn, conv, depthwise, depthwise_bn,"
        " depthwise_relu, pad, pool, relu (did you mean 'depthwise'?)\n"
    )


def begun(folder, data):
    """A command in the middle of some seconds of work, so that a signal comes before its end, and its words."""
    words = ["features", "mobilenet", str(data), "out.h5", "--weights", "none", "--image-size", "256"]
    process = subprocess.Popen(
        [sys.executable, "-m", "scripts", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (folder / ".out.part.h5").exists() and process.poll() is None:
        time.sleep(0.005)
    return process, words


@pytest.mark.long
def test_a_kill_leaves_no_file_and_the_same_command_again_tidies_up(facet, tmp_path, data):
    process, words = begun(tmp_path, data)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert [path.name for path in tmp_path.iterdir()] == [".out.part.h5"]
    assert facet(*words, cwd=tmp_path).code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["out.h5"]
    with h5py.File(tmp_path / "out.h5") as file:
        assert file["features"].shape == (70, 1024)


def test_ctrl_c_leaves_nothing(tmp_path, data):
    process, _words = begun(tmp_path, data)
    process.send_signal(signal.SIGINT)
    _nothing, said = process.communicate()
    assert process.returncode == 130
    assert "Traceback" not in said
    assert list(tmp_path.iterdir()) == []
