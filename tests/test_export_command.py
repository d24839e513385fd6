import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from small_models import images, small_model, values_of, write_run

from hdf5_helper.errors import FacetError
from hdf5_helper.reading.reader import HDF5Reader
from models.export import load_frozen_graph
from models.export.frozen_graph import freeze
from models.model_file import load_model_file, save_model_file
from scripts.export import command

CHECKPOINT = "warm_up-epoch-0001.keras"


@pytest.fixture(scope="module")
def folder(tmp_path_factory, packed):
    """A `.keras` file, a run on a packed file, and a run whose data is gone."""
    folder = tmp_path_factory.mktemp("export")
    save_model_file(*small_model(("age", "gender")), folder / "both.keras")
    (folder / "taken.pb").write_text("mine")
    write_run(folder / "history", "real", {CHECKPOINT: small_model()}, CHECKPOINT, data=packed("agegender"))
    write_run(folder / "history", "moved", {CHECKPOINT: small_model()}, CHECKPOINT, data="gone.h5")
    return folder


def test_a_model_is_exported_compared_and_described(facet, folder):
    answer = facet("export", "both.keras", "both.pb", cwd=folder, env={"FACET_CACHE": str(folder / "empty")})
    assert (answer.code, answer.stderr) == (0, "")
    lines = answer.stdout.splitlines()
    assert lines[:5] == [
        "exporting both.keras, compared on made-up images",
        "input  image float32 (N, 32, 32, 3) RGB 0-255",
        "output age float32 (N, 1) age in years",
        "output gender float32 (N, 1) P(female): below 0.5 is male, else female",
        "runtime              difference    1 image  64 images",
    ]
    assert [line.split()[0] for line in (lines[5], lines[7])] == ["TensorFlow", "OpenCV"]
    assert all(float(line.split()[2]) < 1e-4 for line in (lines[5], lines[7]))
    assert lines[6] == (
        "TensorFlow 1.15      not checked: not installed; `facet doctor --fetch tensorflow-1.15` fetches it (110 MB)"
    )
    assert lines[8:] == [
        "note: Its weights have seen drawings.",
        f"both.pb ({(folder / 'both.pb').stat().st_size:,} bytes), both.json beside it",
        "next: facet predict both.pb PICTURES",
    ]


def test_two_processes_write_the_same_bytes(facet, folder):
    facet("export", "both.keras", "again.pb", "--verify-with", "tensorflow", cwd=folder)
    frozen = freeze(*load_model_file(folder / "both.keras"))
    assert (folder / "again.pb").read_bytes() == frozen.data


def export(*words):
    """Runs the command in this process; `--verbose` leaves the test's own stderr alone."""
    command.main([*map(str, words), "--verbose"], standalone_mode=False)


