"""From rows to the columns of the index: labels, groups, subjects, folds, splits and paths."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdf5_helper.errors import FacetError
from hdf5_helper.labels import AGE_GROUP_NAMES, GENDER_NAMES, UNKNOWN_CLASS, label_kind
from hdf5_helper.packing.origin import Row
from hdf5_helper.sources.records import LabelValue
from hdf5_helper.storage import file_format as names
from hdf5_helper.storage.file_format import path_bytes
from hdf5_helper.storage.file_layout import Attribute

_NO_CLASSES: Mapping[str, tuple[str, ...]] = {}
_CLASS_NAMES: Mapping[str, tuple[str, ...]] = {"gender": GENDER_NAMES, "age_group": AGE_GROUP_NAMES, "age": ()}


@dataclass(frozen=True)
class Column:
    """One dset of the index: its values (N, …) and attributes."""

    values: NDArray[Any]
    attributes: Mapping[str, Attribute]


def tabulate(
    rows: Sequence[Row], attribute_names: tuple[str, ...] = (), class_names: Mapping[str, tuple[str, ...]] = _NO_CLASSES
) -> dict[str, Column]:
    """Gives the columns of `rows` by dset name; a label or group that no row has is no column.

    Args:
        rows: in the order of the file.
        attribute_names: what the values of the label `attributes` are, where rows have it.
        class_names: classes by dset name that have numbers already, in their order; others come behind them.
    """
    columns: dict[str, Column] = {}
    for label in _names_of(row.record.labels for row in rows):
        values = [row.record.labels.get(label) for row in rows]
        name = names.LABELS + label
        if label == "attributes":
            columns[name] = _attribute_column(values, attribute_names)
        elif label in _CLASS_NAMES:
            columns[name] = _known_column(label, values)
        else:
            columns[name] = _class_column(label, values, class_names.get(name, ()))
    for group in _names_of(row.record.groups for row in rows):
        name = names.GROUPS + group
        columns[name] = _class_column(group, [row.record.groups.get(group) for row in rows], class_names.get(name, ()))
    splits = np.array([row.split for row in rows], np.uint8)
    folds = np.array([names.NO_FOLD if row.record.fold is None else row.record.fold for row in rows], np.int8)
    columns[names.SPLIT] = Column(splits, {names.NAMES: names.SPLIT_NAMES})
    columns[names.FOLD] = Column(folds, {})
    columns[names.PATH] = Column(np.array([path_bytes(row.record.path) for row in rows]), {})
    return columns | _subject_columns([row.record.subject for row in rows])


def _names_of(mappings: Iterable[Mapping[str, object]]) -> list[str]:
    return sorted({name for mapping in mappings for name in mapping})


def _known_column(label: str, values: Sequence[LabelValue | None]) -> Column:
    kind = label_kind(label)
    column = np.array([kind.unknown if value is None else value for value in values]).astype(kind.dtype)
    return Column(column, {names.CLASS_NAMES: _CLASS_NAMES[label]} if _CLASS_NAMES[label] else {})


def _attribute_column(values: Sequence[LabelValue | None], attribute_names: tuple[str, ...]) -> Column:
    unknown = bytes(len(attribute_names))
    content = b"".join(value if isinstance(value, bytes) else unknown for value in values)
    column = np.frombuffer(content, np.int8).reshape(len(values), len(attribute_names))
    return Column(column, {names.NAMES: attribute_names})


def _class_column(name: str, values: Sequence[LabelValue | None], given: tuple[str, ...]) -> Column:
    found = {value for value in values if value is not None} - set(given)
    numeric = all(isinstance(value, int) for value in found)  # numbered classes keep the order of their numbers
    classes = (*given, *map(str, sorted(found, key=int if numeric else str)))
    if len(classes) > UNKNOWN_CLASS:
        raise FacetError(f"{name}: {len(classes):,} classes, expected at most {UNKNOWN_CLASS:,}")
    numbers = {value: number for number, value in enumerate(classes)}
    column = [UNKNOWN_CLASS if value is None else numbers[str(value)] for value in values]
    return Column(np.array(column, np.uint16), {names.CLASS_NAMES: classes})


def _subject_columns(subjects: Sequence[str | None]) -> dict[str, Column]:
    known = sorted({subject for subject in subjects if subject is not None})
    numbers: dict[str | None, int] = {subject: number for number, subject in enumerate(known)}
    column = np.array([numbers.get(subject, names.UNKNOWN_SUBJECT) for subject in subjects], np.int32)
    listed = np.array([path_bytes(subject) for subject in known], None if known else "S1")
    return {names.SUBJECT: Column(column, {}), names.SUBJECT_NAMES: Column(listed, {})}
