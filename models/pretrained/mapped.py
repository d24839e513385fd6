"""A weights file as bytes that are read from the disk when they are touched, and not before."""

import mmap
from pathlib import Path

from hdf5_helper.errors import FacetError


def mapped(path: Path) -> memoryview:
    """Gives the whole file, read-only, without copying it; arrays over parts of it keep the mapping alive.

    Raises:
        FacetError: no such file, no plain file, an empty one, or one that cannot be read; the sentence names the file.
    """
    try:
        if not path.is_file():
            raise FacetError(f"{path}: no such file, expected a file of weights")
        if path.stat().st_size == 0:
            raise FacetError(f"{path}: the file is empty, expected weights")
        with path.open("rb") as file:
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except OSError as error:
        raise FacetError(f"{path}: cannot be read ({error.strerror}), expected a file of weights") from error
