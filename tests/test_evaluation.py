import csv
import os

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, balanced_accuracy_score, mean_absolute_error, roc_auc_score
from small_models import small_model
from trees import agegender_paths, plant

from hdf5_helper.errors import FacetError
from hdf5_helper.packing.packer import PackOptions, pack
from hdf5_helper.progress import Silent
from hdf5_helper.reading.reader import HDF5Reader
from models.description import Output
from models.interface.evaluation import evaluate
from models.interface.evaluation_files import write_evaluation
from models.interface.predictor import load_predictor
from models.model_file import save_model_file
from models.training.evaluation import age_metrics, decades, gender_metrics, group_metrics, label_metrics

GENDER = Output("gender", "sigmoid", ("male", "female"))
AGE = Output("age", "linear", unit="years")


def test_gender_figures_of_four_faces():
    found = gender_metrics(np.array([0, 0, 1, 1]), np.array([0.1, 0.6, 0.5, 0.9]))
    assert found == {
        "count": 4,
        "accuracy": 0.75,
        "balanced_accuracy": 0.75,
        "auc": 0.75,
        "majority": 0.5,
        "confusion": [[1, 1], [0, 2]],
    }


@given(st.lists(st.tuples(st.integers(0, 1), st.floats(0, 1)), min_size=2, max_size=50))
def test_gender_figures_equal_scikit_learn(pairs):
    targets, female = np.array([t for t, _ in pairs]), np.array([p for _, p in pairs])
    found = gender_metrics(targets, female)
    assert found["accuracy"] == accuracy_score(targets, female >= 0.5)
    if len(set(targets.tolist())) == 2:
        assert found["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(targets, female >= 0.5))
        assert found["auc"] == pytest.approx(roc_auc_score(targets, female))


def test_one_class_alone_has_no_auc():
    found = gender_metrics(np.array([1, 1]), np.array([0.4, 0.9]))
    assert (found["auc"], found["balanced_accuracy"], found["accuracy"]) == (None, None, 0.5)


def test_age_figures_of_four_faces():
    found = age_metrics(np.array([20.0, 30, 40, 50]), np.array([25.0, 30, 34, 50]))
    assert found == {"count": 4, "mae": 2.75, "rmse": np.sqrt((25 + 36) / 4), "bias": -0.25, "cs5": 0.75}


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100)), min_size=1, max_size=50))
def test_mean_absolute_error_equals_scikit_learn(pairs):
    targets, years = np.array([t for t, _ in pairs]), np.array([y for _, y in pairs])
    assert age_metrics(targets, years)["mae"] == pytest.approx(mean_absolute_error(targets, years))


def test_unknown_labels_add_nothing():
    known = label_metrics(GENDER, np.array([0, 1], np.uint8), np.array([0.2, 0.8]))
    assert label_metrics(GENDER, np.array([0, 255, 1], np.uint8), np.array([0.2, 0.1, 0.8])) == known
    assert label_metrics(AGE, np.array([np.nan], np.float32), np.array([30.0])) == {"count": 0}


def test_groups_are_measured_apart_and_small_ones_only_counted():
    origin = np.array(["imdb"] * 12 + ["wiki"] * 3 + [""])
    targets = {"gender": np.array([0, 1] * 8, np.uint8)}
    predicted = {"gender": np.array([0.0] * 16)}
    found = group_metrics({"origin": origin}, {"gender": GENDER}, targets, predicted)
    assert list(found["origin"]) == ["imdb", "wiki"]
    assert found["origin"]["imdb"]["gender"]["accuracy"] == 0.5
    assert found["origin"]["wiki"]["gender"] == {"count": 3}


