"""What goes into a frozen graph and what comes out: names, shapes, and what the caller does to the pixels."""

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdf5_helper.errors import FacetError, did_you_mean
from hdf5_helper.wording import own_names
from models.description import THRESHOLD, Output
from models.preprocessing import Preprocessing

#: Name of the graph's one input operation.
INPUT_NAME = "image"

#: Where the graph's input begins: before the layer `preprocess` (RGB 0–255), or behind it.
PREPROCESSINGS = ("inside", "outside")

#: What the graph's input may be made of; OpenCV takes float32 alone.
INPUT_TYPES = ("float32", "uint8")


def check_preprocessing(where: str) -> None:
    """Refuses anything but `inside` and `outside`."""
    if where not in PREPROCESSINGS:
        raise FacetError(f"--preprocessing {where!r}: {did_you_mean(where, PREPROCESSINGS)}")


def check_input_type(input_type: str, *, outside: bool) -> None:
    """Refuses an unknown type, and bytes for a graph whose caller subtracts a mean."""
    if input_type not in INPUT_TYPES:
        raise FacetError(f"--input-type {input_type!r}: {did_you_mean(input_type, INPUT_TYPES)}")
    if input_type == "uint8" and outside:
        raise FacetError(
            "--input-type uint8: whole numbers cannot hold values less a mean, expected --preprocessing inside"
        )


def operation_names(labels: Iterable[str]) -> dict[str, str]:
    """Gives each label's operation name: the label, with `_` for what TensorFlow allows in no name.

    One that is taken already, by an earlier label or by the input, gets a number: `image_2`.
    """
    labels = tuple(labels)
    _input, *names = own_names((INPUT_NAME, *map(_operation_name, labels)), between="_")
    return dict(zip(labels, names, strict=True))


def _operation_name(label: str) -> str:
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", label)
    return name if re.match("[A-Za-z0-9.]", name) else f"output{name}"


@dataclass(frozen=True)
class GraphInput:
    """The one input: NHWC, any number of images.

    Attributes:
        name: of the operation.
        image_size: (height, width) in pixels.
        preprocessing: what the caller does to RGB 0–255 before feeding it; nothing where it is inside the graph.
        dtype: `float32`, or `uint8` for a graph that does the rest by itself.
    """

    name: str
    image_size: tuple[int, int]
    preprocessing: Preprocessing
    dtype: str = "float32"

    def __post_init__(self) -> None:
        """Refuses what cannot be fed."""
        check_input_type(self.dtype, outside=self.preprocessing != Preprocessing())

    @property
    def shape(self) -> tuple[int | None, int, int, int]:
        """Shape with None for the open batch."""
        return (None, *self.image_size, 3)

    def prepare(self, images: NDArray[Any]) -> NDArray[Any]:
        """Gives what is fed for images of this input's size.

        Args:
            images: uint8 or float32 (B, H, W, 3), RGB 0–255.

        Returns:
            `dtype` (B, H, W, 3) after the caller's part of the preprocessing; uint8 is rounded to.

        Raises:
            FacetError: images of another shape.
        """
        if images.ndim != 4 or images.shape[1:] != self.shape[1:]:
            raise FacetError(
                f"images of shape {images.shape}: the graph takes (any number, {', '.join(map(str, self.shape[1:]))})"
            )
        if self.dtype == "uint8":
            return np.ascontiguousarray(np.clip(np.rint(images), 0, 255), np.uint8)
        values = np.asarray(images, np.float32)
        if self.preprocessing.color == "BGR":
            values = values[..., ::-1]
        if any(self.preprocessing.mean) or self.preprocessing.scale != 1.0:
            mean, scale = (np.asarray(n, np.float32) for n in (self.preprocessing.mean, self.preprocessing.scale))
            values = (values - mean) / scale
        return np.ascontiguousarray(values, np.float32)

    def to_dict(self) -> dict[str, Any]:
        """Gives the JSON form."""
        shape = {"name": self.name, "shape": list(self.shape), "dtype": self.dtype, "layout": "NHWC"}
        return shape | self.preprocessing.to_dict()

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "GraphInput":
        """Reads the JSON form."""
        _batch, height, width, _channels = values["shape"]
        return cls(values["name"], (int(height), int(width)), Preprocessing.from_dict(values), values["dtype"])


@dataclass(frozen=True)
class GraphOutput:
    """One output: float32 (B, width).

    Attributes:
        name: of the operation.
        width: values an image.
        output: label, activation, class names and unit.
    """

    name: str
    width: int
    output: Output

    @property
    def polarity(self) -> str:
        """What the value means, in words."""
        classes, activation = self.output.class_names, self.output.activation
        if activation == "sigmoid" and len(classes) == 2 and self.width == 1:
            return f"P({classes[1]}): below {THRESHOLD} is {classes[0]}, else {classes[1]}"
        if activation == "softmax" and classes:
            return f"P of each class: {', '.join(classes[:8])}{', …' if classes[8:] else ''}"
        if classes:
            kind = "P(yes)" if activation == "sigmoid" else "score"
            return f"{kind} of each of {len(classes)} attributes: below {self.output.threshold:g} is no"
        return f"{self.output.label} in {self.output.unit}" if self.output.unit else activation

    def to_dict(self) -> dict[str, Any]:
        """Gives the JSON form."""
        told = {"class_names": list(self.output.class_names), "class_values": list(self.output.class_values)}
        values = asdict(self.output) | told
        threshold = self.output.threshold
        more = {"polarity": self.polarity} | ({} if threshold is None else {"threshold": threshold})
        return {"name": self.name, "shape": [None, self.width], "dtype": "float32"} | values | more

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "GraphOutput":
        """Reads the JSON form."""
        numbers = tuple(float(number) for number in values.get("class_values", ()))
        output = Output(values["label"], values["activation"], tuple(values["class_names"]), values["unit"], numbers)
        return cls(values["name"], int(values["shape"][1]), output)


@dataclass(frozen=True)
class Signature:
    """A graph's input and its outputs, in the model's order; no two operations are called the same."""

    input: GraphInput
    outputs: tuple[GraphOutput, ...]

    def __post_init__(self) -> None:
        """Refuses what no graph can be."""
        names = (self.input.name, *self.output_names)
        if not self.outputs or len(set(names)) < len(names):
            raise FacetError(f"a graph with operations {', '.join(names)}: expected outputs, each with its own name")

    @property
    def output_names(self) -> tuple[str, ...]:
        """Operation names."""
        return tuple(output.name for output in self.outputs)
