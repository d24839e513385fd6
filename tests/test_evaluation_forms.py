"""Every form of output, measured on small packed files by real Keras models."""

import csv
import json

import keras
import numpy as np
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, roc_auc_score
from trees import manifest, plant, write

from hdf5_helper.errors import FacetError
from hdf5_helper.packing.packer import PackOptions, pack
from hdf5_helper.progress import Silent
from hdf5_helper.reading.reader import HDF5Reader
from models.description import ModelDescription, Output
from models.interface.evaluation import evaluate
from models.interface.evaluation_files import write_evaluation
from models.interface.predictor import KerasPredictor

SIZE = (16, 16)
HAIR = Output("hair", "softmax", ("black", "fair", "red"))
THREE_WAY = Output("gender", "softmax", ("male", "female", "unknown"))
LOOKS = Output("attributes", "sigmoid", ("Bald", "Smiling", "Young"))
AGE_GROUP = Output("age_group", "softmax", ("0-2", "4-6", "8-13", "15-20", "25-32", "38-43", "48-53", "60-"))


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """40 faces of 20 persons: each third gender unknown; persons 0 to 4 on both sides, two faces of nobody known."""
    folder = tmp_path_factory.mktemp("faces")
    rows = [
        {
            "path": f"{number:02}.png",
            "gender": ("male", "female", "")[number % 3],
            "age": (1, 5, 10, 17, 28, 40, 50, 70)[number % 8],
            "hair": ("red", "fair", "black", "fair")[number % 4],
            "subject": "" if number > 37 else f"p{number % 20}",
            "split": "test" if number % 20 > 4 or number >= 20 else "train",
        }
        for number in range(40)
    ]
    pack([manifest(folder / "tree", rows)], folder / "faces.h5", PackOptions())
    return folder / "faces.h5"


@pytest.fixture(scope="module")
def looks(tmp_path_factory):
    """12 faces with the attributes Young, Bald and Hat."""
    folder = tmp_path_factory.mktemp("looks")
    values = [f"{n:06}.png {1 if n % 2 else -1} {1 if n % 3 else -1} -1" for n in range(12)]
    write(folder / "tree", "list_attr_celeba.txt", "\n".join(["12", "Young Bald Hat", *values, ""]).encode())
    plant(folder / "tree", [f"img_align_celeba/{line.split()[0]}" for line in values])
    pack([folder / "tree"], folder / "looks.h5", PackOptions())
    return folder / "looks.h5"


def predictor(*outputs, names=None, digest=""):
    """Gives a Keras model of the mean colours: one dense layer an output, each column's weights drawn by its name."""
    image = keras.Input((*SIZE, 3))
    means = keras.layers.Rescaling(1 / 64, -2)(keras.layers.GlobalAveragePooling2D()(image))
    values = {}
    for output in outputs:
        drawn = [np.random.default_rng(list(name.encode())).normal(0, 1, 4) for name in names or output.class_names]
        layer = keras.layers.Dense(len(drawn), output.activation, name=output.label)
        values[output.label] = layer(means)
        layer.set_weights([np.array(drawn)[:, :3].T, np.array(drawn)[:, 3]])
    description = ModelDescription(outputs, SIZE, images_digest=digest)
    return KerasPredictor(keras.Model(image, values), description, "made.keras")


def measured(model, file, split="all"):
    with HDF5Reader(file, image_size=SIZE) as reader:
        return evaluate(model, reader, split, {}, Silent())


def stored(file, label, rows):
    with HDF5Reader(file, image_size=SIZE) as reader:
        return reader.labels(label)[rows], reader.read(rows)


def written(found, file, folder):
    """Gives the rows of `predictions.csv`, and the names of the other files."""
    with HDF5Reader(file) as reader:
        write_evaluation(folder, found, reader)
    with open(folder / "predictions.csv", newline="") as text:
        return list(csv.DictReader(text)), sorted(path.name for path in folder.iterdir())


