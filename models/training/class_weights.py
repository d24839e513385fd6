"""Class weights: how much each example's loss counts, from `--class-weights` and the train split's labels."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdf5_helper.class_balance import balanced_weights, weighted_classes
from hdf5_helper.errors import FacetError
from hdf5_helper.progress import Say, no_words
from models.heads.classes import ClassHead
from models.heads.head import Head

Floats = NDArray[np.float32]


def example_weights(setting: str, head: Head, values: NDArray[Any], train_rows: NDArray[np.int64], say: Say) -> Floats:
    """Gives the class weight of every example of a file.

    Args:
        setting: `none`, `balanced`, or weights by class number such as `0:1,1:1.582`; of attributes, 0 is no, 1 is yes.
        head: of the label.
        values: the label of every example (N, …), as stored.
        train_rows: int64, the rows that `balanced` counts.
        say: is told when the weights favour the larger class.

    Returns:
        float32 (N,), or (N, A) for attributes; 1 where the label is unknown.
    """
    weights = np.ones(values.shape, np.float32)
    if setting == "none":
        return weights
    is_known = head.known(values)
    in_train = np.zeros(len(values), bool)
    in_train[train_rows] = True
    if values.ndim == 1:
        weights[is_known] = _weights(setting, head, values, is_known, in_train, say)
        return weights
    for column in range(values.shape[1]):
        rows = is_known[:, column]
        weights[rows, column] = _weights(setting, head, values[:, column] > 0, rows, in_train, no_words)
    return weights


def _weights(
    setting: str, head: Head, values: NDArray[Any], is_known: NDArray[np.bool_], in_train: NDArray[np.bool_], say: Say
) -> Floats:
    """Gives the weight of each known one of `values` (N,)."""
    numbers = head.class_numbers(values) if isinstance(head, ClassHead) else values
    classes = weighted_classes(head.label, numbers[is_known])
    least = 2 if head.label == "attributes" else head.classes
    counts = np.bincount(classes[in_train[is_known]], minlength=max(least, int(classes.max(initial=0)) + 1))
    if setting == "balanced":
        return balanced_weights(head.label, counts)[classes]
    by_class = _given(setting, head.label, len(counts))
    _warn_if_reversed(by_class, counts, head.label, say)
    return by_class[classes]


def parse_class_weights(text: str) -> dict[int, float]:
    """Reads `0:1,1:1.582` as weights by class number; raises FacetError for anything else."""
    try:
        weights = {
            int(number): float(weight) for number, _, weight in (part.partition(":") for part in text.split(","))
        }
    except ValueError:
        raise FacetError(f"class weights {text!r}: expected none, balanced or such as 0:1,1:1.582") from None
    if not all(np.isfinite(weight) and weight >= 0 for weight in weights.values()):
        raise FacetError(f"class weights {text!r}: expected finite weights of at least 0")
    return weights


def _given(setting: str, label: str, classes: int) -> Floats:
    if label == "age":
        raise FacetError(f"class weights {setting!r}: label age has no classes, expected none or balanced")
    given = parse_class_weights(setting)
    missing = [number for number in range(classes) if number not in given]
    if missing or max(given) >= classes:
        raise FacetError(f"class weights {setting!r}: expected one weight for each of the classes 0 to {classes - 1}")
    return np.array([given[number] for number in range(classes)], np.float32)


def _warn_if_reversed(weights: Floats, counts: NDArray[np.int64], label: str, say: Say) -> None:
    larger, smaller = int(counts.argmax()), int(counts.argmin())
    if weights[larger] > weights[smaller]:
        say(
            f"warning: class weights favour class {larger} of {label}, which is already the larger one"
            f" ({counts[larger]:,} examples against {counts[smaller]:,} of class {smaller})"
        )
