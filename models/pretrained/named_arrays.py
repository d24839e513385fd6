"""What a reader of a foreign weights file gives: its arrays by name, and in which order their axes stand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from hdf5_helper.errors import FacetError

Array = np.ndarray[Any, np.dtype[Any]]

#: Letters in the name of a layer or an array; published ones are below 60.
LONGEST_NAME = 200

#: Axes of convolution kernels: Torch, Caffe and PyTorch have output channels first, MatConvNet and Keras last.
KERNEL_AXES = ("OIHW", "HWIO")


def is_name(text: str) -> bool:
    """Tells whether a layer or an array may be called so: 1 to LONGEST_NAME printable characters."""
    return text.isprintable() and 0 < len(text) <= LONGEST_NAME


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

    def without(self, patterns: Sequence[str]) -> tuple["NamedArrays", tuple[str, ...]]:
        """Gives the arrays of all layers but those that a shell pattern fits, and the names of those.

        Raises:
            FacetError: a pattern that fits no layer.
        """
        layers = dict.fromkeys(name.rpartition(".")[0] for name in self.arrays)
        for pattern in patterns:
            if not any(fnmatchcase(layer, pattern) for layer in layers):
                nearest = ", ".join(get_close_matches(pattern, layers, cutoff=0))
                raise FacetError(f"--leave-out {pattern!r}: fits no layer of the file, expected such as {nearest}")
        out = tuple(layer for layer in layers if any(fnmatchcase(layer, pattern) for pattern in patterns))
        arrays = {name: array for name, array in self.arrays.items() if name.rpartition(".")[0] not in out}
        return replace(self, arrays=arrays), out