def test_a_class_label_is_measured_by_its_most_probable_class(faces, tmp_path):
    model = predictor(HAIR)
    found = measured(model, faces)
    hair, images = stored(faces, "hair", found.rows)
    shares = model.predict(images)["hair"]
    np.testing.assert_array_equal(found.predicted["hair"], shares.astype(np.float64))
    metrics = found.values["metrics"]["hair"]
    assert metrics["accuracy"] == accuracy_score(hair, shares.argmax(axis=1))
    assert metrics["confusion"] == confusion_matrix(hair, shares.argmax(axis=1)).tolist()
    rows, names = written(found, faces, tmp_path)
    assert names == ["hair-confusion.png", "metrics.json", "predictions.csv"]
    probabilities = [f"hair_{name}_probability" for name in HAIR.class_names]
    assert list(rows[0]) == ["path", "subject", "split", "hair", "hair_predicted", *probabilities]
    assert [row["hair"] for row in rows] == [HAIR.class_names[number] for number in hair]
    assert [row["hair_predicted"] for row in rows] == [HAIR.class_names[n] for n in shares.argmax(axis=1)]
    np.testing.assert_allclose([[float(row[p]) for p in probabilities] for row in rows], shares, rtol=1e-8)


def test_classes_of_another_order_are_matched_by_name(faces):
    expected = measured(predictor(HAIR), faces).values["metrics"]["hair"]
    found = measured(predictor(Output("hair", "softmax", ("red", "fair", "black"))), faces).values["metrics"]["hair"]
    assert found.pop("confusion") == np.array(expected.pop("confusion"))[::-1, ::-1].tolist()
    assert found == pytest.approx(expected)


def test_a_class_that_the_model_does_not_know_is_refused_in_one_sentence(faces):
    with pytest.raises(FacetError) as refused:
        measured(predictor(Output("hair", "softmax", ("black", "fair", "blue"))), faces)
    sentence = "label 'hair' has the class 'red', which the model does not know, expected black, fair, blue"
    assert str(refused.value) == f"{faces}: {sentence}"


def test_columns_without_names_are_the_classes_of_the_file(faces):
    found = measured(predictor(Output("hair", "softmax"), names=HAIR.class_names), faces)
    assert found.outputs["hair"] == HAIR
    assert found.values["metrics"] == measured(predictor(HAIR), faces).values["metrics"]


def test_age_groups_are_also_measured_by_one_off(faces):
    model = predictor(AGE_GROUP)
    found = measured(model, faces)
    groups, images = stored(faces, "age_group", found.rows)
    told = model.predict(images)["age_group"].argmax(axis=1)
    metrics = found.values["metrics"]["age_group"]
    assert (metrics["accuracy"], metrics["one_off"]) == (
        accuracy_score(groups, told),
        pytest.approx(np.mean(np.abs(groups.astype(int) - told) <= 1)),
    )


def test_a_two_way_gender_is_measured_as_the_probability_of_female(faces, tmp_path):
    two_way = predictor(Output("gender", "softmax", ("male", "female")))
    found = measured(two_way, faces)
    gender, images = stored(faces, "gender", found.rows)
    female = two_way.predict(images)["gender"][:, 1].astype(np.float64)
    np.testing.assert_array_equal(found.predicted["gender"], female)
    metrics = found.values["metrics"]["gender"]
    assert (metrics["accuracy"], metrics["auc"]) == (
        accuracy_score(gender, female >= 0.5),
        pytest.approx(roc_auc_score(gender, female)),
    )
    rows, _names = written(found, faces, tmp_path)
    np.testing.assert_allclose([float(row["gender_female_probability"]) for row in rows], female, rtol=1e-8)


def test_a_three_way_gender_counts_those_whose_gender_is_unknown(faces, tmp_path):
    found = measured(predictor(THREE_WAY), faces, "test")
    metrics = found.values["metrics"]["gender"]
    assert (found.values["count"], metrics["count"], metrics["known"]["count"]) == (35, 35, 23)
    assert np.shape(metrics["confusion"]) == (3, 3)
    assert np.shape(metrics["known"]["confusion"]) == (2, 2)
    rows, names = written(found, faces, tmp_path)
    assert names == ["gender-confusion.png", "metrics.json", "predictions.csv"]
    assert [row["gender"] for row in rows].count("unknown") == 12
    right = [row["gender"] == row["gender_predicted"] for row in rows]
    assert metrics["accuracy"] == pytest.approx(np.mean(right))
    assert metrics == json.loads((tmp_path / "metrics.json").read_text())["metrics"]["gender"]


