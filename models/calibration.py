"""BatchNormalization without pretrained statistics: measured once on real images, then frozen like all others."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.network import backbone_of


def measure_batch_normalization(model: Any, images: NDArray[np.uint8]) -> None:
    """Sets mean and variance of every BatchNormalization of a fresh backbone to what passes through it.

    Frozen at their first values (0 and 1) they would let the signal of an untrained backbone fade away. One pass over
    one batch is data-dependent initialisation (Mishkin and Matas, "All you need is a good init", 2016).

    Args:
        model: as `build_network` gives it, its backbone untrained.
        images: uint8 (B, H, W, 3), RGB; some dozens at least.
    """
    import keras

    base = backbone_of(model)
    layers = [layer for layer in base.layers if isinstance(layer, keras.layers.BatchNormalization)]
    if not layers:
        return
    before = [layer.momentum for layer in layers]
    for layer in layers:
        layer.trainable, layer.momentum = True, 0.0
    seen = images.astype(np.float32)
    for layer in model.layers[1 : model.layers.index(base)]:  # preprocess, and crop where there is one
        seen = layer(seen)
    base(seen, training=True)
    for layer, momentum in zip(layers, before, strict=True):
        layer.trainable, layer.momentum = False, momentum
