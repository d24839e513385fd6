"""Fills a laid-out file with images, block by block, going on where an interrupted pack stopped."""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdf5_helper.packing.executors import DASK, Workers, WorkersLostError
from hdf5_helper.packing.image_store import ImageStore
from hdf5_helper.packing.journal import BlockRecord, Journal
from hdf5_helper.packing.laid_out import LaidOut
from hdf5_helper.packing.payload import UNREADABLE, Block, is_written, write_block
from hdf5_helper.packing.survey import Survey
from hdf5_helper.progress import Progress
from hdf5_helper.sources.records import RejectedError
from hdf5_helper.storage.network import on_network
from hdf5_helper.storage.positional import write_pieces


@dataclass(frozen=True)
class Filled:
    """What a filled file holds.

    Attributes:
        facts: one array a dset, (N, …).
        rejects: the reasons of rows that are no examples, by row.
        found: number of rows that an interrupted pack had left.
    """

    facts: dict[str, NDArray[Any]]
    rejects: dict[int, str]
    found: int


class Filler:
    """Fills one file.

    Args:
        file: laid out by the plan of `survey`.
        survey: what goes into it.
        store: how images are kept.
        journal: what has been done, and what will be.
    """

    def __init__(self, file: LaidOut, survey: Survey, store: ImageStore, journal: Journal) -> None:
        self._file, self._survey, self._store, self._journal = file, survey, store, journal
        self._borders = file.plan.borders
        count = len(survey.rows)
        self._facts = {
            name: np.zeros((count, 3) if kind == np.float32 else count, kind) for name, kind in store.facts.items()
        }
        self._rejects: dict[int, str] = {}
        self._is_local = not on_network(file.path)

    def fill(self, workers: Workers, progress: Progress) -> Filled:
        """Writes all images that are not there yet."""
        count = len(self._survey.rows)
        done = self._found(workers, progress)
        found = sum(map(self._rows_of, done))
        progress.start("packing", count, done=found)
        if workers.elsewhere:
            self._journal.sync()
        missing = (self._block(number) for number in range(len(self._borders) - 1) if number not in done)
        for written in workers.results(write_block, missing):
            if workers.elsewhere:
                self._check_folders(written.record)
            for offset, data in written.edges:
                write_pieces(self._file.handle, data, [(offset, len(data))])
            self._journal.append(written.record)
            self._take(written.record)
            progress.advance(self._rows_of(written.record.block))
        progress.stop()
        return Filled(self._facts, self._rejects, found)

    def _found(self, workers: Workers, progress: Progress) -> set[int]:
        """Takes over the blocks that are in the file as the journal says; gives their numbers."""
        # what the system could not read then, a server away perhaps, is asked for again
        records = {number: record for number, record in self._journal.blocks.items() if not _is_unreadable(record)}
        if not records:
            return set()
        progress.start("checking what is there", sum(map(self._rows_of, records)))
        found: set[int] = set()
        checks = ((self._block(number), record) for number, record in sorted(records.items()))
        for number, is_good in workers.results(_checked, checks):
            progress.advance(self._rows_of(number))
            if is_good:
                self._take(records[number])
                found.add(number)
        progress.stop()
        return found

    def _check_folders(self, record: BlockRecord) -> None:
        """Refuses a block from a machine on which images are missing that are here: they are not bad."""
        for number, reason in record.rejects.items():
            row = self._survey.rows[self._borders[record.block] + number]
            if reason.startswith(UNREADABLE):
                with suppress(RejectedError):
                    self._survey.original(row).read()
                    raise WorkersLostError(
                        f"--executor {DASK}: {row.record.path} {reason} on a worker's machine, but not on this one;"
                        " expected the same folders on every machine"
                    )

    def _take(self, record: BlockRecord) -> None:
        first, last = self._borders[record.block], self._borders[record.block + 1]
        for name, values in record.facts.items():
            self._facts[name][first:last] = values
        self._rejects |= {first + row: reason for row, reason in record.rejects.items()}

    def _rows_of(self, number: int) -> int:
        return self._borders[number + 1] - self._borders[number]

    def _block(self, number: int) -> Block:
        first, last = self._borders[number], self._borders[number + 1]
        rows = self._survey.rows[first:last]
        starts = self._file.plan.starts[first : last + 1]
        return Block(
            number,
            tuple(self._survey.original(row) for row in rows),
            starts - starts[0],
            str(self._file.path.absolute()),
            self._file.room(first, last),
            self._store,
            str(self._journal.path.absolute()),
            self._journal.line,
            around_cache=self._is_local,
        )


def _is_unreadable(record: BlockRecord) -> bool:
    return any(reason.startswith(UNREADABLE) for reason in record.rejects.values())


def _checked(task: tuple[Block, BlockRecord]) -> tuple[int, bool]:
    block, record = task
    return block.number, is_written(block, record)
