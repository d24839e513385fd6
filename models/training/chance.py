"""Random layers without a state: dropout and its kin take their seeds from the step, so nothing of them needs saving.

A mask is a function of (seed, phase, step, layer, replica, part of the batch). Keras keeps a counter in each layer
instead, which a `.keras` file does not hold, and which gives every replica the same mask.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdf5_helper.hashing import hash_integer

_traced = threading.local()


def layers_of(model: Any) -> list[Any]:
    """Gives all layers of a Keras model, those of nested models in the place of these."""
    nested = [layers_of(layer) if hasattr(layer, "layers") else [layer] for layer in model.layers]
    return [layer for layers in nested for layer in layers]


def seed_generators(model: Any) -> list[Any]:
    """Gives the seed generators of a model's layers, in the layers' order."""
    import keras

    values = (value for layer in layers_of(model) for value in vars(layer).values())
    return [value for value in values if isinstance(value, keras.random.SeedGenerator)]


def step_seeds(count: int, seed: int, phase: int, step: int, replica: int) -> NDArray[np.int32]:
    """Gives the seeds of `count` random layers for one step on one replica, int32 (count, 2), not negative."""
    bits = [hash_integer(seed, phase, step, place, replica) for place in range(count)]
    return np.array([[b >> 33, b & 0x7FFFFFFF] for b in bits], np.int32).reshape(count, 2)


@contextmanager
def seeded_by_step(generators: list[Any]) -> Iterator[None]:
    """Makes seed generators give what `use_seeds` said, while a step is traced in this block."""

    def drawer(place: int) -> Any:
        def draw(ordered: bool = True) -> Any:  # noqa: ARG001 - Keras's signature
            _traced.draws[place] += 1  # a layer that draws twice in one step draws two numbers
            return _traced.seeds[place] + np.array([0, _traced.draws[place] - 1], np.int32)

        return draw

    for place, generator in enumerate(generators):
        generator.next = drawer(place)
    try:
        yield
    finally:
        for generator in generators:
            del generator.next


def use_seeds(seeds: Any) -> None:
    """Says, within `seeded_by_step`, which seeds this replica's layers take: an int32 tensor (layers, 2)."""
    _traced.seeds, _traced.draws = seeds, [0] * int(seeds.shape[0])
