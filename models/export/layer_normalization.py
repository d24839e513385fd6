"""Normalization over an image's channels as convolutions, square root and quotient, which every runtime knows."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def channels_normalized_by_convolutions(model: Any) -> Iterator[None]:
    """Computes LayerNormalization over the channels of feature maps by 1×1 convolutions within the block.

    OpenCV 4.14 has neither the difference of squares nor the reciprocal root that Keras's own operations end in, and
    adds right a value a channel only behind a convolution.

    Args:
        model: keras.Model; its LayerNormalization layers of (N, h, w, channels), nested ones too.
    """
    import keras

    layers = [
        layer
        for layer in model._flatten_layers()  # noqa: SLF001 - Keras has no public walk through nested models
        if isinstance(layer, keras.layers.LayerNormalization) and _is_over_channels(layer)
    ]
    for layer in layers:
        layer.call = _by_convolutions(layer)
    try:
        yield
    finally:
        for layer in layers:
            del layer.call


def _is_over_channels(layer: Any) -> bool:
    axes = layer.axis if isinstance(layer.axis, list | tuple) else [layer.axis]
    return len(layer.input.shape) == 4 and list(axes) in ([-1], [3])


def _by_convolutions(layer: Any) -> Callable[[Any], Any]:
    """Gives what replaces a layer's `call`: (x - mean) / sqrt(variance + epsilon) * gamma + beta (Ba et al. 2016)."""

    def call(inputs: Any) -> Any:
        import tensorflow as tf

        channels = inputs.shape[-1]
        mean = tf.fill((1, 1, channels, 1), 1.0 / channels)
        everywhere = tf.ones((1, 1, 1, channels))

        def convolved(values: Any, *kernels: Any) -> Any:
            for kernel in kernels:
                values = tf.nn.conv2d(values, kernel, 1, "VALID")
            return values

        centred = inputs + convolved(inputs, -mean, everywhere)
        variance = convolved(tf.square(centred), mean) + layer.epsilon
        normal = centred / convolved(tf.sqrt(variance), everywhere)
        gamma = tf.ones(channels) if layer.gamma is None else layer.gamma
        scaled = tf.nn.depthwise_conv2d(normal, tf.reshape(gamma, (1, 1, channels, 1)), (1, 1, 1, 1), "VALID")
        return scaled if layer.beta is None else scaled + layer.beta

    return call
