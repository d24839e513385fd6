import csv
import json
import shutil

import keras
import numpy as np
import pytest
from sklearn.metrics import confusion_matrix
from small_models import small_model, values_of, write_run

from hdf5_helper.reading.reader import HDF5Reader
from models.description import ModelDescription, Output
from models.export import export_model
from models.model_file import save_model_file

CHECKPOINT = "warm_up-epoch-0001.keras"
LABELS = ("age", "gender")
FILES = ["age.png", "gender-confusion.png", "metrics.json", "predictions.csv"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, packed):
    """One model as a `.pb`, a `.keras` and a run, with the packed file that the run's configuration names in full."""
    folder = tmp_path_factory.mktemp("evaluate")
    shutil.copy(packed("agegender"), folder / "faces.h5")
    model, description = small_model(LABELS)
    export_model(model, description, folder / "both.pb")
    save_model_file(model, description, folder / "both.keras")
    for name, data in (("copied", folder / "faces.h5"), ("moved", "gone.h5")):
        write_run(folder / "history", name, {CHECKPOINT: (model, description)}, CHECKPOINT, data=data)
    return folder


@pytest.fixture(scope="module")
def truth(folder):
    """What Keras says of the test split, by label: (true, predicted) over all its rows, in order."""
    with HDF5Reader(folder / "faces.h5", image_size=(32, 32)) as reader:
        rows = reader.split("test")
        predicted = values_of(*small_model(LABELS), reader.read(rows))
        return {label: (reader.labels(label)[rows], predicted[label][:, 0]) for label in LABELS}


def assert_measured(metrics, truth):
    ages, years = truth["age"]
    genders, female = truth["gender"]
    assert metrics["age"]["mae"] == pytest.approx(np.abs(years - ages).mean(), rel=1e-5)
    assert metrics["gender"]["confusion"] == confusion_matrix(genders, female >= 0.5).tolist()
    assert metrics["gender"]["accuracy"] == pytest.approx(((female >= 0.5) == genders).mean())


def test_a_graph_is_measured_on_the_terminal_and_its_files_lie_beside_it(facet, folder, truth):
    answer = facet("evaluate", "both.pb", "--data", folder / "faces.h5", cwd=folder)
    assert (answer.code, answer.stderr) == (0, "")
    lines = answer.stdout.splitlines()
    count = len(truth["age"][0])
    assert lines[0] == f"{count:,} examples of test in faces.h5, both.pb"
    assert lines[1].startswith(f"age: mae {np.abs(truth['age'][1] - truth['age'][0]).mean():.4f}, rmse ")
    assert lines[2].startswith("gender: accuracy ")
    assert lines[3].split() == ["male", "female", "(predicted)"]
    assert "by group:" in lines
    place = "figures, predictions.csv and pictures are in both-evaluation/faces-test"
    assert lines[-1] == f"{place}; next: facet predict both.pb PICTURES"
    written = folder / "both-evaluation" / "faces-test"
    assert sorted(path.name for path in written.iterdir()) == FILES
    values = json.loads((written / "metrics.json").read_text())
    assert_measured(values["metrics"], truth)
    assert (values["run"], values["checkpoint"], values["data"]) == ("a-run", "both.pb", str(folder / "faces.h5"))


