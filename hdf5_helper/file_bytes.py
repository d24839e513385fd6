"""Reading ranges of a file from any thread and after a fork: by memory map where that is safe, else by `preadv`."""

import mmap
import os
import threading
from pathlib import Path
from typing import Protocol

# A mapped file that vanishes from a server is a SIGBUS and not an error, so network file systems are read by preadv.
_NETWORK = ("nfs", "cifs", "smb", "lustre", "ceph", "gpfs", "beegfs", "afs", "9p", "glusterfs", "fuse")

Buffer = bytes | memoryview


class FileBytes(Protocol):
    """The bytes of one file."""

    size: int

    def view(self, offset: int, length: int) -> Buffer:
        """Gives `length` bytes from `offset`; fewer at the end of the file."""

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Copies the bytes from `offset` into `buffer`; gives how many, fewer than asked at the end of the file."""

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

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Copies from the map."""
        part = self._view[offset : offset + len(buffer)]
        buffer[: len(part)] = part
        return len(part)

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
        parts: list[bytes] = []
        while length and (part := _pread(self._file.fileno(), length, offset)):
            parts.append(part)
            offset, length = offset + len(part), length - len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Reads straight into the buffer, where the system can."""
        done = 0
        while done < len(buffer) and (count := _read_into(self._file.fileno(), buffer[done:], offset + done)):
            done += count
        return done

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def open_bytes(path: Path) -> FileBytes:
    """Opens `path` by memory map on local file systems, else by positional reads."""
    return PositionalBytes(path) if on_network(path) or path.stat().st_size == 0 else MappedBytes(path)


def on_network(path: Path) -> bool:
    """Says whether `path` lies on a network file system, as far as /proc/self/mountinfo tells."""
    try:
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    device = path.stat().st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    kinds = [line.partition(" - ")[2].split(" ")[0] for line in lines if line.split(" ")[2] == wanted]
    return any(kind.startswith(_NETWORK) for kind in kinds)


def _preadv_into(handle: int, buffer: memoryview, offset: int) -> int:
    return os.preadv(handle, [buffer], offset)


def _pread_into(handle: int, buffer: memoryview, offset: int) -> int:
    data = _pread(handle, len(buffer), offset)
    buffer[: len(data)] = data
    return len(data)


def _seek_and_read(handle: int, length: int, offset: int) -> bytes:
    with _seeking:
        os.lseek(handle, offset, os.SEEK_SET)
        return os.read(handle, length)


# Windows has no positional read, macOS only lately the vectored one
_seeking = threading.Lock()
_pread = getattr(os, "pread", _seek_and_read)
_read_into = _preadv_into if hasattr(os, "preadv") else _pread_into