@pytest.mark.parametrize(("activation", "limit", "kind"), [("sigmoid", 0.5, "probability"), ("linear", 0, "score")])
def test_attributes_are_measured_and_written_one_by_one(looks, tmp_path, activation, limit, kind):
    names = ("Young", "Bald", "Hat")
    model = predictor(Output("attributes", activation, names))
    found = measured(model, looks)
    true, images = stored(looks, "attributes", found.rows)
    values = model.predict(images)["attributes"]
    right = (values >= limit) == (true > 0)
    metrics = found.values["metrics"]["attributes"]
    assert metrics["accuracy"] == pytest.approx(right.mean())
    assert metrics["by_attribute"]["Bald"]["accuracy"] == pytest.approx(right[:, 1].mean())
    rows, files = written(found, looks, tmp_path)
    assert files == ["attributes.png", "metrics.json", "predictions.csv"]
    triples = [column for name in names for column in (name, f"{name}_predicted", f"{name}_{kind}")]
    assert list(rows[0]) == ["path", "subject", "split", *triples]
    assert [row["Bald"] for row in rows] == ["yes" if value > 0 else "no" for value in true[:, 1]]
    assert [row["Bald_predicted"] for row in rows] == ["yes" if value >= limit else "no" for value in values[:, 1]]
    np.testing.assert_allclose([float(row[f"Bald_{kind}"]) for row in rows], values[:, 1], rtol=1e-8)


def test_attributes_are_matched_by_name_and_those_of_the_model_alone_are_unknown(looks, tmp_path):
    found = measured(predictor(LOOKS), looks)
    whole = measured(predictor(Output("attributes", "sigmoid", ("Young", "Bald", "Hat"))), looks)
    metrics, expected = (one.values["metrics"]["attributes"]["by_attribute"] for one in (found, whole))
    assert metrics == {"Bald": expected["Bald"], "Smiling": {"count": 0}, "Young": expected["Young"]}
    rows, _files = written(found, looks, tmp_path)
    assert {row["Smiling"] for row in rows} == {""}


@pytest.mark.parametrize(
    ("output", "names", "sentence"),
    [
        (
            Output("attributes", "softmax", ("Young", "Bald", "Hat")),
            None,
            "made.keras: output 'attributes' has 3 softmax columns, expected 3, sigmoid or linear, one an attribute",
        ),
        (
            Output("attributes", "linear"),
            ("a", "b"),
            "made.keras: output 'attributes' has 2 linear columns, expected 3, sigmoid or linear, one an attribute",
        ),
        (
            Output("attributes", "sigmoid", ("a", "b")),
            None,
            "{file}: has none of the model's attributes, expected some of a, b",
        ),
    ],
)
def test_attributes_that_cannot_be_measured_are_refused_in_one_sentence(looks, output, names, sentence):
    with pytest.raises(FacetError) as refused:
        measured(predictor(output, names=names), looks)
    assert str(refused.value).partition(": others")[0] == sentence.format(file=looks)


def by_person(file, split, digest=None):
    with HDF5Reader(file) as reader:
        digest = reader.images_digest if digest is None else digest
    groups = measured(predictor(HAIR, digest=digest), file, split).values["groups"]
    return {value: metrics["hair"]["count"] for value, metrics in groups.get("person", {}).items()}


def test_persons_that_were_learnt_from_are_measured_apart(faces):
    """Five persons have a face in each split, two faces are nobody's."""
    assert by_person(faces, "test") == {"in train": 5, "not in train": 28}
    assert by_person(faces, "all") == {"in train": 10, "not in train": 28}


def test_persons_that_were_learnt_from_as_unknown_are_learnt_from_where_that_is_a_class(faces):
    """Of five persons with a face in each split, the model has seen p2 as one whose gender is unknown."""
    with HDF5Reader(faces) as reader:
        model = predictor(THREE_WAY, digest=reader.images_digest)
    persons = measured(model, faces, "test").values["groups"]["person"]
    assert {value: metrics["gender"]["count"] for value, metrics in persons.items()} == {
        "in train": 5,
        "not in train": 28,
    }


@pytest.fixture
def unnamed(tmp_path):
    """Four faces, of which nobody has named those to learn from."""
    sides = (("", "train"), ("", "train"), ("p1", "test"), ("p2", "test"))
    rows = [
        {"path": f"{n}.png", "hair": ("red", "fair")[n % 2], "age": 20 + n, "subject": subject, "split": split}
        for n, (subject, split) in enumerate(sides)
    ]
    pack([manifest(tmp_path / "tree", rows)], tmp_path / "faces.h5", PackOptions())
    return tmp_path / "faces.h5"


def test_persons_are_not_told_apart_where_nobody_knows_who_was_learnt_from(faces, looks, unnamed):
    assert by_person(faces, "train") == {}
    assert by_person(faces, "test", digest="of another file") == {}
    assert by_person(unnamed, "test") == {}
    with HDF5Reader(looks) as reader:
        found = measured(predictor(LOOKS, digest=reader.images_digest), looks, "test")
    assert "person" not in found.values["groups"]
