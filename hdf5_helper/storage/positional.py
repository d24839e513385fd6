"""Reading and writing at an offset, from any thread and after a fork: mapped or by positional calls.

Where the system has no such calls, one lock makes a seek and a read or write into one step.
"""

import errno
import mmap
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from hdf5_helper.storage.network import on_network

_BINARY = getattr(os, "O_BINARY", 0)
_COPY = 1 << 24
_NO_KERNEL_COPY = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM)

Buffer = bytes | memoryview
Offsets = NDArray[np.int64]
UInt8Array = NDArray[np.uint8]

#: (file offset, length) ranges in logical order.
Pieces = Sequence[tuple[int, int]]


class FileBytes(Protocol):
    """The bytes of one file."""

    size: int

    def view(self, offset: int, length: int) -> Buffer:
        """Gives `length` bytes from `offset`; fewer at the end of the file."""

    def gather(self, offsets: Offsets, out: UInt8Array) -> None:
        """Copies the bytes from each offset, at least one, into a row of `out`, uint8 (n, bytes), without the GIL.

        Raises:
            EOFError: the file ends before them.
        """

    def ahead(self, offset: int, length: int) -> None:
        """Asks the system to read a range in the background, where it takes such advice."""

    def close(self) -> None:
        """Lets the file go."""


class MappedBytes:
    """A file as a read-only memory map: views copy nothing."""

    def __init__(self, path: Path) -> None:
        with open(path, "rb") as file:
            self.size = os.fstat(file.fileno()).st_size
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._view = memoryview(self._map)

    def view(self, offset: int, length: int) -> Buffer:
        """Gives a view of the map."""
        return self._view[offset : offset + length]

    def gather(self, offsets: Offsets, out: UInt8Array) -> None:
        """Copies from the map, all rows in one call of OpenCV: a call for each would take the GIL for each."""
        length = out.shape[1]
        if int(offsets.max()) + length > self.size:
            raise EOFError
        whole = np.frombuffer(self._view, np.uint8)  # keeps the map for as long as it is copied from
        # every run of `length` bytes as one row: nothing is copied for it
        runs: UInt8Array = np.ndarray((self.size - length + 1, length), np.uint8, whole, 0, (1, 1))
        cv2.vconcat([runs[offset : offset + 1] for offset in offsets.tolist()], out)

    def ahead(self, offset: int, length: int) -> None:
        """Advises the kernel."""
        if hasattr(mmap, "MADV_WILLNEED"):
            start = offset - offset % mmap.PAGESIZE
            self._map.madvise(mmap.MADV_WILLNEED, start, min(offset + length, self.size) - start)

    def close(self) -> None:
        """Lets the map go, at the latest when the last view of it is gone."""
        try:
            self._view.release()
            self._map.close()
        except BufferError:  # a reading thread still holds a view
            return


class PositionalBytes:
    """A file read by `pread`, which knows no common file position."""

    def __init__(self, path: Path) -> None:
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115 - closed by close()
        self.size = os.fstat(self._file.fileno()).st_size

    def view(self, offset: int, length: int) -> Buffer:
        """Reads a copy."""
        return read_pieces(self._file.fileno(), [(offset, length)])

    def gather(self, offsets: Offsets, out: UInt8Array) -> None:
        """Reads straight into the rows, neighbours in the file by one call."""
        first = 0
        for stop in (*(np.flatnonzero(np.diff(offsets) != out.shape[1]) + 1).tolist(), len(offsets)):
            self._read_into(out[first:stop].reshape(-1).data, int(offsets[first]))
            first = stop

    def _read_into(self, buffer: memoryview, offset: int) -> None:
        done = 0
        while done < len(buffer):
            count = _read_into(self._file.fileno(), buffer[done:], offset + done)
            if not count:
                raise EOFError
            done += count

    def ahead(self, offset: int, length: int) -> None:
        """Advises the kernel."""
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self._file.fileno(), offset, length, os.POSIX_FADV_WILLNEED)

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def open_bytes(path: Path) -> FileBytes:
    """Opens `path` by memory map on local file systems, else by positional reads.

    A mapped file that vanishes from a server is a SIGBUS and not an error.
    """
    return PositionalBytes(path) if on_network(path) or path.stat().st_size == 0 else MappedBytes(path)


