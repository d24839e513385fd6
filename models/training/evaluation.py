"""Figures of a model on labelled examples: overall, and for each group of people apart."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdf5_helper.labels import known
from models.description import THRESHOLD, Output
from models.training.attribute_metrics import attribute_metrics

Floats = NDArray[np.float64]
Metrics = dict[str, Any]

#: Groups smaller than this get a count and no figures: a share of so few says nothing.
SMALLEST_GROUP = 10


def gender_metrics(targets: NDArray[np.integer[Any]], female: Floats) -> Metrics:
    """Gives the figures of gender, or of any other label of two classes.

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


def class_metrics(targets: NDArray[np.integer[Any]], probabilities: Floats, *, ordered: bool = False) -> Metrics:
    """Gives the figures of one of k classes, of which the most probable counts as predicted.

    Args:
        targets: (n,) class numbers.
        probabilities: (n, k).
        ordered: the classes follow each other, as age groups do.

    Returns:
        count, accuracy, balanced_accuracy (mean recall of the classes that are there, None where only one is), majority
        (accuracy of always saying the largest class), macro_f1 (mean F1 of the classes that are true or predicted
        somewhere), confusion: rows are true classes, columns predicted ones. Where classes are ordered also one_off:
        the share that misses by one class at most (Eidinger, Enbar and Hassner 2014; Levi and Hassner 2015).
    """
    from sklearn.metrics import confusion_matrix

    classes = np.arange(probabilities.shape[1])
    matrix = confusion_matrix(targets, probabilities.argmax(axis=1), labels=classes)
    right, true, told = matrix.diagonal(), matrix.sum(axis=1), matrix.sum(axis=0)
    there, either = true > 0, true + told > 0
    near = float(matrix[np.abs(np.subtract.outer(classes, classes)) <= 1].sum() / len(targets))
    return {
        "count": len(targets),
        "accuracy": float(right.sum() / len(targets)),
        **({"one_off": near} if ordered else {}),
        "balanced_accuracy": float((right[there] / true[there]).mean()) if there.sum() > 1 else None,
        "majority": float(true.max() / len(targets)),
        "macro_f1": float((2 * right[either] / (true + told)[either]).mean()),
        "confusion": matrix.tolist(),
    }


def unknown_class_metrics(targets: NDArray[np.integer[Any]], probabilities: Floats) -> Metrics:
    """Gives the figures of a label whose last class is `unknown`, such as a 3-way gender.

    Args:
        targets: (n,) class numbers; k - 1 is unknown.
        probabilities: (n, k).

    Returns:
        `class_metrics` over all classes, and under `known`, which can be compared with a model that has no such class,
        the figures over the examples whose class is known, the predicted unknown left out: for two known classes
        `gender_metrics` of p_female / (p_male + p_female), for more `class_metrics`. `{"count": 0}` where none is.
    """
    unknown = probabilities.shape[1] - 1
    rows = targets < unknown
    return class_metrics(targets, probabilities) | {"known": _among_known(targets[rows], probabilities[rows, :unknown])}


def _among_known(targets: NDArray[np.integer[Any]], probabilities: Floats) -> Metrics:
    if not len(targets):
        return {"count": 0}
    if probabilities.shape[1] != 2:
        return class_metrics(targets, probabilities)
    total = probabilities.sum(axis=1)
    even = np.full(len(total), THRESHOLD)  # where nothing is left beside unknown
    return gender_metrics(targets, np.divide(probabilities[:, 1], total, out=even, where=total > 0))


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


def counted_values(output: Output, targets: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Gives the values to measure with, and bool (n,): which examples count.

    An unknown label counts where unknown is a class, with the number of that class, and nowhere else.

    Args:
        output: of the label.
        targets: (n,), of attributes (n, A), as stored.
    """
    rows = known(output.label, targets)
    if not output.unknown_is_a_class:
        return targets, rows
    return np.where(rows, targets, len(output.class_names) - 1), np.ones(len(targets), bool)


def label_metrics(output: Output, targets: NDArray[Any], predicted: Floats) -> Metrics:
    """Gives the figures of one label over the examples where it is known, `{"count": 0}` where it is nowhere.

    Args:
        output: what was predicted.
        targets: (n,), of attributes (n, A), as stored.
        predicted: (n,) years or P(second class), or (n, k); see `models.interface.evaluation.Evaluation`.
    """
    values, rows = counted_values(output, targets)
    if not rows.any():
        return {"count": 0}
    values, predicted = values[rows], predicted[rows]
    if output.label == "age":
        return age_metrics(values, predicted)
    if output.label == "attributes":
        return attribute_metrics(output, values, predicted)
    if output.activation == "sigmoid":
        return gender_metrics(values, predicted)
    if output.unknown_is_a_class:
        return unknown_class_metrics(values, predicted)
    return class_metrics(values, predicted, ordered=output.label == "age_group")


def group_metrics(
    groups: dict[str, NDArray[np.str_]],
    outputs: dict[str, Output],
    targets: dict[str, NDArray[Any]],
    predicted: dict[str, Floats],
) -> dict[str, dict[str, dict[str, Metrics]]]:
    """Gives the figures by group.

    Args:
        groups: by name (origin, gender, decade of age, …) the value of each example as text, empty for unknown.
        outputs: by label; see `label_metrics`, also for the other two.
        targets: by label.
        predicted: by label.

    Returns:
        group name -> value -> label -> metrics; fewer than SMALLEST_GROUP examples give a count alone.
    """

    def one_group(rows: NDArray[np.bool_]) -> dict[str, Metrics]:
        found = {label: label_metrics(outputs[label], t[rows], predicted[label][rows]) for label, t in targets.items()}
        return {label: m if m["count"] >= SMALLEST_GROUP else {"count": m["count"]} for label, m in found.items()}

    return {name: {v: one_group(values == v) for v in _values(values)} for name, values in groups.items()}


def decades(ages: NDArray[np.floating[Any]]) -> NDArray[np.str_]:
    """Names the decade of each age in years, such as `20-29`; empty for NaN."""
    return np.array(["" if np.isnan(age) else f"{int(age) // 10 * 10}-{int(age) // 10 * 10 + 9}" for age in ages], str)


def _values(values: NDArray[np.str_]) -> list[str]:
    return sorted((str(value) for value in np.unique(values) if value), key=lambda text: (len(text), text))
