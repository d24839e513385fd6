"""The weights that balance unequal classes: pure functions of labels and counts, for the trainer and for `inspect`."""

import numpy as np
from numpy.typing import NDArray

#: Years of age that are weighted as one class.
AGE_BIN = 5


def weighted_classes(label: str, values: NDArray[np.generic]) -> NDArray[np.int64]:
    """Gives the class by which each known label is weighted, int64 (n,): its number, or its five-year bin of age."""
    return (np.asarray(values, np.float64) // (AGE_BIN if label == "age" else 1)).astype(np.int64)


def balanced_weights(label: str, counts: NDArray[np.int64]) -> NDArray[np.float32]:
    """Gives n / (k · n_c), the weight of each of k classes that occur (King and Zeng, 2001); 1 for one that does not.

    Bins of age are many and some are nearly empty, so there each count is first smoothed over its two neighbours, and
    the weights are then brought to a mean of 1 an example.

    Args:
        label: name of the label.
        counts: examples of each class (classes,).

    Returns:
        float32 (classes,).
    """
    smooth = label == "age" and len(counts) > 0
    smoothed = np.convolve(np.pad(counts, 1, mode="edge"), [0.25, 0.5, 0.25], mode="valid") if smooth else counts
    occur = smoothed > 0
    weights = np.where(occur, counts.sum() / (max(occur.sum(), 1) * np.maximum(smoothed, 1e-9)), 1.0)
    if smooth:
        weights *= counts.sum() / max((weights * counts).sum(), 1e-9)
    return weights.astype(np.float32)


def positive_weights(attributes: NDArray[np.int8]) -> NDArray[np.float64]:
    """Gives how much more a `yes` of each attribute must count to weigh as much as its `no`s together.

    Args:
        attributes: int8 (n, A), 1 = yes, -1 = no, 0 = unknown.

    Returns:
        float64 (A,): number of `no` over number of `yes`; NaN where there is no `yes`.
    """
    yes, no = (attributes == 1).sum(axis=0), (attributes == -1).sum(axis=0)
    return np.asarray(np.divide(no, yes, out=np.full(len(yes), np.nan), where=yes > 0))