def test_decades_of_ages():
    assert decades(np.array([0, 9.5, 10, 39, np.nan, 101])).tolist() == ["0-9", "0-9", "10-19", "30-39", "", "100-109"]


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """A packed file of 20 pictures, one of them with a name that is no UTF-8, and the paths inside it."""
    folder = tmp_path_factory.mktemp("faces")
    paths = agegender_paths(10)
    tree = plant(folder / "tree", paths)
    odd = os.fsdecode(os.fsencode(paths[3]).replace(b"_rm1_", b"_caf\xe9_"))
    (tree / paths[3]).rename(tree / odd)
    pack([tree], folder / "faces.h5", PackOptions())
    names = {path.partition("/")[2] for path in [*paths[:3], odd, *paths[4:]]}
    return folder / "faces.h5", names


def measured(model_path, data, split="all"):
    predictor = load_predictor(str(model_path))
    with HDF5Reader(data, image_size=(32, 32)) as reader:
        return evaluate(predictor, reader, split, {}, Silent())


def test_a_name_that_is_no_utf8_stands_in_the_csv_as_it_is_on_disk(faces, tmp_path):
    data, paths = faces
    save_model_file(*small_model(("age", "gender")), tmp_path / "both.keras")
    found = measured(tmp_path / "both.keras", data)
    with HDF5Reader(data) as reader:
        write_evaluation(tmp_path / "out", found, reader)
    with open(tmp_path / "out" / "predictions.csv", encoding="utf-8", errors="surrogateescape", newline="") as file:
        assert {row["path"].partition("combined/")[2] for row in csv.DictReader(file)} == paths


@pytest.mark.parametrize("name", ["plain.h5", "plain.keras"])
def test_a_model_saved_by_keras_alone_is_measured_and_drawn_like_facets_own(faces, tmp_path, name):
    data, _paths = faces
    model, description = small_model(("age", "gender"))
    save_model_file(model, description, tmp_path / "own.keras")
    model.save(tmp_path / name)
    found, own = measured(tmp_path / name, data), measured(tmp_path / "own.keras", data)
    assert found.values["groups"].pop("person")  # it may come from this file, Facet's own says that it does not
    assert found.values == own.values
    with HDF5Reader(data) as reader:
        write_evaluation(tmp_path / "out", found, reader)
    files = ["age.png", "gender-confusion.png", "metrics.json", "predictions.csv"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == files


def foreign(units, activation, name="gender", bias="zeros"):
    image = keras.Input((32, 32, 3))
    values = keras.layers.Dense(units, activation=activation, name=name, bias_initializer=bias)
    return keras.Model(image, values(keras.layers.Flatten()(image)))


GENDERS = "expected a sigmoid or a softmax of male, female"


@pytest.mark.parametrize(
    ("model", "found"),
    [
        (lambda: foreign(3, "softmax"), f"output 'gender' has 3 softmax columns, {GENDERS}"),
        (lambda: foreign(1, "linear"), f"output 'gender' has 1 linear column, {GENDERS}"),
        (lambda: foreign(3, "linear", "age"), "output 'age' has 3 linear columns, expected one, in years"),
    ],
    ids=["three columns without names", "no probability", "three ages"],
)
def test_an_output_that_cannot_be_measured_is_refused_in_one_sentence(faces, tmp_path, model, found):
    model().save(tmp_path / "foreign.keras")
    with pytest.raises(FacetError) as refused:
        measured(tmp_path / "foreign.keras", faces[0])
    assert str(refused.value) == f"foreign.keras: {found}: others cannot be measured in this version"


def test_values_that_are_not_finite_are_refused_in_one_sentence(faces, tmp_path):
    foreign(1, "linear", "age", keras.initializers.Constant(float("nan"))).save(tmp_path / "foreign.keras")
    with pytest.raises(FacetError) as refused:
        measured(tmp_path / "foreign.keras", faces[0])
    sentence = "output 'age' is not finite for some images, expected numbers: its training has failed"
    assert str(refused.value) == f"foreign.keras: {sentence}"


def test_a_model_of_other_labels_is_refused_in_one_sentence(faces, tmp_path):
    foreign(1, "sigmoid", "smile").save(tmp_path / "smile.keras")
    with pytest.raises(FacetError) as refused:
        measured(tmp_path / "smile.keras", faces[0])
    assert str(refused.value) == f"{faces[0]}: has no label that the model predicts, expected smile"
