"""Which precision a trial speaks for, and whether there is time to win at all: pure functions of figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: mixed_bfloat16 is taken where it is so many times as fast: less is within what a few steps on a shared machine vary.
LEAST_GAIN = 1.1

#: Below it, further rounds are a waste of time: no noise makes twice the time less.
HOPELESS = 0.5

#: bfloat16 has 8 bits of mantissa, so that each rounding is off by 2^-9 of a value; three bits are left to the sum of
#: all layers' roundings. Measured for nine backbones with random weights: 0.005 to 0.045 of the largest score.
_BOUND = 2.0**-5

#: A network that hangs on the last digits of its weights hangs on those of its activations as well.
_SENSITIVITY = 4.0

#: Multiply-accumulates a second that no two cores pass by much: VGG19 reached 60 to 100 billion in float32.
_SPEED = 1e11

#: A step multiplies three times for each time of a forward pass: for the output, for the input's and the kernel's
#: gradient.
_PASSES = 3

#: Multiply-accumulates of a forward pass by pixel of the image: VGG19's, the most of any backbone here.
_MOST_A_PIXEL = 400_000


@dataclass(frozen=True)
class Work:
    """How much a training has to compute.

    Attributes:
        pixels: of the window that the backbone sees.
        examples: of the train split, times the epochs of both phases.
    """

    pixels: int
    examples: int

    def seconds(self, multiplications: int | None = None) -> float:
        """Gives an estimate of the training's length that no slow machine makes shorter.

        Args:
            multiplications: multiply-accumulates of the backbone for an image; None for the most of any backbone.
        """
        forward = _MOST_A_PIXEL * self.pixels if multiplications is None else multiplications
        return _PASSES * forward * self.examples / _SPEED


@dataclass(frozen=True)
class Trial:
    """What a trial has found.

    Attributes:
        gain: how many times as fast as float32 mixed_bfloat16 is.
        agrees: whether their scores are the same but for rounding; True where speed had decided already.
        seconds: that the trial took.
    """

    gain: float
    agrees: bool
    seconds: float

    @property
    def precision(self) -> str:
        """`float32` or `mixed_bfloat16`."""
        return "mixed_bfloat16" if self.gain >= LEAST_GAIN and self.agrees else "float32"

    def in_words(self) -> str:
        """Gives the choice and what speaks for it, the beginning of a sentence."""
        if self.precision == "mixed_bfloat16":
            return f"precision: mixed_bfloat16, {self.gain:.1f} times as fast as float32 here"
        if not self.agrees:
            return f"precision: float32, since mixed_bfloat16, {self.gain:.1f} times as fast, gave other scores here"
        if self.gain < 1:
            return f"precision: float32, since mixed_bfloat16 took {1 / self.gain:.1f} times as long here"
        return f"precision: float32, since mixed_bfloat16 was {self.gain:.2f} times as fast here"


def gain(exact: Sequence[float], rough: Sequence[float]) -> float:
    """Gives how many times as fast the rough steps were: the median over rounds of one step each.

    The two steps of a round stand side by side, so that what slows the machine for a while slows both.

    Args:
        exact: seconds of each round's step in float32, above 0.
        rough: the same in mixed_bfloat16.
    """
    return median(one / other for one, other in zip(exact, rough, strict=True))


def agree(
    exact: Mapping[str, NDArray[Any]], rough: Mapping[str, NDArray[Any]], rounded: Mapping[str, NDArray[Any]]
) -> bool:
    """Says whether figures computed in bfloat16 are those of float32 but for rounding.

    They may differ by 2^-5 of the largest figure, and by 4 times what rounding the weights alone, once, to bfloat16
    moves: networks with random weights may hang on the last digits.

    Args:
        exact: arrays by name, computed in float32.
        rough: the same in bfloat16.
        rounded: the same in float32 from weights rounded to bfloat16.
    """
    if not all(np.isfinite(values).all() for figures in (exact, rough, rounded) for values in figures.values()):
        return False
    return all(_close(exact[name], rough[name], rounded[name]) for name in exact)


def _close(exact: NDArray[Any], rough: NDArray[Any], rounded: NDArray[Any]) -> bool:
    wide = exact.astype(np.float64)
    moved = float(np.abs(wide - rounded).max())
    return float(np.abs(wide - rough).max()) <= _BOUND * float(np.abs(wide).max()) + _SENSITIVITY * moved