def open_for_writing(path: str | os.PathLike[str]) -> int:
    """Opens an existing file for reading and writing and gives its descriptor."""
    return os.open(path, os.O_RDWR | _BINARY)


@contextmanager
def open_for_reading(path: str | os.PathLike[str]) -> Iterator[int]:
    """Gives the descriptor of a file that is open for as long as the context lasts."""
    handle = os.open(path, os.O_RDONLY | _BINARY)
    try:
        yield handle
    finally:
        os.close(handle)


def write_pieces(handle: int, data: bytes | memoryview, pieces: Pieces) -> None:
    """Writes `data` over the pieces, in order; together they are as long as it."""
    rest = memoryview(data).cast("B")
    for offset, length in pieces:
        _write_at(handle, rest[:length], offset)
        rest = rest[length:]


def read_pieces(handle: int, pieces: Pieces) -> bytes:
    """Reads the bytes of the pieces, in order; fewer where the file ends before them."""
    parts: list[bytes] = []
    for offset, length in pieces:
        done = 0
        while done < length and (part := _pread(handle, length - done, offset + done)):
            parts.append(part)
            done += len(part)
    return b"".join(parts)


def _write_at(handle: int, data: memoryview, offset: int) -> None:
    while data:
        written = _pwrite(handle, data, offset)
        data, offset = data[written:], offset + written


def copy_pieces(source: int, source_pieces: Pieces, target: int, target_pieces: Pieces) -> None:
    """Copies the bytes of one list of pieces to another list of the same total length."""
    sources = list(source_pieces)[::-1]
    for offset, length in target_pieces:
        done = 0
        while done < length:
            start, left = sources.pop()
            count = min(left, length - done)
            _copy(source, start, target, offset + done, count)
            if count < left:
                sources.append((start + count, left - count))
            done += count


def _copy(source: int, start: int, target: int, offset: int, length: int) -> None:
    while length:
        copied = _kernel_copy(source, start, target, offset, length) or _copy_through_memory(
            source, start, target, offset, min(length, _COPY)
        )
        start, offset, length = start + copied, offset + copied, length - copied


def _kernel_copy(source: int, start: int, target: int, offset: int, length: int) -> int:
    """Gives the number of bytes that the kernel copied; 0 where it cannot."""
    if not hasattr(os, "copy_file_range"):
        return 0
    try:
        return os.copy_file_range(source, target, length, start, offset)
    except OSError as error:
        if error.errno in _NO_KERNEL_COPY:
            return 0
        raise


def _copy_through_memory(source: int, start: int, target: int, offset: int, length: int) -> int:
    data = _pread(source, length, start)
    if not data:
        raise OSError(errno.EIO, "file ends before its data")
    _write_at(target, memoryview(data), offset)
    return len(data)


# Windows has no positional calls, macOS only lately the vectored one; they are looked for at each call, at no cost
_seeking = threading.Lock()


def _pread(handle: int, length: int, offset: int) -> bytes:
    if hasattr(os, "pread"):
        return os.pread(handle, length, offset)
    with _seeking:
        os.lseek(handle, offset, os.SEEK_SET)
        return os.read(handle, length)


def _read_into(handle: int, buffer: memoryview, offset: int) -> int:
    if hasattr(os, "preadv"):
        return os.preadv(handle, [buffer], offset)
    data = _pread(handle, len(buffer), offset)
    buffer[: len(data)] = data
    return len(data)


def _pwrite(handle: int, data: memoryview, offset: int) -> int:
    if hasattr(os, "pwrite"):
        return os.pwrite(handle, data, offset)
    with _seeking:
        os.lseek(handle, offset, os.SEEK_SET)
        return os.write(handle, data)
