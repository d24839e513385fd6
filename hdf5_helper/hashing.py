"""The one source of chance in Facet: splitmix64 over integers; texts enter by their XXH3.

NumPy and TensorFlow promise no stable random streams between versions (NEP 19), so splits, orders, augmentation and
dropout seeds are hashes of what they belong to: the same in every version, on every machine, in any order of calls.
"""

import numpy as np
from numpy.typing import NDArray

UInt64Array = NDArray[np.uint64]

# Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (OOPSLA 2014); constants: Vigna, splitmix64.c
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_MASK = (1 << 64) - 1


def splitmix64(values: UInt64Array) -> UInt64Array:
    """Gives the splitmix64 output for each state in `values` (uint64, any shape)."""
    with np.errstate(over="ignore"):
        z = values + _GOLDEN
        z = (z ^ (z >> np.uint64(30))) * _MIX_1
        z = (z ^ (z >> np.uint64(27))) * _MIX_2
        return z ^ (z >> np.uint64(31))


def hash_integers(*parts: int | UInt64Array | NDArray[np.int64]) -> UInt64Array:
    """Gives one uint64 a tuple of integers; arrays among `parts` are broadcast against each other.

    Example:
        `hash_integers(seed, epoch, example_indices)` gives an array of `example_indices`' shape.
    """
    state = np.zeros((), np.uint64)
    for part in parts:
        value = np.uint64(part & _MASK) if isinstance(part, int) else np.asarray(part).astype(np.uint64)
        state = splitmix64(np.asarray(state ^ value))
    return state


def hash_integer(*parts: int) -> int:
    """Gives one integer in [0, 2**64) for a tuple of integers."""
    return int(hash_integers(*parts))


def uniform(hashes: UInt64Array) -> NDArray[np.float64]:
    """Maps hashes to [0, 1) with 53 bits each."""
    return (hashes >> np.uint64(11)).astype(np.float64) * 2.0**-53
