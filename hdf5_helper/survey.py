"""Before an image is opened: list, stat, labels, split and row order, decided on records alone."""

import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hdf5_helper.errors import FacetError
from hdf5_helper.format import NO_FOLD, SPLIT_NAMES
from hdf5_helper.options import PackOptions
from hdf5_helper.records import Listing, Record, RejectedError
from hdf5_helper.rejects import Rejects, nothing_left, sorted_rejects
from hdf5_helper.sources import read_source
from hdf5_helper.splits import choose, split, text_hashes


@dataclass(frozen=True, slots=True)
class Row:
    """One image that will be an example, and what must still be true of its file when it is read.

    Attributes:
        record: path and labels.
        size: bytes of the file.
        mtime_ns: its time of modification in nanoseconds.
        split: 0 train, 1 validation, 2 test.
    """

    record: Record
    size: int
    mtime_ns: int
    split: int


@dataclass(frozen=True)
class Survey:
    """What will be packed.

    Attributes:
        root: folder that the paths are relative to.
        layout: name of the layout.
        split: name of the split: `official`, `fold 4` or the parts.
        rows: in the order of the file.
        rejects: (path, reason), in the order of paths.
        ignored: number of files that are no images.
        sentences: what the user should know.
    """

    root: Path
    layout: str
    split: str
    rows: tuple[Row, ...]
    rejects: Rejects
    ignored: int
    sentences: tuple[str, ...]

    def counts(self) -> dict[str, int]:
        """Gives the number of rows of each split."""
        numbers = [row.split for row in self.rows]
        return {name: numbers.count(number) for number, name in enumerate(SPLIT_NAMES)}


def survey_source(source: Path, options: PackOptions) -> Survey:
    """Surveys the tree or manifest at `source`; raises as `read_source` does, and where nothing is left to pack."""
    root = source.parent if source.is_file() else source
    return survey_listing(root, read_source(source, options.layout, options.source_options()), options)


def survey_listing(root: Path, listing: Listing, options: PackOptions) -> Survey:
    """Surveys records that are already listed.

    Raises:
        FacetError: no record is left.
    """
    found, missing = _stat_all(root, listing.records)
    rejects = sorted_rejects((*listing.rejects, *missing))
    if not found:
        raise FacetError(f"{root}: {nothing_left(rejects)}")
    choice = options.split_options()
    records = choose([record for record, _status in found], choice)
    splits, name, warnings = split(listing, records, choice)
    status = {record.path: status for record, status in found}
    rows = [Row(record, *status[record.path], int(side)) for record, side in zip(records, splits, strict=True)]
    return Survey(
        root,
        listing.layout,
        name,
        _ordered(rows, options.seed),
        rejects,
        listing.ignored,
        (*listing.sentences, *warnings),
    )


def _stat_all(
    root: Path, records: Sequence[Record]
) -> tuple[list[tuple[Record, tuple[int, int]]], list[tuple[str, str]]]:
    found: list[tuple[Record, tuple[int, int]]] = []
    missing: list[tuple[str, str]] = []
    for record in records:
        try:
            found.append((record, _size_and_time(root / record.path)))
        except RejectedError as reason:
            missing.append((record.path, str(reason)))
    return found, missing


def _size_and_time(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        raise RejectedError(f"cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if not stat.S_ISREG(status.st_mode):
        raise RejectedError("is no regular file")
    if status.st_size == 0:
        raise RejectedError("is empty")
    return status.st_size, status.st_mtime_ns


def _ordered(rows: Sequence[Row], seed: int) -> tuple[Row, ...]:
    """Orders by (split, fold, hash(seed, path)): a split is one run of rows, and any run of it a fair sample."""
    hashes = text_hashes([row.record.path for row in rows], seed)
    folds = [NO_FOLD if row.record.fold is None else row.record.fold for row in rows]
    order = np.lexsort((hashes, np.array(folds), np.array([row.split for row in rows])))
    return tuple(rows[number] for number in order)
