"""What is known of images once they are read: checksums, sizes, means."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from hdf5_helper import format as names
from hdf5_helper.plan import FilePlan


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
