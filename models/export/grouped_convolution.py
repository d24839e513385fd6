"""Grouped convolutions as what every runtime knows: split, convolve each group, concatenate."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from models.backbones.grouped import grouped_convolutions


@contextmanager
def groups_one_by_one(model: Any) -> Iterator[None]:
    """Computes grouped convolutions of a model group by group within the block.

    Keras compiles them with XLA, since TensorFlow's own kernels on the CPU lack them; what is traced then is a call of
    a function, which TensorFlow 1.15, OpenCV and ONNX cannot hold (keras/src/backend/tensorflow/nn.py, `conv`). Each
    group gets its part of the bias, since OpenCV 4.14 adds one right only where it stands behind a convolution.

    Args:
        model: keras.Model; its Conv2D layers of more than one group, nested ones too.
    """
    grouped = grouped_convolutions(model)
    biased = [layer for layer in grouped if layer.use_bias]
    before = {layer: vars(layer).get("convolution_op") for layer in grouped}
    for layer in grouped:
        layer.convolution_op = _one_by_one(layer)
        layer.use_bias = False
    try:
        yield
    finally:
        for layer in grouped:
            layer.convolution_op = before[layer]
            if before[layer] is None:
                del layer.convolution_op
            layer.use_bias = layer in biased


def _one_by_one(layer: Any) -> Callable[[Any, Any], Any]:
    """Gives what replaces a layer's method `convolution_op`, Keras's hook for other convolutions; it adds the bias."""
    last, groups, bias = layer.data_format == "channels_last", layer.groups, layer.bias if layer.use_bias else None
    channels, bias_shape = (-1, (1, 1, 1, -1)) if last else (1, (1, -1, 1, 1))

    def convolve(inputs: Any, kernel: Any) -> Any:
        from keras import ops

        parts = zip(ops.split(inputs, groups, channels), ops.split(kernel, groups, -1), strict=True)
        plain = [type(layer).convolution_op(layer, *part) for part in parts]
        if bias is not None:
            biases = ops.split(ops.reshape(bias, bias_shape), groups, channels)
            plain = [ops.add(*pair) for pair in zip(plain, biases, strict=True)]
        return ops.concatenate(plain, channels)

    return convolve
