"""Before an image is opened: list, stat, labels, split and row order, decided on records alone."""

import itertools
import stat
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hdf5_helper.errors import FacetError
from hdf5_helper.packing.options import PackOptions
from hdf5_helper.packing.rejects import nothing_left, sorted_rejects
from hdf5_helper.packing.splits import choose, split, text_hashes
from hdf5_helper.sources import read_source
from hdf5_helper.sources.records import Listing, Record, Rejects
from hdf5_helper.storage.file_format import NO_FOLD, SPLIT_NAMES, TRAIN

# Files are asked about by many threads at once: on a network file system each answer takes milliseconds.
_STAT_THREADS = 16
_STAT_BATCH = 500

# Size and time of modification of a file, or the reason why it is none.
_Status = tuple[int, int] | str


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
    rows, missing = _stat_all(root, listing.records)
    rejects = sorted_rejects((*listing.rejects, *missing))
    if not rows:
        raise FacetError(f"{root}: {nothing_left(rejects)}")
    choice = options.split_options()
    rows = [rows[number] for number in choose([row.record for row in rows], choice)]
    splits, name, warnings = split(listing, [row.record for row in rows], choice)
    rows = [replace(row, split=side) for row, side in zip(rows, splits.tolist(), strict=True)]
    return Survey(
        root,
        listing.layout,
        name,
        _ordered(rows, options.seed),
        rejects,
        listing.ignored,
        (*listing.sentences, *warnings),
    )


def _stat_all(root: Path, records: Sequence[Record]) -> tuple[list[Row], list[tuple[str, str]]]:
    """Gives a row for every record whose file is there, and (path, reason) for the others, in the order of records."""
    batches = [records[start : start + _STAT_BATCH] for start in range(0, len(records), _STAT_BATCH)]
    with ThreadPoolExecutor(min(_STAT_THREADS, max(1, len(batches)))) as pool:
        found = pool.map(lambda batch: [_size_and_time(root / record.path) for record in batch], batches)
        statuses = itertools.chain.from_iterable(found)
        rows: list[Row] = []
        missing: list[tuple[str, str]] = []
        for record, status in zip(records, statuses, strict=True):
            if isinstance(status, str):
                missing.append((record.path, status))
            else:
                rows.append(Row(record, *status, TRAIN))
    return rows, missing


def _size_and_time(path: Path) -> _Status:
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        return f"cannot be read: {getattr(error, 'strerror', None) or error}"
    if not stat.S_ISREG(status.st_mode):
        return "is no regular file"
    if status.st_size == 0:
        return "is empty"
    return status.st_size, status.st_mtime_ns


def _ordered(rows: Sequence[Row], seed: int) -> tuple[Row, ...]:
    """Orders by (split, fold, hash(seed, path)): a split is one run of rows, and any run of it a fair sample."""
    hashes = text_hashes([row.record.path for row in rows], seed)
    folds = [NO_FOLD if row.record.fold is None else row.record.fold for row in rows]
    order = np.lexsort((hashes, np.array(folds), np.array([row.split for row in rows])))
    return tuple(rows[number] for number in order)
