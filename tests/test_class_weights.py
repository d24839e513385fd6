import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight

from hdf5_helper.errors import FacetError
from hdf5_helper.progress import no_words
from models.heads.choosing import heads_for
from models.training.class_weights import example_weights

GENDER = np.array([0, 0, 0, 1, 255, 1, 1, 1], np.uint8)
TRAIN = np.arange(5)


def weights(setting, label="gender", values=GENDER, rows=TRAIN, say=no_words):
    (head,) = heads_for((label,), {"attributes": ("Smiling", "Hat")})
    return example_weights(setting, head, values, rows, say)


def test_none_weighs_every_example_one():
    assert weights("none").tolist() == [1] * 8


def test_balanced_is_n_over_k_times_count_in_the_train_split():
    assert np.allclose(weights("balanced"), [4 / 6, 4 / 6, 4 / 6, 2, 1, 2, 2, 2])


@given(st.lists(st.integers(0, 1), min_size=2, max_size=60).filter(lambda v: len(set(v)) == 2))
def test_balanced_equals_scikit_learn(values):
    gender = np.array(values, np.uint8)
    expected = compute_class_weight("balanced", classes=np.array([0, 1]), y=gender)
    assert np.allclose(weights("balanced", values=gender, rows=np.arange(len(gender))), expected[gender])


def test_given_weights_are_taken_by_class_number():
    assert np.allclose(weights("0:1,1:1.582"), [1, 1, 1, 1.582, 1, 1.582, 1.582, 1.582])


def test_weights_for_the_larger_class_are_obeyed_with_a_warning():
    said = []
    assert weights("0:3,1:1", say=said.append)[0] == 3
    assert "".join(said) == (
        "warning: class weights favour class 0 of gender, which is already the larger one"
        " (3 examples against 1 of class 1)"
    )


def test_balanced_ages_have_mean_one_and_favour_rare_ages():
    ages = np.array([20.0] * 90 + [70.0] * 10 + [np.nan], np.float32)
    found = weights("balanced", "age", ages, np.arange(101))
    assert found[:100].mean() == pytest.approx(1)
    assert found[95] > 3 * found[0]
    assert found[100] == 1


@pytest.mark.parametrize(
    ("setting", "label", "sentence"),
    [
        ("balnced", "gender", "class weights 'balnced': expected none, balanced or such as 0:1,1:1.582"),
        ("0:1", "gender", "class weights '0:1': expected one weight for each of the classes 0 to 1"),
        ("0:1,1:-2", "gender", "class weights '0:1,1:-2': expected finite weights of at least 0"),
        ("0:1,1:2", "age", "class weights '0:1,1:2': label age has no classes, expected none or balanced"),
    ],
)
def test_weights_that_mean_nothing_are_refused(setting, label, sentence):
    values = GENDER if label == "gender" else np.array([20, 30, 40, 50, 60], np.float32)
    with pytest.raises(FacetError) as error:
        weights(setting, label, values)
    assert str(error.value) == sentence


def test_balanced_attributes_weigh_yes_and_no_alike_in_each_and_leave_the_unknown():
    values = np.array([[1, 0], [-1, 1], [-1, -1], [-1, 1]], np.int8)
    found = weights("balanced", "attributes", values, np.arange(4))
    assert np.allclose(found, [[2, 1], [2 / 3, 0.75], [2 / 3, 1.5], [2 / 3, 0.75]])


def test_given_weights_of_attributes_are_for_no_and_yes():
    values = np.array([[1, 0], [-1, 1]], np.int8)
    assert weights("0:1,1:5", "attributes", values, np.arange(2)).tolist() == [[5, 1], [1, 5]]


def test_unknown_as_a_class_has_a_weight_of_its_own():
    (head,) = heads_for(("gender",), forms={"gender": "softmax-unknown"})
    assert example_weights("0:1,1:2,2:3", head, GENDER, TRAIN, no_words).tolist() == [1, 1, 1, 2, 3, 2, 2, 2]
