"""Turns one array of a foreign file into the order of Keras's axes, or says that it does not fit."""

from models.pretrained.named_arrays import Array
from models.pretrained.targets import Target

#: From output channels first to Keras's: (out, in, height, width) to (height, width, in, out).
_OIHW_TO_HWIO = (2, 3, 1, 0)


def converted(array: Array, target: Target, kernel_axes: str) -> Array | None:
    """Gives a view of `array` whose values, row by row, are those of `target`; None where it does not fit.

    A dense layer behind a feature map saw it in the framework's own order, channels first in Torch, Caffe and PyTorch,
    and Keras sees channels last; a convolution as large as its whole input, which MatConvNet writes for a dense layer,
    is one. Such a view has the four axes (height, width, in, out) and is to be reshaped to (in, out).

    Args:
        array: as a reader gives it.
        target: what the layer wants.
        kernel_axes: `OIHW` or `HWIO`, see NamedArrays.
    """
    if array.dtype.kind not in "fiu":
        return None
    if len(target.shape) == 1:
        return array if array.shape == target.shape else None
    if target.role == "depthwise_kernel" or target.kind == "DepthwiseConv2D":
        return _depthwise(array, target, kernel_axes)
    if len(target.shape) == 2:
        return _dense(array, target, kernel_axes)
    found = array.transpose(_OIHW_TO_HWIO) if kernel_axes == "OIHW" and array.ndim == 4 else array
    return found if found.shape == target.shape else None


def _dense(array: Array, target: Target, kernel_axes: str) -> Array | None:
    rows, columns = target.shape
    seen = target.feature_map or (1, 1, rows)
    height, width, channels = seen
    if array.ndim == 2 and kernel_axes == "HWIO":
        return array if array.shape == target.shape else None
    if array.ndim == 2 and array.shape == (columns, rows):
        array = array.reshape(columns, channels, height, width)
    if array.ndim != 4:
        return None
    kernel = array.transpose(_OIHW_TO_HWIO) if kernel_axes == "OIHW" else array
    return kernel if kernel.shape == (*seen, columns) else None


def _depthwise(array: Array, target: Target, kernel_axes: str) -> Array | None:
    """Gives (height, width, in, multiplier); channels first it is (in × multiplier, 1, height, width)."""
    if kernel_axes == "HWIO":
        return array if array.shape == target.shape else None
    height, width, channels, multiplier = target.shape
    if array.shape != (channels * multiplier, 1, height, width):
        return None
    return array.reshape(channels, multiplier, height, width).transpose(2, 3, 0, 1)
