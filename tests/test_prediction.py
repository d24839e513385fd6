import csv
import os
import threading

import cv2
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image
from small_models import images

from hdf5_helper.errors import FacetError
from models.description import ModelDescription, Output
from models.interface.answers import Answer, answer
from models.interface.prediction import Prediction, find_pictures, predict_pictures, prediction_csv

GENDER = Output("gender", "sigmoid", ("male", "female"))
AGE = Output("age", "linear", unit="years")


class MeanColour:
    """A predictor whose values can be worked out by hand: P(female) from red, age from green."""

    source = "mean-colour"

    def __init__(self, size=(8, 8), fit="stretch"):
        self.description = ModelDescription((GENDER, AGE), size, fit)
        self.batches = []

    def predict(self, pictures):
        self.batches.append(pictures.shape)
        means = pictures.astype(np.float32).mean(axis=(1, 2))
        return {"gender": means[:, :1] / 255, "age": means[:, 1:2]}


def colour(path, red, green, side=8):
    Image.fromarray(np.full((side, side, 3), (red, green, 7), np.uint8)).save(path)


@given(st.floats(0, 1, width=32))
@example(0.5)
def test_a_sigmoid_is_read_as_two_classes_with_one_half_as_the_second(value):
    found = answer(GENDER, np.array([value], np.float32))
    assert found.probabilities == {"male": 1 - value, "female": value}
    assert found.predicted == ("female" if value >= 0.5 else "male")


@given(st.floats(-1e6, 1e6, width=32))
def test_a_number_is_read_as_it_is(value):
    assert answer(AGE, np.array([value], np.float32)) == Answer(value)


def test_a_softmax_is_read_as_its_largest_class():
    hair = Output("hair", "softmax", ("fair", "dark", "red"))
    found = answer(hair, np.array([0.25, 0.625, 0.125], np.float32))
    assert found == Answer("dark", {"fair": 0.25, "dark": 0.625, "red": 0.125})


def test_outputs_without_class_names_are_numbered():
    assert answer(Output("x", "sigmoid"), np.array([0.25], np.float32)) == Answer("0", {"0": 0.75, "1": 0.25})
    assert answer(Output("x", "softmax"), np.array([0.25, 0.75], np.float32)).predicted == "1"


def test_attributes_are_read_as_the_names_of_those_that_are_yes():
    looks = Output("attributes", "sigmoid", ("Bald", "Smiling", "Young"))
    found = answer(looks, np.array([0.25, 0.5, 0.75], np.float32))
    assert found == Answer(("Smiling", "Young"), {"Bald": 0.25, "Smiling": 0.5, "Young": 0.75})
    assert found.to_dict() == {"predicted": ["Smiling", "Young"], "probabilities": found.probabilities}
    assert found.columns("attributes") == {
        "Bald": {"Bald_predicted": "no", "Bald_probability": "0.25"},
        "Smiling": {"Smiling_predicted": "yes", "Smiling_probability": "0.5"},
        "Young": {"Young_predicted": "yes", "Young_probability": "0.75"},
    }


def test_scores_of_attributes_are_yes_from_zero_on():
    found = answer(Output("attributes", "linear", ("Bald", "Young")), np.array([-0.5, 0.0], np.float32))
    assert found == Answer(("Young",), {}, {"Bald": -0.5, "Young": 0.0})
    assert found.to_dict() == {"predicted": ["Young"], "scores": {"Bald": -0.5, "Young": 0.0}}
    assert found.columns("attributes")["Bald"] == {"Bald_predicted": "no", "Bald_score": "-0.5"}


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ((0.1, 0.2, 0.3, 0.4, 0.49), "none"),
        ((0.1, 0.2, 0.8, 0.4, 0.971), "e 0.97, c 0.80"),
        ((0.5, 0.6, 0.7, 0.8, 0.9), "e 0.90, d 0.80, c 0.70, 2 more"),
    ],
)
def test_of_attributes_the_surest_are_shown(values, text):
    assert answer(Output("attributes", "sigmoid", tuple("abcde")), np.array(values, np.float32)).text == text


