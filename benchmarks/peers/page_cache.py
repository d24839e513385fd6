"""Whether a file lies in the page cache, and getting it out (Linux)."""

import ctypes
import mmap
import os
from pathlib import Path

import numpy as np

from benchmarks.peers.serving import UnmeasurableError


def drop(path: Path) -> None:
    """Takes a file out of the page cache; nobody may have it mapped.

    Raises:
        UnmeasurableError: more than a hundredth of it stays, as on tmpfs, where files lie in that cache alone.
    """
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    share = resident(path)
    if share > 0.01:
        raise UnmeasurableError(f"{share:.0%} of {path} stays in the page cache, expected a folder on a disk")


def resident(path: Path) -> float:
    """Gives the share of a file's pages that are in the page cache, by mincore(2)."""
    pages = -(-path.stat().st_size // mmap.PAGESIZE)
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        view = np.frombuffer(mapped, np.uint8)
        there = np.zeros(pages, np.uint8)
        library = ctypes.CDLL(None, use_errno=True)
        address = ctypes.c_void_p(view.ctypes.data)
        failed = library.mincore(address, ctypes.c_size_t(view.nbytes), there.ctypes.data_as(ctypes.c_void_p))
        del view
    if failed:
        raise OSError(ctypes.get_errno(), "mincore failed", str(path))
    return float((there & 1).mean())


def bytes_read() -> int:
    """Gives how many bytes this process has had fetched from storage so far, by /proc/self/io."""
    lines = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("read_bytes"))
