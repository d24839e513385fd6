"""One activation file: rows are written once by whoever computes them first, and checked when they are first read."""

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import xxhash
from numpy.typing import NDArray

from hdf5_helper.errors import FacetError
from hdf5_helper.progress import Say
from hdf5_helper.storage.positional import Buffer, read_pieces, write_pieces
from hdf5_helper.wording import count_text
from models.training.activations.key import ActivationKey
from models.training.activations.number_formats import NUMBER_FORMATS, StoredRows, restored_rows, stored_rows
from models.training.activations.opening import ACTIVATIONS, CHECKSUM, MARK, OpenedFile, file_of, find_or_make, reason

Rows = NDArray[np.int64]


def row_checksum(row: int, mark: int, stored: Buffer) -> int:
    """Gives the XXH3-64 of a row's bytes, its number and its mark; never 0, which stands for a row never written."""
    return xxhash.xxh3_64_intdigest(stored, 2 * row + mark) or 1


class ActivationFile:
    """The activations of one key, as far as they are stored.

    Several processes and threads may fill one file: a row is its bytes, then its mark, then its checksum, so that a row
    half written never counts, whoever dies. Equal keys mean equal values, so it does not matter whose row is kept.

    Args:
        path: of the file.
        key: what it is of.
        opened: the file, None where there can be none: nothing is stored then.
        say: is told of damage and of a full disk, once each.

    Attributes:
        path, key: as given.
        full: nothing more is stored: there is no space, or no permission.
        damaged: rows found damaged so far.
    """

    def __init__(self, path: Path, key: ActivationKey, opened: OpenedFile | None, say: Say) -> None:
        self.path, self.key = path, key
        self.full, self.damaged = opened is None or not opened.writable, 0
        self._file, self._say = opened, say
        self._row_bytes = math.prod(key.shape) * NUMBER_FORMATS[key.dtype].itemsize
        self._checksums, self._marks = np.zeros(key.rows, np.uint64), np.zeros(key.rows, np.uint8)
        self._good, self._bad, self._told = (np.zeros(key.rows, np.bool_) for _ in range(3))
        self._look_again()

    @classmethod
    def open(cls, folder: Path, key: ActivationKey, say: Say) -> Self:
        """Opens the file of `key` in `folder`, or begins it, and marks its use.

        Args:
            folder: of the activation files; made if it is missing.
            key: what is wanted.
            say: takes one sentence where a file is damaged and begun anew, or where none can be had.
        """
        path = file_of(folder, key)
        activations = cls(path, key, find_or_make(path, key, say), say)
        activations.touch()
        return activations

    def has(self, rows: Rows) -> NDArray[np.bool_]:
        """Says which of `rows`, int64 (n,), are stored and whole, bool (n,); a damaged row is not.

        A row's checksum is compared when this process first asks for it; rows that others have stored meanwhile count.
        """
        rows = self._inside(rows)
        self._check(rows)
        if self._file is not None and not self._good[rows].all():
            self._look_again()
            self._check(rows)
            self._tell_damage(rows)
        return self._good[rows]

    def read(self, rows: Rows) -> NDArray[Any]:
        """Gives the activations of `rows`, (n, *shape): bfloat16 of ml_dtypes from a bfloat16 file, else float32.

        Raises:
            FacetError: one of them is not stored, see `has`.
        """
        rows = self._inside(rows)
        there = self.has(rows)
        if not there.all():
            raise FacetError(f"{self.path}: has no row {rows[~there][0]}, expected it written before it is read")
        stored = np.empty((len(rows), self._row_bytes), np.uint8)
        if len(rows):
            self._opened.data.gather(self._places(rows), stored)
        values = stored.view(NUMBER_FORMATS[self.key.dtype]).reshape(len(rows), *self.key.shape)
        return restored_rows(StoredRows(values, self._marks[rows]), self.key.dtype)

    def write(self, rows: Rows, values: NDArray[Any]) -> None:
        """Stores rows; those known to be stored are left as they are, and nothing is stored once the disk is full.

        Args:
            rows: int64 (n,), in any order; of a repeated one the first counts.
            values: float32 or ml_dtypes' bfloat16 (n, *shape).
        """
        rows = self._inside(rows)
        if values.shape != (len(rows), *self.key.shape):
            raise ValueError(f"values of shape {values.shape}, expected {(len(rows), *self.key.shape)}")
        rows, first = np.unique(rows, return_index=True)
        new = ~self._good[rows]
        if self._file is None or self.full or not new.any():
            return
        rows, stored = rows[new], stored_rows(values[first[new]], self.key.dtype)
        content = stored.values.reshape(len(rows), -1).view(np.uint8)
        columns = zip(rows.tolist(), stored.marks.tolist(), (row.data for row in content), strict=True)
        checksums = np.array([row_checksum(*column) for column in columns], "<u8")
        try:
            for name, column in ((ACTIVATIONS, content), (MARK, stored.marks), (CHECKSUM, checksums)):
                self._write_column(self._file, name, rows, column)
        except OSError as error:
            self.full = True
            self._say(f"{self.path}: cannot be written ({reason(error)}): what it lacks is computed live")
            return
        self._marks[rows], self._checksums[rows], self._bad[rows] = stored.marks, checksums, False

    @property
    def count(self) -> int:
        """Rows stored, by whomever, but for those known to be damaged."""
        self._look_again()
        return int(np.count_nonzero((self._checksums != 0) & ~self._bad))

    @property
    def bytes(self) -> int:
        """Bytes that the file takes on its disk: the part of it that is filled."""
        if self._file is None:
            return 0
        blocks = getattr(os.fstat(self._file.handle), "st_blocks", 0)
        return blocks * 512 or self.count * self._row_bytes

    def touch(self) -> None:
        """Marks the file as used now; the time of its last change tells of it."""
        with suppress(OSError):  # nobody is hurt where the system refuses
            if self._file is not None:
                os.utime(self.path)

    def close(self) -> None:
        """Lets the file go; nothing is stored any more, and nothing counts as stored."""
        if self._file is not None:
            opened, self._file = self._file, None
            opened.data.close()
            os.close(opened.handle)
            self.full = True
            self._good[:], self._checksums[:] = False, 0

    def __enter__(self) -> Self:
        """Gives itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Lets the file go."""
        self.close()

    def _inside(self, rows: Rows) -> Rows:
        rows = np.asarray(rows, np.int64)
        if len(rows) and not 0 <= rows.min() <= rows.max() < self.key.rows:
            raise IndexError(f"rows {rows.min()} to {rows.max()}, expected 0 to {self.key.rows - 1}")
        return rows

    def _places(self, rows: Rows) -> Rows:
        """Gives the file offset of each row; chunks hold whole rows."""
        extents = self._opened.places[ACTIVATIONS]
        chunks, within = np.divmod(rows * self._row_bytes, extents.chunk_bytes)
        places: Rows = extents.offsets[chunks] + within
        return places

    @property
    def _opened(self) -> OpenedFile:
        if self._file is None:
            raise FacetError(f"{self.path}: is not open")
        return self._file

    def _look_again(self) -> None:
        """Reads which rows are stored: checksums first, since a row's checksum is written behind its mark."""
        for name, column in ((CHECKSUM, self._checksums), (MARK, self._marks)):
            if self._file is not None:
                content = read_pieces(self._file.handle, self._file.places[name].pieces(0, column.nbytes))
                found = np.frombuffer(content[: len(content) // column.itemsize * column.itemsize], column.dtype)
                column[: len(found)] = found

    def _check(self, rows: Rows) -> None:
        """Compares those of `rows` that are stored and not known to be good with their checksums."""
        unknown = rows[(self._checksums[rows] != 0) & ~self._good[rows]]
        if not len(unknown):
            return
        view, length = self._opened.data.view, self._row_bytes
        columns = (unknown, self._places(unknown), self._marks[unknown], self._checksums[unknown])
        for row, place, mark, checksum in zip(*(column.tolist() for column in columns), strict=True):
            self._good[row] = row_checksum(row, mark, view(place, length)) == checksum
        self._bad[unknown] = ~self._good[unknown]

    def _tell_damage(self, rows: Rows) -> None:
        found = np.unique(rows[self._bad[rows] & ~self._told[rows]])
        if len(found) and not self.damaged:
            what = count_text(len(found), "row is", "rows are")
            self._say(f"{self.path}: {what} damaged and computed again, as are any others found so")
        self._told[found] = True
        self.damaged += len(found)

    def _write_column(self, opened: OpenedFile, name: str, rows: Rows, values: NDArray[Any]) -> None:
        """Writes the bytes of sorted rows into a dset, those that follow one another at once."""
        length = values.nbytes // len(values)
        for first, stop in _runs(rows):
            start = int(rows[first]) * length
            pieces = opened.places[name].pieces(start, start + (stop - first) * length)
            write_pieces(opened.handle, values[first:stop].reshape(-1).view(np.uint8).data, pieces)


def _runs(rows: Rows) -> Iterator[tuple[int, int]]:
    """Gives the places [first, stop) of numbers in `rows`, sorted and not empty, that follow one another."""
    breaks = (np.flatnonzero(np.diff(rows) != 1) + 1).tolist()
    return zip([0, *breaks], [*breaks, len(rows)], strict=True)
