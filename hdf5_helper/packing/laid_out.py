"""A file that is laid out and open for its bytes, and what is known of its images once they are read."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from hdf5_helper.packing.plan import FilePlan
from hdf5_helper.storage import file_format as names
from hdf5_helper.storage.file_layout import Extents, create
from hdf5_helper.storage.positional import Pieces, open_for_writing, write_pieces


@dataclass(frozen=True)
class Facts:
    """One array a dset, (N, …), filled row by row from any thread."""

    arrays: dict[str, NDArray[Any]]

    @classmethod
    def empty(cls, plan: FilePlan) -> Self:
        """Gives zeros for every dset of `plan` that is no column, no image and no seal."""
        skipped = {*plan.columns, plan.image_name, names.SEAL}
        return cls({dset.name: np.zeros(dset.shape, dset.dtype) for dset in plan.dsets if dset.name not in skipped})

    def note(self, row: int, name: str, value: object) -> None:
        """Notes one fact, where the storage keeps it."""
        if name in self.arrays:
            self.arrays[name][row] = value

    def only(self, kept: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """Gives the facts of the rows `kept`."""
        return {name: values[kept] for name, values in self.arrays.items()}


@dataclass(frozen=True)
class LaidOut:
    """An open file in which every dset has its place.

    Attributes:
        plan: what it consists of.
        places: where its dsets lie.
        handle: its descriptor.
    """

    plan: FilePlan
    places: Mapping[str, Extents]
    handle: int

    def image_pieces(self, first: int, last: int) -> Pieces:
        """Gives where the images of the rows [first, last) lie."""
        start, stop = int(self.plan.starts[first]), int(self.plan.starts[last])
        return self.places[self.plan.image_name].pieces(start, stop)

    def write_image(self, row: int, data: bytes | memoryview) -> None:
        """Writes one image to its place; safe to call from many threads."""
        write_pieces(self.handle, data, self.image_pieces(row, row + 1))

    def write_index(self, facts: Mapping[str, NDArray[Any]]) -> None:
        """Writes all columns, those of the plan and `facts`, to their places."""
        columns = {name: column.values for name, column in self.plan.columns.items()}
        for name, values in (columns | dict(facts)).items():
            data = np.ascontiguousarray(values).tobytes()
            write_pieces(self.handle, data, self.places[name].pieces(0, len(data)))


@contextmanager
def laid_out(path: Path, plan: FilePlan) -> Iterator[LaidOut]:
    """Makes the file `path` by `plan` and gives it open."""
    path.touch()  # a folder that cannot be written to says so here, in words, and not through libhdf5
    places = create(path, plan.dsets, plan.attributes)
    handle = open_for_writing(path)
    try:
        yield LaidOut(plan, places, handle)
    finally:
        os.close(handle)
