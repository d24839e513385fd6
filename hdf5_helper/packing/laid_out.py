"""A file that is laid out and open for its bytes."""

import errno
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdf5_helper.errors import FacetError
from hdf5_helper.packing.plan import FilePlan
from hdf5_helper.storage.file_layout import Extents, create
from hdf5_helper.storage.network import on_network
from hdf5_helper.storage.positional import Pieces, open_for_writing, write_pieces
from hdf5_helper.storage.structure import opened, read_structure

_CANNOT_RESERVE = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)

Facts = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class LaidOut:
    """An open file in which every dset has its place.

    Attributes:
        path: the file.
        plan: what it consists of.
        places: where its dsets lie.
        handle: its descriptor.
    """

    path: Path
    plan: FilePlan
    places: Mapping[str, Extents]
    handle: int

    def room(self, first: int, last: int) -> Pieces:
        """Gives where the images of the rows [first, last) have their room."""
        return self.places[self.plan.image_name].pieces(int(self.plan.starts[first]), int(self.plan.starts[last]))

    def write_index(self, facts: Facts) -> None:
        """Writes all columns, those of the plan and `facts`, to their places."""
        columns = {name: column.values for name, column in self.plan.columns.items()}
        for name, values in (columns | dict(facts)).items():
            data = np.ascontiguousarray(values).tobytes()
            write_pieces(self.handle, data, self.places[name].pieces(0, len(data)))


@contextmanager
def laid_out(path: Path, plan: FilePlan) -> Iterator[LaidOut]:
    """Makes the file `path` by `plan`, with its space reserved, and gives it open."""
    path.unlink(missing_ok=True)  # a new file: a worker of a pack that was killed may still write to the old one
    path.touch()  # a folder that cannot be written to says so here, in words, and not through libhdf5
    places = create(path, plan.dsets, plan.attributes)
    with reopened(path, plan, places) as file:
        _reserve(path, file.handle)
        yield file


def places_in(path: Path, plan: FilePlan) -> dict[str, Extents] | None:
    """Gives where the dsets of an unfinished file lie; None where there is no file that was laid out by this plan."""
    if not path.exists():
        return None
    try:
        with opened(path) as file:
            dsets = read_structure(file).dsets
    except FacetError:
        return None
    wanted = {dset.name: (dset.dtype, dset.shape) for dset in plan.dsets}
    found = {name: (dset.dtype, dset.shape) for name, dset in dsets.items()}
    return {name: dset.extents for name, dset in dsets.items()} if found == wanted else None


@contextmanager
def reopened(path: Path, plan: FilePlan, places: Mapping[str, Extents]) -> Iterator[LaidOut]:
    """Gives a file open whose dsets lie at `places`."""
    handle = open_for_writing(path)
    try:
        yield LaidOut(path, plan, places, handle)
    finally:
        os.close(handle)


def _reserve(path: Path, handle: int) -> None:
    """Takes the file's space now, so that a full disk shows before the work and not after it, where systems can.

    Not on network file systems, where libc would write a byte to every page.
    """
    if not hasattr(os, "posix_fallocate") or on_network(path):
        return
    try:
        os.posix_fallocate(handle, 0, os.fstat(handle).st_size)
    except OSError as error:
        if error.errno not in _CANNOT_RESERVE:
            raise
