"""Figures of a model on labelled examples: overall, and for each group of people apart."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdf5_helper.labels import known
from models.description import THRESHOLD

Floats = NDArray[np.float64]
Metrics = dict[str, Any]

#: Groups smaller than this get a count and no figures: a share of so few says nothing.
SMALLEST_GROUP = 10


def gender_metrics(targets: NDArray[np.integer[Any]], female: Floats) -> Metrics:
    """Gives the figures of gender.

    Args:
        targets: (n,) 0 = male, 1 = female.
        female: (n,) predicted P(female); THRESHOLD counts as female.

    Returns:
        count, accuracy, balanced_accuracy and auc (NaN-free: None where one class is absent), majority (accuracy of
        always saying the larger class), confusion: rows are the true male and female, columns the predicted ones.
    """
    from sklearn.metrics import confusion_matrix, roc_auc_score

    matrix = confusion_matrix(targets, female >= THRESHOLD, labels=[0, 1])
    both = bool((matrix.sum(axis=1) > 0).all())
    recalls = matrix.diagonal() / np.maximum(matrix.sum(axis=1), 1)
    return {
        "count": len(targets),
        "accuracy": float(matrix.trace() / len(targets)),
        "balanced_accuracy": float(recalls.mean()) if both else None,
        "auc": float(roc_auc_score(targets, female)) if both else None,
        "majority": float(matrix.sum(axis=1).max() / len(targets)),
        "confusion": matrix.tolist(),
    }


def age_metrics(targets: Floats, years: Floats) -> Metrics:
    """Gives the figures of age.

    Args:
        targets: (n,) years.
        years: (n,) predicted years.

    Returns:
        count, mae, rmse and bias (mean of predicted - true) in years, cs5: share of errors of at most 5 years.
    """
    errors = np.asarray(years, np.float64) - np.asarray(targets, np.float64)
    return {
        "count": len(errors),
        "mae": float(np.abs(errors).mean()),
        "rmse": float(np.sqrt((errors**2).mean())),
        "bias": float(errors.mean()),
        "cs5": float((np.abs(errors) <= 5).mean()),
    }


def label_metrics(label: str, targets: NDArray[Any], predicted: Floats) -> Metrics:
    """Gives the figures of one label over the examples where it is known, `{"count": 0}` where it is nowhere."""
    rows = known(label, targets)
    if not rows.any():
        return {"count": 0}
    if label == "age":
        return age_metrics(targets[rows], predicted[rows])
    return gender_metrics(targets[rows], predicted[rows])


def group_metrics(
    groups: dict[str, NDArray[np.str_]], targets: dict[str, NDArray[Any]], predicted: dict[str, Floats]
) -> dict[str, dict[str, dict[str, Metrics]]]:
    """Gives the figures by group.

    Args:
        groups: by name (origin, gender, decade of age, …) the value of each example as text, empty for unknown.
        targets: by label, (n,) as stored.
        predicted: by label, (n,).

    Returns:
        group name -> value -> label -> metrics; fewer than SMALLEST_GROUP examples give a count alone.
    """
    return {
        name: {v: _one_group(values == v, targets, predicted) for v in _values(values)}
        for name, values in groups.items()
    }


def decades(ages: NDArray[np.floating[Any]]) -> NDArray[np.str_]:
    """Names the decade of each age in years, such as `20-29`; empty for NaN."""
    return np.array(["" if np.isnan(age) else f"{int(age) // 10 * 10}-{int(age) // 10 * 10 + 9}" for age in ages], str)


def _values(values: NDArray[np.str_]) -> list[str]:
    return sorted((str(value) for value in np.unique(values) if value), key=lambda text: (len(text), text))


def _one_group(
    rows: NDArray[np.bool_], targets: dict[str, NDArray[Any]], predicted: dict[str, Floats]
) -> dict[str, Metrics]:
    metrics = {label: label_metrics(label, targets[label][rows], predicted[label][rows]) for label in targets}
    return {label: m if m["count"] >= SMALLEST_GROUP else {"count": m["count"]} for label, m in metrics.items()}
