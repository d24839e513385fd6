import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, balanced_accuracy_score, mean_absolute_error, roc_auc_score

from models.training.evaluation import age_metrics, decades, gender_metrics, group_metrics, label_metrics
from models.training.report_pictures import confusion_text


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
    known = label_metrics("gender", np.array([0, 1], np.uint8), np.array([0.2, 0.8]))
    assert label_metrics("gender", np.array([0, 255, 1], np.uint8), np.array([0.2, 0.1, 0.8])) == known
    assert label_metrics("age", np.array([np.nan], np.float32), np.array([30.0])) == {"count": 0}


def test_groups_are_measured_apart_and_small_ones_only_counted():
    origin = np.array(["imdb"] * 12 + ["wiki"] * 3 + [""])
    targets = {"gender": np.array([0, 1] * 8, np.uint8)}
    predicted = {"gender": np.array([0.0] * 16)}
    found = group_metrics({"origin": origin}, targets, predicted)
    assert list(found["origin"]) == ["imdb", "wiki"]
    assert found["origin"]["imdb"]["gender"]["accuracy"] == 0.5
    assert found["origin"]["wiki"]["gender"] == {"count": 3}


def test_decades_of_ages():
    assert decades(np.array([0, 9.5, 10, 39, np.nan, 101])).tolist() == ["0-9", "0-9", "10-19", "30-39", "", "100-109"]


def test_confusion_as_text():
    assert confusion_text([[1200, 3], [4, 5]], ("male", "female")) == (
        "                      male      female   (predicted)\n"
        "true male            1,200           3\n"
        "true female              4           5"
    )
