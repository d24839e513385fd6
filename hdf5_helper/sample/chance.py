"""Chance for drawings: hashes of what is drawn, so that one picture never depends on another."""

import math
from collections.abc import Sequence
from enum import IntEnum
from typing import TypeVar

import numpy as np

from hdf5_helper.hashing import hash_integers, uniform

T = TypeVar("T")

_ROLLS = 96


class Stream(IntEnum):
    """What a series of draws decides; part of its key, so that series never share values."""

    PERSON = 1
    SHOTS = 2
    SHOT = 3
    NOISE = 4
    PLACE = 5


class Dice:
    """A series of at most 96 draws, fixed by its key.

    Args:
        key: integers: the seed, the Stream, and which person or picture.
    """

    def __init__(self, *key: int) -> None:
        self._rolls: list[float] = uniform(hash_integers(*key, np.arange(_ROLLS))).tolist()
        self._rolls.reverse()

    def between(self, low: float, high: float) -> float:
        """Gives a number in [low, high)."""
        return low + (high - low) * self._rolls.pop()

    def integer(self, low: int, high: int) -> int:
        """Gives an integer in [low, high)."""
        return int(self.between(low, high))

    def happens(self, probability: float) -> bool:
        """Gives True with `probability`."""
        return self._rolls.pop() < probability

    def one_of(self, choices: Sequence[T]) -> T:
        """Gives one of `choices`, all alike."""
        return choices[self.integer(0, len(choices))]

    def bell(self, mean: float, spread: float) -> float:
        """Gives a number around `mean` with standard deviation `spread`, at most 3.5 spreads away.

        The sum of four uniform draws (Irwin-Hall) has variance 1/3.
        """
        rolls = [self._rolls.pop() for _ in range(4)]
        return mean + spread * math.sqrt(3) * (sum(rolls) - 2)
