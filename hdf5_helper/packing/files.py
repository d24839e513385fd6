"""Asks for size and time of every image file, many at a time."""

import os
import stat
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from hdf5_helper.packing.origin import Row, TreeOrigin
from hdf5_helper.progress import Progress
from hdf5_helper.sources.records import Record
from hdf5_helper.storage.file_format import TRAIN

# Files are asked about by many threads at once: on a network file system each answer takes milliseconds.
_STAT_THREADS = 16
_STAT_BATCH = 500

# Size and time of modification of a file, or the reason why it is none.
_Status = tuple[int, int] | str


def stat_all(origin: TreeOrigin, number: int, progress: Progress) -> tuple[list[Row], list[tuple[str, str]]]:
    """Gives a row of origin `number` for every record whose file is there, and (path, reason) for the others.

    Both are in the order of records; all rows are in the train split still.
    """
    progress.start(f"looking at {origin.place}", len(origin.listing.records))
    records = origin.listing.records
    batches = [records[start : start + _STAT_BATCH] for start in range(0, len(records), _STAT_BATCH)]
    with ThreadPoolExecutor(min(_STAT_THREADS, max(1, len(batches)))) as pool:
        rows: list[Row] = []
        missing: list[tuple[str, str]] = []
        for batch, statuses in zip(batches, pool.map(lambda batch: _statuses(origin, batch), batches), strict=True):
            for record, status in zip(batch, statuses, strict=True):
                if isinstance(status, str):
                    missing.append((record.path, status))
                else:
                    rows.append(Row(record, status[0], status[1], TRAIN, number))
            progress.advance(len(batch))
    progress.stop()
    return rows, missing


def _statuses(origin: TreeOrigin, records: Sequence[Record]) -> list[_Status]:
    return [_size_and_time(origin.file(record)) for record in records]


def _size_and_time(path: str) -> _Status:
    try:
        status = os.stat(path)  # noqa: PTH116 - Path costs 5 µs each
    except (OSError, ValueError) as error:
        return f"cannot be read: {getattr(error, 'strerror', None) or error}"
    if not stat.S_ISREG(status.st_mode):
        return "is no regular file"
    if status.st_size == 0:
        return "is empty"
    return status.st_size, status.st_mtime_ns
