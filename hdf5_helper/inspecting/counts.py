"""How often each class, decade of age, attribute and group value occurs among some rows of a packed file."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdf5_helper.class_balance import AGE_BIN, balanced_weights, positive_weights, weighted_classes
from hdf5_helper.labels import UNKNOWN_CLASS, known, label_kind
from hdf5_helper.reading.packed_index import PackedIndex

Values = dict[str, Any]


def count_labels(index: PackedIndex, rows: NDArray[np.int64]) -> Values:
    """Gives the counts of every label among `rows`, by its name.

    Classes: `{name: count, …, "unknown": count}`. Age: `known`, `unknown`, `youngest`, `median`, `oldest` in years, and
    `decades`, in which `20-29` holds 20 up to but not including 30 years. Attributes: `yes`, `no`, `unknown` of each.
    """
    return {name: _count_label(index, name, index.labels(name)[rows]) for name in index.label_names}


def count_groups(index: PackedIndex, rows: NDArray[np.int64]) -> Values:
    """Gives how many of `rows` have each value of every group: `{group: {value: count, …, "unknown": count}}`."""
    return {
        name: count_classes(index.group_names(name), index.group(name)[rows], UNKNOWN_CLASS) for name in index.groups
    }


def weigh_labels(index: PackedIndex, rows: NDArray[np.int64]) -> Values:
    """Gives the weights that `balanced` gives the classes of every label, counted over `rows`.

    `{label: {class: weight}}`, without classes that no row has; age by five-year bins such as `20-24`. For attributes
    it is the weight of a `yes`: number of `no` over number of `yes`.
    """
    return {name: _weigh_label(index, name, index.labels(name)[rows]) for name in index.label_names}


def count_classes(names: Iterable[str], values: NDArray[Any], unknown: float) -> Values:
    """Gives how often each of the named numbers occurs among `values`, and `unknown`."""
    counts = np.bincount(values, minlength=int(unknown) + 1).tolist()
    return {**{name: counts[number] for number, name in enumerate(names)}, "unknown": counts[int(unknown)]}


def _count_label(index: PackedIndex, name: str, values: NDArray[Any]) -> Values:
    if name == "age":
        return _count_ages(values)
    if name == "attributes":
        return _count_attributes(index, values)
    return count_classes(index.class_names(name), values, label_kind(name).unknown)


def _count_ages(values: NDArray[np.float32]) -> Values:
    is_known = known("age", values)
    ages = values[is_known]
    numbers = {"known": len(ages), "unknown": int((~is_known).sum())}
    if not len(ages):
        return {**numbers, "youngest": None, "median": None, "oldest": None, "decades": {}}
    decades, counts = np.unique(ages // 10, return_counts=True)
    return {
        **numbers,
        "youngest": float(ages.min()),
        "median": float(np.median(ages)),
        "oldest": float(ages.max()),
        "decades": {_years(decade, 10): count for decade, count in zip(decades.tolist(), counts.tolist(), strict=True)},
    }


def _years(number: float, width: int) -> str:
    """Gives the name of a bin of ages: `20-29`."""
    first = int(number) * width
    return f"{first}-{first + width - 1}"


def _attribute_names(index: PackedIndex, values: NDArray[np.int8]) -> tuple[str, ...]:
    return index.class_names("attributes") or tuple(str(number) for number in range(values.shape[1]))


def _count_attributes(index: PackedIndex, values: NDArray[np.int8]) -> Values:
    signs = {"yes": 1, "no": -1, "unknown": 0}
    return {
        name: {word: int((column == sign).sum()) for word, sign in signs.items()}
        for name, column in zip(_attribute_names(index, values), values.T, strict=True)
    }


def _weigh_label(index: PackedIndex, name: str, values: NDArray[Any]) -> dict[str, float]:
    if name == "attributes":
        found = zip(_attribute_names(index, values), positive_weights(values).tolist(), strict=True)
        return {attribute: weight for attribute, weight in found if not np.isnan(weight)}
    counts = np.bincount(weighted_classes(name, values[known(name, values)]))
    occurring = np.flatnonzero(counts).tolist()
    weights = balanced_weights(name, counts)
    names = index.class_names(name)
    return {_years(number, AGE_BIN) if name == "age" else names[number]: float(weights[number]) for number in occurring}
