"""A CSV file with a `path` column and label columns."""

import os
from pathlib import Path
from typing import NamedTuple

from hdf5_helper.errors import FacetError
from hdf5_helper.sources.columns import Columns, Row, choose_columns
from hdf5_helper.sources.manifest_paths import Inside
from hdf5_helper.sources.records import Listing, Record, RejectedError, Rejects
from hdf5_helper.sources.source_options import SourceOptions
from hdf5_helper.sources.tables import Table, read_header, read_table
from hdf5_helper.sources.tree import Tree
from hdf5_helper.sources.values import SPLIT_WORDS, age_labels, read_value

#: A file of this name is the manifest, whatever other CSV files there are.
NAME = "manifest.csv"


class _Nowhere(NamedTuple):
    """A row without an image in the folder: what it has for a path, and the reason."""

    written: str
    reason: str


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
    table = read_table(tree.root / found[0])
    columns = choose_columns(tree.root / found[0], table.header, table.rows, options)
    paths = _paths(tree.root, table, columns.roles["path"])
    records, rejects = _collect(paths, table.rows, columns, options)
    official = "split" in columns.roles or "fold" in columns.roles
    ignored = len(set(tree.files) - {found[0], *(str(path) for path in paths)})
    return Listing("manifest", records, rejects, ignored, columns.sentences(), official=official)


def header(tree: Tree) -> list[str]:
    """Gives the columns of the CSV file, none where there is not exactly one; raises as `read_header`."""
    found = _candidates(tree)
    return read_header(tree.root / found[0]) if len(found) == 1 else []


def _candidates(tree: Tree) -> list[str]:
    if tree.table is not None:
        return [tree.table]
    tables = [name for name in tree.files if "/" not in name and name.lower().endswith(".csv")]
    top = [name for name in tables if not name.lower().endswith(".rejects.csv")]  # a pack of the tree leaves such
    return [NAME] if NAME in top else top


def _paths(root: Path, table: Table, column: str) -> list[str | _Nowhere]:
    """Gives where each row's image lies in the folder, or why it does not."""
    place = table.header.index(column)
    inside = Inside(root)
    paths: list[str | _Nowhere] = []
    for line, values in table.written:
        written = values[place] if place < len(values) else ""
        try:
            paths.append(inside.path(written))
        except RejectedError as reason:
            paths.append(_Nowhere(written or f"line {line}", str(reason)))
    return paths


def _collect(
    paths: list[str | _Nowhere], rows: list[Row], columns: Columns, options: SourceOptions
) -> tuple[tuple[Record, ...], Rejects]:
    records: dict[str, Record] = {}
    rejects: list[tuple[str, str]] = []
    for path, row in zip(paths, rows, strict=True):
        if isinstance(path, _Nowhere):
            rejects.append(path)
        elif path in records:
            rejects.append((path, "is listed more than once; the first line counts"))
        else:
            try:
                records[path] = _record(path, row, columns, options)
            except RejectedError as reason:
                rejects.append((path, str(reason)))
    return tuple(records[path] for path in sorted(records, key=os.fsencode)), tuple(rejects)


def _record(path: str, row: Row, columns: Columns, options: SourceOptions) -> Record:
    written = {label: row[column] for label, column in columns.labels.items() if row[column]}
    labels = {label: read_value(label, text, options.value_map.get(label, {})) for label, text in written.items()}
    if not labels:
        raise RejectedError("has no label")
    if "age" in labels:
        labels = {**age_labels(float(labels["age"])), **labels}
    subject = row[columns.roles["subject"]] if "subject" in columns.roles else ""
    groups = {group: row[column] for group, column in columns.groups.items() if row[column]}
    return Record(path, labels, subject or None, groups, _split(row, columns), _fold(row, columns))


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
