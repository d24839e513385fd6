"""Chance of augmentation: hashes of seed, epoch and example index, another sequence for each kind of draw."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hdf5_helper.hashing import UInt64Array, hash_integers, uniform


@dataclass(frozen=True)
class Draws:
    """What falls to each example of a batch in one epoch; whatever else is in the batch does not matter.

    Attributes:
        seed: of the run.
        epoch: from 1.
        indices: int64 (B,), example indices.
    """

    seed: int
    epoch: int
    indices: NDArray[np.int64]

    def hashes(self, kind: str) -> UInt64Array:
        """Gives 64 bits an example, uint64 (B,).

        The name of a kind, as an integer of its ASCII letters, goes into the seed (the last eight letters count): one
        kind more changes no other's draws.
        """
        return hash_integers(self.seed ^ int.from_bytes(kind.encode("ascii")), self.epoch, self.indices)

    def shares(self, kind: str) -> NDArray[np.float64]:
        """Gives a number of [0, 1) an example, float64 (B,)."""
        return uniform(self.hashes(kind))

    def around(self, kind: str, width: float) -> NDArray[np.float64]:
        """Gives a number of [-width, width) an example, float64 (B,); zeros where `width` is 0."""
        if width == 0:
            return np.zeros(len(self.indices))
        return np.asarray((2 * self.shares(kind) - 1) * width)

    def happens(self, kind: str, probability: float) -> NDArray[np.bool_]:
        """Says for which examples something of `probability` happens, bool (B,)."""
        if probability == 0:
            return np.zeros(len(self.indices), bool)
        return np.asarray(self.shares(kind) < probability)
