"""A CSV file with a `path` column and label columns."""

import csv
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from hdf5_helper.errors import FacetError, did_you_mean
from hdf5_helper.labels import RESERVED_LABELS
from hdf5_helper.options import SourceOptions, check_name
from hdf5_helper.records import LabelValue, Listing, Record, RejectedError
from hdf5_helper.sources.values import SPLIT_WORDS, age_labels, read_age, read_age_group, read_gender
from hdf5_helper.tree import Tree

Row = Mapping[str, str]

_ROLES = ("path", "subject", "split", "fold")
_MOST_CLASSES = 65535  # /labels/NAME is uint16, and its last number means unknown


@dataclass(frozen=True)
class _Columns:
    """Which column is what: roles (path, subject, split, fold) and labels by name, and the groups."""

    roles: Mapping[str, str]
    labels: Mapping[str, str]
    groups: tuple[str, ...]
    unused: tuple[str, ...]


def recognise(tree: Tree) -> str | None:
    """Says which CSV file makes the tree a manifest's, or None."""
    found = _candidates(tree)
    return found[0] if len(found) == 1 else None


def read(tree: Tree, options: SourceOptions) -> Listing:
    """Gives the records of the CSV file; every column that is no role and no group is a label.

    Raises:
        FacetError: not exactly one CSV file, no path column, a named column that is not there, an unknown split.
    """
    found = _candidates(tree)
    if len(found) != 1:
        raise FacetError(f"{tree.root}: {len(found)} CSV files, expected one, or the CSV file itself as the source")
    file = tree.root / found[0]
    rows, header = _table(file)
    columns = _choose(file, header, rows, options)
    records, rejects = _collect(tree.root, rows, columns, options)
    unused = (f"columns not used: {', '.join(columns.unused)}",) if columns.unused else ()
    official = "split" in columns.roles or "fold" in columns.roles
    ignored = tree.ignored - 1
    return Listing("manifest", records, rejects, ignored, unused, official=official)


def _candidates(tree: Tree) -> list[str]:
    top = [name for name in tree.files if "/" not in name and name.lower().endswith(".csv")]
    return ["manifest.csv"] if "manifest.csv" in top else top


def _table(file: Path) -> tuple[list[dict[str, str]], list[str]]:
    text = file.read_bytes().decode("utf-8-sig", "surrogateescape")
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, restval="")
    header = [name.strip() for name in reader.fieldnames or ()]
    reader.fieldnames = header
    try:
        return [
            {name: (value or "").strip() for name, value in row.items() if name is not None} for row in reader
        ], header
    except csv.Error as error:
        raise FacetError(f"{file}: line {reader.line_num} is no CSV: {error}") from None


def _choose(file: Path, header: list[str], rows: list[dict[str, str]], options: SourceOptions) -> _Columns:
    for column in (*options.columns.values(), *options.groups):
        if column not in header:
            raise FacetError(f"{file}: has no column {column!r}, {did_you_mean(column, header)}")
    named = {role: options.columns.get(role, role) for role in (*_ROLES, *options.columns)}
    roles = {role: named[role] for role in _ROLES if named[role] in header}
    if "path" not in roles:
        raise FacetError(f"{file}: has no column 'path', expected one, or --columns path=NAME with one of {header}")
    labels = {label: column for label, column in named.items() if label not in _ROLES}
    used = {*roles.values(), *labels.values(), *options.groups}
    unused: list[str] = []
    for column in (name for name in header if name not in used):
        target = labels if _is_label(column, [row[column] for row in rows]) else None
        unused.append(column) if target is None else target.setdefault(column, column)
    for label in labels:
        check_name(f"{file}: label", label)
    return _Columns(roles, labels, options.groups, tuple(unused))


def _is_label(column: str, values: Sequence[str]) -> bool:
    """Says whether a column that nobody named can be a label: ids and addresses, all different, cannot."""
    if column in RESERVED_LABELS:
        return column != "attributes"
    different, count = len(set(values) - {""}), sum(map(bool, values))
    plain = column.replace("_", "").replace("-", "").replace(".", "").isalnum()
    return plain and 0 < different < _MOST_CLASSES and not (different == count and count > 20)


def _collect(
    root: Path, rows: list[dict[str, str]], columns: _Columns, options: SourceOptions
) -> tuple[tuple[Record, ...], tuple[tuple[str, str], ...]]:
    records: dict[str, Record] = {}
    rejects: list[tuple[str, str]] = []
    for row in rows:
        path = _relative(root, row[columns.roles["path"]])
        if path in records:
            rejects.append((path, "is listed more than once; the first line counts"))
            continue
        try:
            records[path] = _record(path, row, columns, options)
        except RejectedError as reason:
            rejects.append((path, str(reason)))
    return tuple(records[path] for path in sorted(records, key=os.fsencode)), tuple(rejects)


def _relative(root: Path, path: str) -> str:
    if not Path(path).is_absolute():
        return str(PurePosixPath(path.replace("\\", "/")))
    return Path(os.path.relpath(path, root)).as_posix()


def _record(path: str, row: Row, columns: _Columns, options: SourceOptions) -> Record:
    written = {label: row[column] for label, column in columns.labels.items() if row[column]}
    labels = {label: _value(label, text, options) for label, text in written.items()}
    if not labels:
        raise RejectedError("has no label")
    if "age" in labels:
        labels = {**age_labels(float(labels["age"])), **labels}
    subject = row[columns.roles["subject"]] if "subject" in columns.roles else ""
    groups = {group: row[group] for group in columns.groups if row[group]}
    return Record(path, labels, subject or None, groups, _split(row, columns), _fold(row, columns))


def _value(label: str, text: str, options: SourceOptions) -> LabelValue:
    value_map = options.value_map.get(label, {})
    if label == "gender":
        return read_gender(text, value_map)
    value = value_map.get(text, text)
    if label == "age":
        return read_age(value)
    return read_age_group(value) if label == "age_group" else value


def _split(row: Row, columns: _Columns) -> int | None:
    if "split" not in columns.roles:
        return None
    text = row[columns.roles["split"]]
    if text.lower() not in SPLIT_WORDS:
        raise RejectedError(f"split {text!r}: expected train, validation or test")
    return SPLIT_WORDS[text.lower()]


def _fold(row: Row, columns: _Columns) -> int | None:
    if "fold" not in columns.roles:
        return None
    text = row[columns.roles["fold"]]
    if not text.isdecimal() or int(text) > 127:
        raise RejectedError(f"fold {text!r}: expected a number from 0 to 127")
    return int(text)
