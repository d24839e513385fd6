import json
from pathlib import Path

import numpy as np
import pytest
from small_models import images, small_model, values_of, write_run

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
    answer = facet("export", "both.keras", "both.pb", cwd=folder)
    assert (answer.code, answer.stderr) == (0, "")
    lines = answer.stdout.splitlines()
    assert lines[:5] == [
        "exporting both.keras, compared on made-up images",
        "input  image float32 (N, 32, 32, 3) RGB 0-255",
        "output age float32 (N, 1) age in years",
        "output gender float32 (N, 1) P(female): below 0.5 is male, else female",
        "runtime              difference    1 image  64 images",
    ]
    assert [line.split()[0] for line in lines[5:7]] == ["TensorFlow", "OpenCV"]
    assert all(float(line.split()[2]) < 1e-4 for line in lines[5:7])
    assert lines[7:] == [
        "note: Its weights have seen drawings.",
        f"both.pb ({(folder / 'both.pb').stat().st_size:,} bytes) and both.json beside it",
        "next: facet predict both.pb PICTURES",
    ]


def test_two_processes_write_the_same_bytes(facet, folder):
    facet("export", "both.keras", "again.pb", cwd=folder)
    frozen = freeze(*load_model_file(folder / "both.keras"))
    assert (folder / "again.pb").read_bytes() == frozen.data


def export(*words):
    """Runs the command in this process; `--verbose` leaves the test's own stderr alone."""
    command.main([*map(str, words), "--verbose"], standalone_mode=False)


def test_a_run_is_compared_on_its_own_data(folder, packed, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    export("real", "real.pb", "--json")
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
    export("moved", "moved.pb", "--preprocessing", "outside")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("note: the run's own data cannot be read (gone.h5: ")
    assert lines[1] == f"exporting {Path('history', 'moved', 'checkpoints', CHECKPOINT)}, compared on made-up images"
    assert lines[2] == "input  image float32 (N, 32, 32, 3) BGR, (x - [103.939, 116.779, 123.68]) / 1"


def test_an_existing_graph_is_replaced_when_asked(folder, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old.pb").write_text("old")
    export(folder / "both.keras", "old.pb", "--overwrite")
    assert list(load_frozen_graph("old.pb")(images(1))) == ["age", "gender"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["gone.keras", "x.pb"], "gone.keras: no such file, expected a model (.pb, .keras, .h5) or a run's name"),
        (["reel", "x.pb"], "run 'reel': not in history, expected one of moved, real (did you mean 'real'?)"),
        (["taken.pb", "x.pb"], "taken.pb: is a frozen graph already, expected a run, a .keras or a .h5"),
        (["both.keras", "x.onnx"], "x.onnx: expected a file name that ends in .pb"),
        (["both.keras", "gone/x.pb"], "gone/x.pb: the folder gone does not exist"),
        (["both.keras", "taken.pb"], "taken.pb: exists already, expected a new name or --overwrite"),
        (
            ["both.keras", "x.pb", "--preprocessing", "beside"],
            "--preprocessing 'beside': expected one of inside, outside",
        ),
        (["both.keras", "x.pb", "--data", "gone.h5"], "--data gone.h5: no such file, expected a packed HDF5 file"),
    ],
)
def test_a_mistake_is_one_sentence_and_nothing_else(facet, folder, words, sentence):
    before = sorted(folder.rglob("*"))
    answer = facet("export", *words, cwd=folder)
    assert (answer.code, answer.stdout) == (1, "")
    assert answer.stderr.startswith(f"facet: {sentence}")
    assert len(answer.stderr.splitlines()) == 1
    assert sorted(folder.rglob("*")) == before
