"""Space on the disk, and what the system says when there is none."""

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hdf5_helper.errors import FacetError
from hdf5_helper.wording import bytes_text

_FULL = (errno.ENOSPC, errno.EDQUOT)
_HDF5_ERRNO = re.compile(r"errno = (\d+)")


def free_bytes(target: Path) -> int:
    """Gives the free bytes of the file system that `target` will lie on."""
    return shutil.disk_usage(target.parent).free


def taken_bytes(path: Path) -> int:
    """Gives the bytes that `path` takes on its disk, 0 where there is none or the system does not say."""
    try:
        return getattr(path.stat(), "st_blocks", 0) * 512  # POSIX counts in units of 512 bytes
    except OSError:
        return 0


def check_space(needed: int, target: Path, what: str = "") -> None:
    """Refuses to begin what will not fit; `what` says who needs the space."""
    free = free_bytes(target)
    if needed > free:
        start = f"{target}: {what} needs" if what else f"{target}: needs"
        raise FacetError(f"{start} {bytes_text(needed)}, but {bytes_text(free)} are free in {target.parent}")


@contextmanager
def failures_as_sentences(target: Path) -> Iterator[None]:
    """Turns what the system or libhdf5 says about writing `target` into one sentence: no space, no permission."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        found = _HDF5_ERRNO.search(str(error))
        number = error.errno if isinstance(error, OSError) and error.errno else int(found[1]) if found else None
        if number in _FULL:
            raise FacetError(f"{target}: no space left on its file system, so nothing was written") from error
        if number is not None:
            raise FacetError(f"{target}: cannot be written: {os.strerror(number).lower()}") from error
        raise
