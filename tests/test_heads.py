"""Losses and metrics of every head, with Keras and SciPy as oracles."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, softmax

from hdf5_helper.errors import FacetError
from models.description import Output
from models.heads.choosing import FORMS, heads_for, main_metric, metric_choices

NAMES = {"attributes": ("Smiling", "Hat"), "hair": ("black", "blond", "red")}
AGES = np.array([20, 40.5, np.nan, 63], np.float32)
GENDERS = np.array([0, 1, 255, 1], np.uint8)
GROUPS = np.array([0, 7, 255, 3], np.uint8)
ATTRIBUTES = np.array([[1, -1], [0, 1], [-1, -1], [1, 0]], np.int8)


def head_of(label, form=""):
    (head,) = heads_for((label,), NAMES, {label: form} if form else {})
    return head


def scores_for(head, rows=4, seed=0):
    spread = 30.0 if head.label == "age" and head.form != "bins" else 2.0
    return tf.constant(np.random.default_rng(seed).normal(0, spread, (rows, head.columns)), tf.float32)


def test_every_label_has_its_usual_head():
    found = {label: head_of(label).output for label in ("gender", "age", "age_group", "attributes", "hair")}
    assert found == {
        "gender": Output("gender", "sigmoid", ("male", "female")),
        "age": Output("age", "linear", unit="years"),
        "age_group": Output("age_group", "softmax", ("0-2", "4-6", "8-13", "15-20", "25-32", "38-43", "48-53", "60-")),
        "attributes": Output("attributes", "sigmoid", ("Smiling", "Hat")),
        "hair": Output("hair", "softmax", ("black", "blond", "red")),
    }


def test_of_several_labels_the_classes_count_ten_times_a_year_unless_told_otherwise():
    labels = ("age", "gender", "hair")
    assert [head.loss_weight for head in heads_for(labels, NAMES)] == [1, 10, 10]
    weights = {"gender": 500.0, "age": 2.0}
    assert [head.loss_weight for head in heads_for(labels, NAMES, loss_weights=weights)] == [2, 500, 10]
    assert head_of("gender").loss_weight == 1


def test_one_label_is_chosen_by_its_metric_and_several_by_their_loss():
    assert main_metric((head_of("age_group"),)) == "val_age_group_accuracy"
    assert main_metric(heads_for(("age", "gender"))) == "val_loss"
    assert metric_choices(heads_for(("age", "age_group"))) == (
        "val_loss",
        "val_age_mae",
        "val_age_group_accuracy",
        "val_age_group_one_off",
    )


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_classes_have_the_cross_entropy_of_keras(smoothing):
    head, values = head_of("hair"), np.array([2, 0, 1, 1], np.uint16)
    scores, targets = scores_for(head), head.targets(values)
    loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing, reduction=None)
    assert np.allclose(head.losses(scores, targets, smoothing), loss(targets, scores), rtol=1e-5)


def test_a_three_way_gender_takes_the_unknown_as_its_last_class():
    head = head_of("gender", "softmax-unknown")
    assert head.output == Output("gender", "softmax", ("male", "female", "unknown"))
    assert head.known(GENDERS).tolist() == [True] * 4
    assert head.targets(GENDERS).argmax(axis=1).tolist() == [0, 1, 2, 1]


def test_a_class_that_is_called_unknown_is_a_class_like_any_other():
    (head,) = heads_for(("mood",), {"mood": ("glad", "unknown")})
    assert head.known(np.array([0, 1, 65535], np.uint16)).tolist() == [True, True, False]


def test_a_two_way_gender_leaves_the_unknown_out():
    head = head_of("gender", "softmax")
    assert head.known(GENDERS).tolist() == [True, True, False, True]
    assert np.isfinite(head.targets(GENDERS)).all()


@pytest.mark.parametrize(
    ("form", "loss"),
    [
        ("mae", keras.losses.MeanAbsoluteError(None)),
        ("mse", keras.losses.MeanSquaredError(None)),
        ("huber", keras.losses.Huber(5.0, None)),
    ],
)
def test_years_are_learnt_by_their_error(form, loss):
    head = head_of("age", form)
    scores, targets = scores_for(head), head.targets(AGES)
    assert np.allclose(head.losses(scores, targets), loss(targets[:, None], scores), rtol=1e-5)
    assert np.allclose(head.metrics(scores, targets)[0], abs(scores[:, 0] - targets), rtol=1e-6)


def test_bins_give_the_expected_age_and_learn_the_distribution_around_the_true_one():
    head = head_of("age", "bins")
    scores, targets, years = scores_for(head), head.targets(AGES), np.arange(101)
    shares = softmax(scores.numpy().astype(float), axis=1)
    errors = abs(shares @ years - targets)
    wanted = softmax(-0.5 * ((targets[:, None] - years) / 2.0) ** 2, axis=1)
    assert np.allclose(head.metrics(scores, targets)[0], errors, rtol=1e-5)
    assert np.allclose(head.losses(scores, targets), -(wanted * np.log(shares)).sum(axis=1) + errors, rtol=1e-5)


def test_bins_start_at_the_ages_there_are():
    bias = head_of("age", "bins").first_bias(np.array([30, 30, 50], np.float32))
    assert softmax(bias.astype(float)) @ np.arange(101) == pytest.approx(110 / 3, abs=0.6)


def test_attributes_are_learnt_as_minus_one_and_one_or_as_probabilities():
    squared, logits = head_of("attributes", "mse"), head_of("attributes", "bce")
    scores, yes = scores_for(squared), (ATTRIBUTES > 0).astype(np.float32)
    assert np.allclose(squared.losses(scores, squared.targets(ATTRIBUTES)), (scores - ATTRIBUTES) ** 2, rtol=1e-5)
    entropy = -np.log(np.where(yes, expit(scores), expit(-scores)))
    assert np.allclose(logits.losses(scores, logits.targets(ATTRIBUTES)), entropy, rtol=1e-4)
    assert logits.known(ATTRIBUTES).tolist() == [[True, True], [False, True], [True, True], [True, False]]


@given(st.integers(0, 7), st.integers(0, 7))
@settings(max_examples=30, deadline=None)
def test_age_groups_also_count_the_neighbours(said, true):
    head = head_of("age_group")
    scores = tf.one_hot([said], 8)
    exact, one_off = (float(metric[0]) for metric in head.metrics(scores, head.targets(np.array([true], np.uint8))))
    assert (exact, one_off) == (said == true, abs(said - true) <= 1)


@pytest.mark.parametrize(("label", "form"), [(label, form) for label, forms in FORMS.items() for form in forms])
def test_every_form_gives_what_its_output_says_and_a_gradient_to_every_score(label, form):
    head = head_of(label, form)
    values = {"gender": GENDERS, "age": AGES, "age_group": GROUPS, "attributes": ATTRIBUTES}[label]
    scores, targets, known = tf.Variable(scores_for(head)), head.targets(values), head.known(values)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(head.losses(scores, targets) * known)
    layer_input = keras.Input((head.columns,))
    answer = keras.Model(layer_input, head.answer(layer_input))(scores.value())
    width = 1 if head.output.unit == "years" else head.columns
    assert (answer.shape, bool(np.isfinite(answer).all())) == ((4, width), True)
    assert (abs(tape.gradient(loss, scores).numpy()).sum(axis=1) > 0).tolist() == known.reshape(4, -1).any(1).tolist()
    assert all(metric.shape == known.shape for metric in head.metrics(scores, targets))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            {"labels": ("gender",), "forms": {"gender": "softmx"}},
            "heads gender=softmx: expected one of sigmoid, softmax, softmax-unknown (did you mean 'softmax'?)",
        ),
        ({"labels": ("gender",), "forms": {"age": "bins"}}, "heads 'age': is not trained, expected one of gender"),
        (
            {"labels": ("age",), "loss_weights": {"age": -1.0}},
            "loss_weights age=-1: expected a finite number of at least 0",
        ),
        (
            {"labels": ("hair",)},
            "label 'hair': its classes are not known, expected a packed file with it, or class_names",
        ),
        (
            {"labels": ("backbone",), "class_names": {"backbone": ("a", "b")}},
            "label 'backbone': cannot name an output, expected letters, digits, _ . - and no layer's name",
        ),
    ],
)
def test_heads_that_cannot_be_are_one_sentence(arguments, sentence):
    with pytest.raises(FacetError) as error:
        heads_for(**arguments)
    assert str(error.value) == sentence
