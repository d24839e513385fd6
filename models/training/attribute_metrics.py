"""Figures of many yes-or-no attributes at once, and what an attribute's value means."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.description import Output


def says_yes(output: Output, values: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
    """Reads values of attributes as yes or no: a probability of at least 0.5, a score of at least 0.

    Args:
        output: its activation is `sigmoid` for probabilities, `linear` for scores of which -1 is no and 1 is yes.
        values: of any shape.

    Returns:
        bool, of the same shape.
    """
    return np.asarray(values >= (output.threshold or 0.0))


def attribute_metrics(output: Output, targets: NDArray[np.int8], predicted: NDArray[np.float64]) -> dict[str, Any]:
    """Gives the figures of attributes; an unknown cell adds nothing.

    Args:
        output: names the attributes.
        targets: (n, A) 1 = yes, -1 = no, 0 = unknown; at least one is known.
        predicted: (n, A) probabilities or scores.

    Returns:
        count: examples. accuracy: the mean over attributes of the accuracy over known cells, the mean attribute
        accuracy. majority: the same of always saying the larger class. balanced_accuracy: the mean over attributes that
        have both classes, None where none has. by_attribute: name -> count (known cells), accuracy, majority,
        balanced_accuracy (None where one class is absent); an attribute that is known nowhere has the count 0 alone,
        and no part in the means.
    """
    truly = np.stack([targets < 0, targets > 0])  # no and yes
    right = truly & (says_yes(output, predicted) == (targets > 0))
    counts = zip(output.class_names, truly.sum(axis=1).T, right.sum(axis=1).T, strict=True)
    found = {name: _one_attribute(true, told) for name, true, told in counts}
    known = [metrics for metrics in found.values() if metrics["count"]]
    balanced = [metrics["balanced_accuracy"] for metrics in known if metrics["balanced_accuracy"] is not None]
    return {
        "count": len(targets),
        "accuracy": float(np.mean([metrics["accuracy"] for metrics in known])),
        "majority": float(np.mean([metrics["majority"] for metrics in known])),
        "balanced_accuracy": float(np.mean(balanced)) if balanced else None,
        "by_attribute": found,
    }


def by_gain(by_attribute: dict[str, dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    """Lists the attributes that are known somewhere, the one with the largest accuracy - majority first."""
    known = [(name, metrics) for name, metrics in by_attribute.items() if metrics["count"]]
    return sorted(known, key=lambda item: item[1]["majority"] - item[1]["accuracy"])


def _one_attribute(true: NDArray[np.int64], told: NDArray[np.int64]) -> dict[str, Any]:
    """Gives the figures of one attribute from the numbers of true no and yes, and of those that were told rightly."""
    count = int(true.sum())
    if not count:
        return {"count": 0}
    return {
        "count": count,
        "accuracy": float(told.sum() / count),
        "majority": float(true.max() / count),
        "balanced_accuracy": float((told / true).mean()) if true.all() else None,
    }
