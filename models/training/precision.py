"""What a training step computes in: float32, or bfloat16 with float32 variables. The model itself stays float32."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from models.heads.head import Head
from models.training.chance import layers_of


@contextmanager
def computing_in(precision: str, model: Any, heads: tuple[Head, ...]) -> Iterator[None]:
    """Makes a model's layers compute in `precision` while a step is traced in this block.

    Afterwards they compute in float32 again, so checkpoints, validation and exports never know of it. `preprocess`
    and the layers that give scores stay float32 throughout: colours of 0–255 minus a mean, logits and years need it.

    Args:
        precision: `float32` or `mixed_bfloat16` (see Kalamkar et al. 2019: its range is float32's, so no loss scaling).
        model: keras.Model.
        heads: whose scores layers stay as they are.
    """
    exact = {"preprocess", *(name for head in heads for name in head.exact_layers)}
    layers = [layer for layer in layers_of(model) if layer.name not in exact and precision != "float32"]
    before = [layer.dtype_policy for layer in layers]
    for layer in layers:
        layer.dtype_policy = precision
    try:
        yield
    finally:
        for layer, policy in zip(layers, before, strict=True):
            layer.dtype_policy = policy
