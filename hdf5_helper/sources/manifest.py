"""A CSV file with a `path` column and label columns."""

import csv
import io
import os
from pathlib import Path, PurePosixPath

from hdf5_helper.errors import FacetError
from hdf5_helper.sources.columns import Columns, Row, choose_columns
from hdf5_helper.sources.records import LabelValue, Listing, Record, RejectedError, Rejects
from hdf5_helper.sources.source_options import SourceOptions
from hdf5_helper.sources.tree import Tree
from hdf5_helper.sources.values import SPLIT_WORDS, age_labels, read_age, read_age_group, read_gender


def recognise(tree: Tree) -> str | None:
    """Says which CSV file makes the tree a manifest's, or None."""
    found = _candidates(tree)
    return found[0] if len(found) == 1 else None


def read(tree: Tree, options: SourceOptions) -> Listing:
    """Gives the records of the CSV file; what its columns are is decided by `choose_columns`, and said.

    Images of the folder that the file does not list are ignored, and counted.

    Raises:
        FacetError: not exactly one CSV file, no path column, a named column that is not there, an unknown split.
    """
    found = _candidates(tree)
    if len(found) != 1:
        raise FacetError(f"{tree.root}: {len(found)} CSV files, expected one, or the CSV file itself as the source")
    file = tree.root / found[0]
    rows, header = _table(file)
    columns = choose_columns(file, header, rows, options)
    paths = [_relative(tree.root, row[columns.roles["path"]]) for row in rows]
    records, rejects = _collect(paths, rows, columns, options)
    official = "split" in columns.roles or "fold" in columns.roles
    ignored = len(set(tree.files) - {found[0], *paths})
    return Listing("manifest", records, rejects, ignored, columns.sentences(), official=official)


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


def _collect(
    paths: list[str], rows: list[dict[str, str]], columns: Columns, options: SourceOptions
) -> tuple[tuple[Record, ...], Rejects]:
    records: dict[str, Record] = {}
    rejects: list[tuple[str, str]] = []
    for path, row in zip(paths, rows, strict=True):
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


def _record(path: str, row: Row, columns: Columns, options: SourceOptions) -> Record:
    written = {label: row[column] for label, column in columns.labels.items() if row[column]}
    labels = {label: _value(label, text, options) for label, text in written.items()}
    if not labels:
        raise RejectedError("has no label")
    if "age" in labels:
        labels = {**age_labels(float(labels["age"])), **labels}
    subject = row[columns.roles["subject"]] if "subject" in columns.roles else ""
    groups = {group: row[column] for group, column in columns.groups.items() if row[column]}
    return Record(path, labels, subject or None, groups, _split(row, columns), _fold(row, columns))


def _value(label: str, text: str, options: SourceOptions) -> LabelValue:
    value_map = options.value_map.get(label, {})
    if label == "gender":
        return read_gender(text, value_map)
    value = value_map.get(text, text)
    if label == "age":
        return read_age(value)
    return read_age_group(value) if label == "age_group" else value


def _split(row: Row, columns: Columns) -> int | None:
    if "split" not in columns.roles:
        return None
    text = row[columns.roles["split"]]
    if text.lower() not in SPLIT_WORDS:
        raise RejectedError(f"split {text!r}: expected train, validation or test")
    return SPLIT_WORDS[text.lower()]


def _fold(row: Row, columns: Columns) -> int | None:
    if "fold" not in columns.roles:
        return None
    text = row[columns.roles["fold"]]
    if not text.isdecimal() or int(text) > 127:
        raise RejectedError(f"fold {text!r}: expected a number from 0 to 127")
    return int(text)
