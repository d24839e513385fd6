import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix, f1_score, recall_score

from models.description import Output
from models.training.attribute_metrics import attribute_metrics, by_gain
from models.training.evaluation import class_metrics, gender_metrics, label_metrics, unknown_class_metrics

THREE_WAY = Output("gender", "softmax", ("male", "female", "unknown"))
AGE_GROUP = Output("age_group", "softmax", ("0-2", "4-6", "8-13", "15-20"))
HAIR = Output("hair", "softmax", ("fair", "dark", "red"))
LOOKS = Output("attributes", "sigmoid", ("Young", "Bald", "Hat"))


def certain(*numbers, classes):
    """Gives probabilities of which the largest stands at each number."""
    return np.eye(classes)[list(numbers)] * 0.5 + 0.5 / classes


def test_figures_of_six_age_groups():
    found = label_metrics(AGE_GROUP, np.array([0, 0, 1, 1, 3, 255], np.uint8), certain(0, 1, 1, 3, 3, 0, classes=4))
    assert found == {
        "count": 5,
        "accuracy": 0.6,
        "one_off": 0.8,
        "balanced_accuracy": pytest.approx((0.5 + 0.5 + 1) / 3),
        "majority": 0.4,
        "macro_f1": pytest.approx((2 / 3 + 1 / 2 + 2 / 3) / 3),
        "confusion": [[1, 1, 0, 0], [0, 1, 0, 1], [0, 0, 0, 0], [0, 0, 0, 1]],
    }


def test_classes_without_an_order_have_no_one_off():
    found = label_metrics(HAIR, np.array([0, 2, 65535], np.uint16), certain(0, 2, 1, classes=3))
    assert (found["count"], found["accuracy"], "one_off" in found) == (2, 1.0, False)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40))
def test_figures_of_classes_equal_scikit_learn(pairs):
    targets, told = np.array(pairs).T
    found = class_metrics(targets, certain(*told, classes=4), ordered=True)
    assert found["accuracy"] == accuracy_score(targets, told)
    assert found["macro_f1"] == pytest.approx(f1_score(targets, told, average="macro"))
    assert found["confusion"] == confusion_matrix(targets, told, labels=range(4)).tolist()
    assert found["one_off"] == pytest.approx(np.mean(np.abs(targets - told) <= 1))
    assert found["majority"] == np.bincount(targets).max() / len(targets)
    there = sorted(set(targets.tolist()))
    recall = recall_score(targets, told, labels=there, average="macro") if len(there) > 1 else None
    assert found["balanced_accuracy"] == (recall if recall is None else pytest.approx(recall))


def test_an_unknown_gender_counts_as_the_third_class_and_known_ones_are_measured_apart():
    targets = np.array([0, 1, 1, 255, 255], np.uint8)
    shares = np.array([[0.5, 0.25, 0.25], [0.1, 0.3, 0.6], [0.3, 0.2, 0.5], [0, 0.2, 0.8], [0.6, 0.4, 0]])
    found = label_metrics(THREE_WAY, targets, shares)
    assert (found["count"], found["accuracy"]) == (5, 0.4)
    assert found["confusion"] == [[1, 0, 0], [0, 0, 2], [1, 0, 1]]
    assert found["known"] == gender_metrics(targets[:3], np.array([1 / 3, 3 / 4, 2 / 5]))


def test_a_gender_that_is_taken_for_nothing_but_unknown_is_female_by_a_half():
    found = unknown_class_metrics(np.array([0, 1]), np.array([[0.0, 0.0, 1.0]] * 2))
    assert found["known"]["confusion"] == [[0, 1], [0, 1]]


def test_where_no_gender_is_known_nothing_is_said_of_known_ones():
    found = label_metrics(THREE_WAY, np.array([255, 255], np.uint8), certain(2, 0, classes=3))
    assert (found["accuracy"], found["known"]) == (0.5, {"count": 0})


def test_figures_of_three_attributes():
    targets = np.array([[1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 0, 0], [0, 0, 0]], np.int8)
    values = np.array([[0.5, 0, 1], [0.9, 0, 1], [0.4, 0.4, 1], [0.49, 1, 1], [0, 0, 0]])
    young = {"count": 4, "accuracy": 0.75, "majority": 0.75, "balanced_accuracy": pytest.approx((2 / 3 + 1) / 2)}
    bald = {"count": 3, "accuracy": pytest.approx(2 / 3), "majority": pytest.approx(2 / 3), "balanced_accuracy": 0.5}
    assert label_metrics(LOOKS, targets, values) == {
        "count": 4,
        "accuracy": pytest.approx((3 / 4 + 2 / 3) / 2),
        "majority": pytest.approx((3 / 4 + 2 / 3) / 2),
        "balanced_accuracy": pytest.approx((5 / 6 + 1 / 2) / 2),
        "by_attribute": {"Young": young, "Bald": bald, "Hat": {"count": 0}},
    }


def test_scores_of_attributes_say_yes_from_zero_on():
    looks = Output("attributes", "linear", ("Young", "Bald", "Hat"))
    targets = np.array([[1, -1, 1]], np.int8)
    found = attribute_metrics(looks, targets, np.array([[0.1, 0.0, -0.1]]))["by_attribute"]
    assert {name: metrics["accuracy"] for name, metrics in found.items()} == {"Young": 1, "Bald": 0, "Hat": 0}


@given(st.lists(st.tuples(*[st.sampled_from((-1, 0, 1))] * 2, *[st.floats(0, 1)] * 2), min_size=1, max_size=30))
def test_figures_of_attributes_equal_scikit_learn(rows):
    looks = Output("attributes", "sigmoid", ("a", "b"))
    table = np.array(rows)
    targets, values = table[:, :2].astype(np.int8), table[:, 2:]
    found = label_metrics(looks, targets, values)
    accuracies = []
    for column, name in enumerate(looks.class_names):
        known = targets[:, column] != 0
        true, told = targets[known, column] > 0, values[known, column] >= 0.5
        if not len(true):
            assert found["count"] == 0 or found["by_attribute"][name] == {"count": 0}
            continue
        accuracies.append(accuracy_score(true, told))
        assert found["by_attribute"][name]["accuracy"] == pytest.approx(accuracies[-1])
        if len(set(true.tolist())) == 2:
            balanced = balanced_accuracy_score(true, told)
            assert found["by_attribute"][name]["balanced_accuracy"] == pytest.approx(balanced)
    assert found.get("accuracy") == (pytest.approx(np.mean(accuracies)) if accuracies else None)


def test_attributes_are_listed_by_what_they_gain_over_the_majority():
    figures = {"a": (0.9, 0.9), "b": (0.6, 0.5), "c": (0.7, 0.8)}
    given_figures = {n: {"count": 3, "accuracy": a, "majority": m} for n, (a, m) in figures.items()}
    assert [name for name, _ in by_gain({"unknown": {"count": 0}, **given_figures})] == ["b", "a", "c"]
