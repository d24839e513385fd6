"""Exports that cannot be: on the command line each is one sentence and exit code 1, and nothing is half-written."""

import os
import subprocess
import sys
import zipfile

import keras
import pytest
from conftest import ROOT
from small_models import small_model, write_run

from models.model_file import save_model_file
from scripts.cli import main

CHECKPOINT = "warm_up-epoch-0001.keras"


class Halved(keras.layers.Layer):
    """A layer of someone's own."""

    def call(self, values):
        return values / 2


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def export(monkeypatch, capsys, *words):
    """Runs `facet export` in this process; gives its exit code, and what it printed on each stream."""
    monkeypatch.setattr(sys, "argv", ["facet", "export", *map(str, words), "--verbose"])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code, *capsys.readouterr()


def zipped(path, members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)


def a_run_without_checkpoints(folder):
    write_run(folder / "history", "young", {CHECKPOINT: small_model()}, CHECKPOINT)
    for path in (folder / "history" / "young" / "checkpoints").iterdir():
        path.unlink()
    return "young"


def a_zip_of_something_else(folder):
    zipped(folder / "letters.keras", {"letters/first.txt": "Dear Sir"})
    return "letters.keras"


def weights_of_pytorch(folder):
    zipped(folder / "faces.h5", {"faces/data.pkl": "\x80\x02", "faces/version": "3\n", "faces/data/0": "0000"})
    return "faces.h5"


def weights_of_pytorch_under_kerass_suffix(folder):
    zipped(folder / "faces.keras", {"faces/data.pkl": "\x80\x02", "faces/version": "3\n", "faces/data/0": "0000"})
    return "faces.keras"


def a_layer_of_someones_own(folder):
    keras.Sequential([keras.Input((8, 8, 3)), Halved(name="half"), keras.layers.Flatten()]).save(folder / "own.keras")
    return "own.keras"


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (a_run_without_checkpoints, "run 'young': has no best checkpoint, none yet"),
        (a_zip_of_something_else, "letters.keras: this .keras file is damaged (it has no config.json)"),
        (weights_of_pytorch, "faces.h5: not an HDF5 file, expected a Keras model"),
        (
            weights_of_pytorch_under_kerass_suffix,
            "faces.keras: this .keras file is damaged (it has no config.json)",
        ),
        (
            a_layer_of_someones_own,
            (
                "own.keras: layer 'half' of class Halved is not one of Keras 3: load the model in Python, with"
                " custom_objects where it has classes of its own, and pass it to models.export.export_model"
            ),
        ),
    ],
)
@pytest.mark.parametrize("name", ["x.pb", "x"], ids=["pb", "saved_model"])
def test_what_is_no_model_is_one_sentence_and_leaves_nothing(here, monkeypatch, capsys, make, sentence, name):
    target = make(here)
    before = sorted(here.rglob("*"))
    assert export(monkeypatch, capsys, target, name) == (1, "", f"facet: {sentence}\n")
    assert sorted(here.rglob("*")) == before


@pytest.mark.parametrize(
    ("mount", "reason"),
    [("size=40k", "no space left on the device"), ("ro", "read-only file system")],
    ids=["full", "closed"],
)
def test_a_disk_that_takes_no_file_is_one_sentence_and_stays_empty(tmp_path, mount, reason):
    disk = tmp_path / "disk"
    disk.mkdir()
    save_model_file(*small_model(), tmp_path / "model.keras")
    words = [sys.executable, "-m", "scripts", "export", "model.keras", "disk/x.pb", "--verify-with", "tensorflow"]
    script = f'mount -t tmpfs -o {mount} none disk && "$0" "$@"; code=$?; ls -A disk; exit $code'
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script, *words],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if "unshare:" in done.stderr or "mount:" in done.stderr:
        pytest.skip(f"no user namespaces here: {done.stderr.strip()}")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith("facet: ")
    assert done.stderr.endswith(f"{reason}\n")
    assert [line for line in done.stdout.splitlines() if ".pb" in line or "next" in line] == []
