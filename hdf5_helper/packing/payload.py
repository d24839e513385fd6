"""Fills the laid-out file with images: each file is opened once, checked by decoding, and written at its place."""

import os
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import cv2
import numpy as np
import xxhash
from numpy.typing import NDArray

from hdf5_helper.decode import ENCODED_FORMATS, decode, exif_orientation, image_format
from hdf5_helper.errors import FacetError
from hdf5_helper.fit import fit
from hdf5_helper.packing.laid_out import Facts, LaidOut
from hdf5_helper.packing.survey import Row
from hdf5_helper.progress import Progress
from hdf5_helper.sources.records import RejectedError
from hdf5_helper.storage import file_format as names

#: Rows of one task of the thread pool; the file does not depend on it.
_TASK_ROWS = 64
_LARGEST_SIDE = 65535  # height and width are uint16


class PayloadWriter:
    """Writes images to their places in one open file, on many threads.

    Args:
        root: folder of the images.
        file: where they go.
        raw: (height, width) and fit of stored pixels, or None for encoded storage.
    """

    def __init__(self, root: Path, file: LaidOut, raw: tuple[tuple[int, int], str] | None) -> None:
        self.facts = Facts.empty(file.plan)
        self._root, self._file, self._raw = root, file, raw

    def fill(self, workers: int, progress: Progress) -> dict[int, str]:
        """Writes all images on `workers` threads; gives the reasons of those that are no examples, by row."""
        count = len(self._file.plan.rows)
        shares = [range(first, min(first + _TASK_ROWS, count)) for first in range(0, count, _TASK_ROWS)]
        rejects: dict[int, str] = {}
        progress.start("packing", count)
        with ThreadPoolExecutor(workers, "facet-pack") as pool:
            try:
                for task in as_completed([pool.submit(self._write_rows, share) for share in shares]):
                    done, bad = task.result()
                    rejects |= bad
                    progress.advance(done)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        progress.stop()
        return rejects

    def _write_rows(self, rows: range) -> tuple[int, dict[int, str]]:
        rejects: dict[int, str] = {}
        for row in rows:
            try:
                data = self._prepare(row)
            except RejectedError as reason:
                rejects[row] = str(reason)
                continue
            self.facts.note(row, names.CHECKSUM, xxhash.xxh3_64_intdigest(data))
            self._file.write_image(row, data)
        return len(rows), rejects

    def _prepare(self, row: int) -> bytes | memoryview:
        """Reads and checks one image, notes its facts, and gives the bytes to store."""
        planned = self._file.plan.rows[row]
        data = read_unchanged(self._root / planned.record.path, planned)
        if self._raw is None:
            check_format(data)
        orientation = exif_orientation(data)
        pixels = decode_or_reject(data, orientation)
        if self._raw is not None:
            pixels = np.ascontiguousarray(fit(pixels, *self._raw))
        self._note(row, pixels, orientation)
        return data if self._raw is None else pixels.data.cast("B")

    def _note(self, row: int, pixels: NDArray[np.uint8], orientation: int) -> None:
        # cv2.mean adds uint8 exactly, so the means depend on nothing but the pixels
        self.facts.note(row, names.CHANNEL_MEAN, cv2.mean(pixels)[:3])
        self.facts.note(row, names.ENCODED_HEIGHT, pixels.shape[0])
        self.facts.note(row, names.ENCODED_WIDTH, pixels.shape[1])
        self.facts.note(row, names.ENCODED_ORIENTATION, orientation)


def check_format(data: bytes) -> None:
    """Rejects what encoded storage does not keep, by name."""
    kind = image_format(data)
    if kind not in ENCODED_FORMATS:
        found = "is no image" if kind == "unknown" else f"is {kind}"
        raise RejectedError(f"{found}, expected {', '.join(ENCODED_FORMATS)} (or --storage raw)")


def decode_or_reject(data: bytes, orientation: int) -> NDArray[np.uint8]:
    """Gives the upright pixels, uint8 (height, width, 3); rejects what cannot be decoded, and giants."""
    try:
        pixels = decode(data, orientation)
    except FacetError as error:
        raise RejectedError(str(error)) from None
    if max(pixels.shape) > _LARGEST_SIDE:
        raise RejectedError(f"has {pixels.shape[0]}×{pixels.shape[1]} pixels, expected sides up to {_LARGEST_SIDE:,}")
    return pixels


def read_unchanged(path: Path, row: Row) -> bytes:
    """Reads a file that must have the size and time that the survey saw.

    Raises:
        RejectedError: it cannot be read, or has changed.
    """
    try:
        with open(path, "rb", buffering=0) as file:
            status = os.fstat(file.fileno())
            data = file.read(row.size + 1)
    except OSError as error:
        raise RejectedError(f"cannot be read: {error.strerror}") from None
    if (status.st_size, status.st_mtime_ns, len(data)) != (row.size, row.mtime_ns, row.size):
        raise RejectedError("has changed since the tree was listed")
    return data