def test_a_run_is_compared_on_its_own_data(folder, packed, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    export("real", "real.pb", "--json", "--verify-with", "opencv, tensorflow")
    values = json.loads(capsys.readouterr().out)
    assert values["sidecar"] == json.loads((folder / "real.json").read_text())
    assert (values["path"], values["bytes"]) == ("real.pb", (folder / "real.pb").stat().st_size)
    count, split = values["sidecar"]["compared_on"].split()[0], "test images of agegender.h5"
    assert values["sidecar"]["compared_on"] == f"{count} {split}"
    assert [entry["runtime"].split()[0] for entry in values["times"]] == ["TensorFlow", "OpenCV"]
    found = load_frozen_graph("real.pb")(images(3))["gender"]
    np.testing.assert_allclose(found, values_of(*small_model(), images(3))["gender"], atol=1e-5)


def test_a_run_whose_data_is_gone_is_compared_on_made_up_images(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    export("moved", "moved.pb", "--preprocessing", "outside", "--verify-with", "tensorflow")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("note: the run's own data cannot be read (gone.h5: ")
    assert lines[1] == f"exporting {Path('history', 'moved', 'checkpoints', CHECKPOINT)}, compared on made-up images"
    assert lines[2] == "input  image float32 (N, 32, 32, 3) BGR, (x - [103.939, 116.779, 123.68]) / 1"


def test_an_existing_graph_is_replaced_when_asked(folder, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old.pb").write_text("old")
    export(folder / "both.keras", "old.pb", "--overwrite", "--verify-with", "tensorflow")
    assert list(load_frozen_graph("old.pb")(images(1))) == ["age", "gender"]


@pytest.mark.parametrize(
    ("words", "made"),
    [
        (["x.onnx"], ["x.onnx", "x.onnx.json"]),
        (["x.tflite", "--quantize", "float16"], ["x.tflite", "x.tflite.json"]),
        (["x"], ["x", "x.saved_model.json"]),
        (["x.v1", "--format", "saved_model"], ["x.v1", "x.v1.saved_model.json"]),
    ],
    ids=["onnx", "litert", "folder", "format"],
)
def test_the_name_or_the_option_decides_about_the_format(folder, tmp_path, monkeypatch, capsys, words, made):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FACET_CACHE", str(tmp_path / "empty"))
    export(folder / "both.keras", *words)
    lines = capsys.readouterr().out.splitlines()
    assert sorted(path.name for path in tmp_path.iterdir()) == made
    told = json.loads((tmp_path / made[1]).read_text())
    assert told["file_format"] == {"x.onnx": "onnx", "x.tflite": "litert"}.get(words[0], "saved_model")
    assert told["quantization"] == ("float16" if "--quantize" in words else "none")
    assert lines[-2].endswith(f" bytes), {made[1]} beside it")
    assert lines[-1] == f"next: facet verify-export {words[0]} --data FILE.h5"


def test_int8_finds_its_ranges_on_the_train_split(folder, packed, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    data = packed("agegender")
    export(folder / "both.keras", "x.tflite", "--quantize", "int8", "--data", data)
    with HDF5Reader(data) as reader:
        count = len(reader.split("train"))
    assert 100 < count < 200
    assert capsys.readouterr().out.splitlines()[1] == f"int8 finds its ranges on {count} train images of agegender.h5"


def test_an_export_killed_while_runtimes_run_leaves_no_file_and_the_next_one_nothing_behind(folder, tmp_path):
    place = tmp_path / ".x.onnx.part"
    words = [sys.executable, "-m", "scripts", "export", str(folder / "both.keras"), "x.onnx"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(words, cwd=tmp_path, env=env, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None and not (place / "x.onnx").exists():
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert [path.name for path in tmp_path.iterdir()] == [place.name]
    assert sorted(path.name for path in place.iterdir()) == [".lock", "x.onnx"]
    export(folder / "both.keras", tmp_path / "x.onnx", "--verify-with", "onnxruntime")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.onnx", "x.onnx.json"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["gone.keras", "x.pb"], "gone.keras: no such file, expected a model (.pb, .keras, .h5) or a run's name"),
        (["reel", "x.pb"], "run 'reel': not in history, expected one of moved, real (did you mean 'real'?)"),
        (["taken.pb", "x.pb"], "taken.pb: is a frozen graph already, expected a run, a .keras or a .h5"),
        (["both.keras", "x.onnx", "--format", "pb"], "x.onnx: expected a file name that ends in .pb"),
        (["both.keras", "gone/x.pb"], "gone/x.pb: the folder gone does not exist"),
        (["both.keras", "taken.pb"], "taken.pb: exists already, expected a new name or --overwrite"),
        (
            ["both.keras", "x.pb", "--preprocessing", "beside"],
            "--preprocessing 'beside': expected one of inside, outside (did you mean 'inside'?)",
        ),
        (["both.keras", "x.pb", "--quantize", "int8"], "--quantize int8: goes with --format litert, found pb"),
        (
            ["both.keras", "x.tflite", "--quantize", "int8"],
            "--quantize int8: no images to find its ranges on, expected --data FILE.h5",
        ),
        (
            ["both.keras", "x.tflite", "--verify-with", "opencv"],
            "--verify-with 'opencv': expected one of litert for the format litert",
        ),
        (
            ["both.keras", "x.pb", "--verify-with", "tensorflow,tensorflow1"],
            (
                "--verify-with tensorflow1: TensorFlow 1.15 is not installed; `facet doctor --fetch tensorflow-1.15`"
                " fetches it (110 MB)"
            ),
        ),
        (["both.keras", "x.pb", "--data", "gone.h5"], "--data gone.h5: no such file, expected a packed HDF5 file"),
    ],
)
def test_a_mistake_is_one_sentence_and_nothing_else(folder, monkeypatch, capsys, words, sentence):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("FACET_CACHE", str(folder / "empty"))
    before = sorted(folder.rglob("*"))
    with pytest.raises(FacetError) as refused:
        export(*words)
    assert str(refused.value) == sentence
    assert capsys.readouterr().out == ""
    assert sorted(folder.rglob("*")) == before


def test_a_mistake_ends_the_command_with_its_sentence(facet, folder):
    answer = facet("export", "both.keras", "taken.pb", cwd=folder)
    sentence = "facet: taken.pb: exists already, expected a new name or --overwrite\n"
    assert (answer.code, answer.stdout, answer.stderr) == (1, "", sentence)