def test_an_attribute_by_itself_is_no_pair_of_classes():
    assert answer(Output("attributes", "sigmoid", ("Hat",)), np.array([0.75], np.float32)).predicted == ("Hat",)


def test_several_values_that_are_no_softmax_are_refused():
    with pytest.raises(FacetError) as refused:
        answer(Output("landmarks", "linear"), np.zeros(4, np.float32))
    assert str(refused.value) == "output 'landmarks': 4 linear values, expected one or a softmax"


def test_answers_are_shown_short_and_written_exactly(tmp_path):
    value = float(np.float32(0.9731234))
    found = Prediction(tmp_path, {"gender": answer(GENDER, np.float32([value])), "age": Answer(31.4375, {})})
    assert [one.text for one in found.answers.values()] == ["female 0.97", "31.4"]
    cells = found.cells()
    assert list(cells) == [
        *("path", "gender_predicted", "gender_male_probability", "gender_female_probability", "age_predicted")
    ]
    assert np.float32(cells["gender_female_probability"]) == np.float32(value)
    assert found.to_dict() == {
        "path": str(tmp_path),
        "gender": {"predicted": "female", "probabilities": {"male": 1 - value, "female": value}},
        "age": {"predicted": 31.4375},
    }


def test_a_row_holds_the_columns_of_every_label(tmp_path):
    looks = answer(Output("attributes", "linear", ("Bald", "Hat")), np.float32([-0.5, 0.25]))
    assert Prediction(tmp_path, {"age": Answer(7.0), "attributes": looks}).cells() == {
        "path": str(tmp_path),
        "age_predicted": "7",
        "Bald_predicted": "no",
        "Bald_score": "-0.5",
        "Hat_predicted": "yes",
        "Hat_score": "0.25",
    }


def test_folders_are_walked_through_in_order_and_other_files_ignored(tmp_path):
    for name in ("b/2.PNG", "b/1.jpg", "a/x/deep.webp", "a/notes.txt", "a/Thumbs.db", "c.jpeg", "noimage"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "b" / "up").symlink_to(tmp_path)
    found = find_pictures([tmp_path / "noimage", tmp_path])
    names = [path.relative_to(tmp_path).as_posix() for path in found]
    assert names == ["noimage", "c.jpeg", "a/x/deep.webp", "b/1.jpg", "b/2.PNG"]