def test_a_run_gives_json_under_the_name_of_its_folder_with_every_prediction_beside_it(facet, folder, truth):
    answer = facet("evaluate", "copied", "--json", cwd=folder)
    assert (answer.code, answer.stderr) == (0, "")
    values = json.loads(answer.stdout)
    assert list(values) == ["run", "checkpoint", "data", "split", "count", "metrics", "groups"]
    assert (values["run"], values["checkpoint"], values["split"]) == ("copied", CHECKPOINT, "test")
    assert_measured(values["metrics"], truth)
    written = folder / "history" / "copied" / "evaluation" / "faces-test"
    assert json.loads((written / "metrics.json").read_text()) == values
    assert sorted(path.name for path in written.iterdir()) == FILES
    with open(written / "predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    np.testing.assert_allclose([float(row["age_predicted"]) for row in rows], truth["age"][1], atol=1e-3)
    female = [float(row["gender_female_probability"]) for row in rows]
    np.testing.assert_allclose(female, truth["gender"][1], atol=1e-5)


def test_a_keras_file_is_measured_on_another_split_into_a_folder_of_ones_own(facet, folder):
    answer = facet("evaluate", "both.keras", "--data", "faces.h5", "--split", "all", "--out", "mine/all", cwd=folder)
    assert (answer.code, answer.stderr) == (0, "")
    lines = answer.stdout.splitlines()
    with HDF5Reader(folder / "faces.h5") as reader:
        assert lines[0] == f"{len(reader):,} examples of all in faces.h5, both.keras"
    place = "figures, predictions.csv and pictures are in mine/all"
    assert lines[-1] == f"{place}; next: facet export both.keras OUT.pb"
    assert sorted(path.name for path in (folder / "mine" / "all").iterdir()) == FILES


def test_attributes_are_a_table_and_a_three_way_gender_is_also_told_for_the_known(facet, packed, tmp_path):
    file = packed("celeba", count=60)
    with HDF5Reader(file) as reader:
        attributes = reader.class_names("attributes")
    outputs = Output("attributes", "linear", attributes), Output("gender", "softmax", ("male", "female", "unknown"))
    image = keras.Input((16, 16, 3))
    means = keras.layers.GlobalAveragePooling2D()(image)
    values = {o.label: keras.layers.Dense(len(o.class_names), o.activation, name=o.label)(means) for o in outputs}
    save_model_file(keras.Model(image, values), ModelDescription(outputs, (16, 16)), tmp_path / "looks.keras")
    answer = facet("evaluate", "looks.keras", "--data", file, "--split", "all", cwd=tmp_path)
    assert (answer.code, answer.stderr) == (0, "")
    lines = answer.stdout.splitlines()
    written = tmp_path / "looks-evaluation" / f"{file.stem}-all"
    metrics = json.loads((written / "metrics.json").read_text())["metrics"]
    assert lines[1].startswith(f"attributes: accuracy {metrics['attributes']['accuracy']:.4f}, majority 0.")
    assert lines[2].split() == ["attribute", "accuracy", "majority", "gain"]
    assert sorted(line.split()[0] for line in lines[3:43]) == sorted(attributes)
    gains = [float(line.split()[3]) for line in lines[3:43]]
    assert gains == sorted(gains, reverse=True)
    assert lines[43].startswith(f"gender: accuracy {metrics['gender']['accuracy']:.4f}, ")
    known = metrics["gender"]["known"]
    assert lines[44].startswith(f"gender where it is known (60): accuracy {known['accuracy']:.4f}, ")
    assert [line.split()[:2] for line in lines[46:49]] == [["true", name] for name in outputs[1].class_names]
    assert any(line.startswith("  person in train: attributes accuracy 0.") for line in lines)
    pictures = ["attributes.png", "gender-confusion.png", "metrics.json", "predictions.csv"]
    assert sorted(path.name for path in written.iterdir()) == pictures


@pytest.mark.parametrize(
    ("words", "sentence", "code"),
    [
        (["gone.pb"], "gone.pb: no such file, expected a model (.pb, .keras, .h5) or a run's name", 1),
        (["copyed"], "run 'copyed': not in history, expected one of copied, moved (did you mean 'copied'?)", 1),
        (["both.pb"], "--data: none given, expected the packed HDF5 file to measure both.pb on", 1),
        (["both.pb", "--data", "gone.h5"], "--data gone.h5: no such file, expected a packed HDF5 file", 1),
        (["moved"], "the run's data gone.h5: no such file, expected a packed HDF5 file (--data FILE.h5 names it)", 1),
        (["copied", "--split", "tst"], "--split 'tst': expected one of all, test, train, validation", 1),
        (["copied", "--checkpoint", "worst"], "checkpoint 'worst' of run 'copied': expected one of best, last", 1),
        (["both.pb", "--checkpoint", "last"], "--checkpoint last: goes with a run, both.pb is a file", 1),
        ([], "Missing argument 'RUN|MODEL.pb|FILE.keras'.", 2),
    ],
)
def test_a_mistake_is_one_sentence_and_nothing_else(facet, folder, words, sentence, code):
    before = sorted(folder.rglob("*"))
    answer = facet("evaluate", *words, cwd=folder)
    assert (answer.code, answer.stdout) == (code, "")
    assert answer.stderr.startswith(f"facet: {sentence}")
    assert len(answer.stderr.splitlines()) == 1
    assert sorted(folder.rglob("*")) == before
