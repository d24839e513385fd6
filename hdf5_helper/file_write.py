"""Writing at a place in an open file, from any thread, and copying between files without a way through memory."""

import errno
import os
import threading
from collections.abc import Sequence

#: (file offset, length) ranges in logical order.
Pieces = Sequence[tuple[int, int]]

_BINARY = getattr(os, "O_BINARY", 0)
_COPY = 1 << 24
_NO_KERNEL_COPY = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM)


def open_for_writing(path: str | os.PathLike[str]) -> int:
    """Opens an existing file for reading and writing and gives its descriptor."""
    return os.open(path, os.O_RDWR | _BINARY)


def write_pieces(handle: int, data: bytes | memoryview, pieces: Pieces) -> None:
    """Writes `data` over the pieces, in order; together they are as long as it."""
    rest = memoryview(data).cast("B")
    for offset, length in pieces:
        _write_at(handle, rest[:length], offset)
        rest = rest[length:]


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


def _seek_and_write(handle: int, data: memoryview, offset: int) -> int:
    with _seeking:
        os.lseek(handle, offset, os.SEEK_SET)
        return os.write(handle, data)


def _seek_and_read(handle: int, length: int, offset: int) -> bytes:
    with _seeking:
        os.lseek(handle, offset, os.SEEK_SET)
        return os.read(handle, length)


# Windows has no positional calls
_seeking = threading.Lock()
_pwrite = getattr(os, "pwrite", _seek_and_write)
_pread = getattr(os, "pread", _seek_and_read)