def test_a_place_without_pictures_is_refused_in_one_sentence(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(FacetError) as refused:
        find_pictures([tmp_path])
    suffixes = ".jpg, .jpeg, .png, .webp, .bmp, .gif, .tif, .tiff"
    assert str(refused.value) == f"{tmp_path}: no pictures in it, expected files ending in {suffixes}"
    with pytest.raises(FacetError) as refused:
        find_pictures([tmp_path, tmp_path / "gone"])
    assert str(refused.value) == f"{tmp_path / 'gone'}: no such file or folder, expected pictures"


def test_every_picture_gets_its_own_answer_in_order_whatever_the_batch(tmp_path):
    paths = [tmp_path / f"{number}.png" for number in range(11)]
    for number, path in enumerate(paths):
        colour(path, 20 * number, 5 * number)
    for batch_size in (1, 4, 11, 64):
        model = MeanColour()
        found = list(predict_pictures(model, paths, batch_size=batch_size))
        assert [prediction.path for prediction in found] == paths
        ages = [prediction.answers["age"].predicted for prediction in found]
        assert ages == [5.0 * number for number in range(11)]
        assert [shape[0] for shape in model.batches] == [
            *[batch_size] * (11 // batch_size),
            *[11 % batch_size] * (11 % batch_size > 0),
        ]


def test_a_picture_is_brought_to_the_models_size_as_in_training(tmp_path):
    picture = images(1, 40)[0][:, :30]
    cv2.imwrite(str(tmp_path / "x.png"), picture[..., ::-1])
    seen = []
    model = MeanColour((20, 20), "crop")
    model.predict = lambda pictures: (seen.append(pictures.copy()), MeanColour.predict(model, pictures))[1]
    list(predict_pictures(model, [tmp_path / "x.png"]))
    middle = picture[5:35]
    assert np.array_equal(seen[0][0], cv2.resize(middle, (20, 20), interpolation=cv2.INTER_AREA))


def test_an_unreadable_picture_has_its_reason_and_stops_nothing(tmp_path):
    names = ("good.png", "empty.jpg", "text.jpg", "cut.png", "folder.jpg", "also.png")
    paths = [tmp_path / name for name in names]
    colour(paths[0], 255, 10)
    paths[1].touch()
    paths[2].write_text("no image")
    colour(paths[3], 1, 1, side=64)
    paths[3].write_bytes(paths[3].read_bytes()[:60])
    paths[4].mkdir()
    colour(paths[5], 0, 20)
    found = list(predict_pictures(MeanColour(), [*paths, tmp_path / "gone.png"], batch_size=2))
    assert {prediction.path.name: prediction.reason for prediction in found} == {
        "good.png": "",
        "empty.jpg": "an empty file",
        "text.jpg": "cannot be decoded: is no image of a known format",
        "cut.png": "cannot be decoded: damaged or truncated image data",
        "folder.jpg": "is a directory",
        "also.png": "",
        "gone.png": "no such file or directory",
    }
    ages = [prediction.answers["age"].predicted for prediction in found if prediction.answers]
    assert ages == [10.0, 20.0]


def test_a_model_of_any_image_size_is_refused(tmp_path):
    with pytest.raises(FacetError) as refused:
        list(predict_pictures(MeanColour((0, 0)), [tmp_path]))
    sentence = "mean-colour: the model takes images of any size, expected one of a fixed size"
    assert str(refused.value) == sentence


def test_progress_counts_every_picture_and_threads_end(tmp_path):
    class Counting:
        total = done = 0

        def start(self, _what, total):
            self.total = total

        def advance(self, count, _note=""):
            self.done += count

        def stop(self):
            self.total = -self.total

    for number in range(5):
        colour(tmp_path / f"{number}.png", 1, 1)
    progress, before = Counting(), threading.active_count()
    list(predict_pictures(MeanColour(), find_pictures([tmp_path]), batch_size=2, progress=progress))
    assert (progress.total, progress.done, threading.active_count()) == (-5, 5, before)


def test_the_csv_holds_a_row_for_each_readable_picture_and_appears_whole(tmp_path):
    out = tmp_path / "out.csv"
    with prediction_csv(out) as add:
        add(Prediction(tmp_path / "a, b.png", {"age": Answer(12.5, {})}))
        add(Prediction(tmp_path / "bad.png", {}, "damaged"))
        assert not out.exists()
        add(Prediction(tmp_path / os.fsdecode(b"caf\xe9.png"), {"age": Answer(7.0, {})}))
    with open(out, encoding="utf-8", errors="surrogateescape", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows == [
        {"path": str(tmp_path / "a, b.png"), "age_predicted": "12.5"},
        {"path": str(tmp_path / os.fsdecode(b"caf\xe9.png")), "age_predicted": "7"},
    ]


def test_a_failed_csv_leaves_the_old_one(tmp_path):
    out = tmp_path / "out.csv"
    out.write_text("old")
    rows = [Prediction(tmp_path, {"age": Answer(1.0, {})}), Prediction(tmp_path, {"gender": Answer("male", {})})]
    with pytest.raises(ValueError, match="gender_predicted"), prediction_csv(out) as add:
        any(map(add, rows))
    assert (out.read_text(), list(tmp_path.iterdir())) == ("old", [out])
