"""What a reader of a foreign weights file gives: its arrays by name, and in which order their axes stand."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hdf5_helper.errors import FacetError

Array = np.ndarray[Any, np.dtype[Any]]

#: Axes of convolution kernels: Torch, Caffe and PyTorch have output channels first, MatConvNet and Keras last.
KERNEL_AXES = ("OIHW", "HWIO")


@dataclass(frozen=True)
class NamedArrays:
    """The arrays of a weights file, in the file's order.

    Attributes:
        form: of the file, as `--list` shows it, such as `Torch7, binary`.
        arrays: by name `LAYER.ROLE`, such as `conv1_1.weight` or `layer1.0.bn1.running_mean`; float16, float32,
            float64 or integers, native byte order, with the axes as the framework has them.
        kernel_axes: `OIHW` or `HWIO`; matrices of dense layers are (out, in) or (in, out) accordingly.
        named: whether layers have names of their own; else LAYER is the place in the network, as in Torch7.
        in_order: whether the arrays stand in the order of the network's layers.
        rgb_mean: mean of the training images, 0–255, where the file tells it.
    """

    form: str
    arrays: Mapping[str, Array]
    kernel_axes: str
    named: bool = True
    in_order: bool = True
    rgb_mean: tuple[float, float, float] | None = None

    def __post_init__(self) -> None:
        """Refuses what no reader may give."""
        if self.kernel_axes not in KERNEL_AXES:
            raise FacetError(f"kernel axes {self.kernel_axes!r}: expected one of {', '.join(KERNEL_AXES)}")
