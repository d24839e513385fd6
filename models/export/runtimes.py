"""Programs that run a frozen graph here: TensorFlow 2 and OpenCV, each opened from the graph's bytes alone."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.export.frozen_graph import FrozenModel

Float32Array = NDArray[np.float32]

#: Takes what the graph's input wants, float32 (B, H, W, 3); gives float32 (B, width) by the output's name.
RunGraph = Callable[[Float32Array], dict[str, Float32Array]]


class RuntimeRefusal(Exception):  # noqa: N818 - a refusal is an answer, not a mistake
    """A runtime cannot import or run a graph; the text is its reason on one line."""


def open_in_tensorflow(frozen: FrozenModel) -> RunGraph:
    """Imports a graph into TensorFlow 2, on the CPU.

    Raises:
        RuntimeRefusal: TensorFlow cannot import it.
    """
    import tensorflow as tf

    graph_def = tf.compat.v1.GraphDef.FromString(frozen.data)
    names = frozen.signature.output_names
    try:
        with tf.device("/CPU:0"):
            imported = tf.compat.v1.wrap_function(lambda: tf.graph_util.import_graph_def(graph_def, name=""), [])
            function = imported.prune(f"{frozen.signature.input.name}:0", [f"{name}:0" for name in names])
    except (ValueError, KeyError, tf.errors.OpError) as error:
        raise RuntimeRefusal(_one_line(error)) from None

    def run(images: Float32Array) -> dict[str, Float32Array]:
        with tf.device("/CPU:0"):
            values = function(tf.constant(images))
        return {name: _by_image(value.numpy()) for name, value in zip(names, values, strict=True)}

    return run


def open_in_opencv(frozen: FrozenModel) -> RunGraph:
    """Imports a graph into OpenCV's dnn module, which takes NCHW.

    Raises:
        RuntimeRefusal: OpenCV cannot import it; the function given raises it where OpenCV cannot run it.
    """
    import cv2

    names = list(frozen.signature.output_names)
    try:
        net = cv2.dnn.readNetFromTensorflow(np.frombuffer(frozen.data, np.uint8))
    except cv2.error as error:
        raise RuntimeRefusal(_one_line(error)) from None

    def run(images: Float32Array) -> dict[str, Float32Array]:
        try:
            net.setInput(np.ascontiguousarray(images.transpose(0, 3, 1, 2)), frozen.signature.input.name)
            values = net.forward(names)
        except cv2.error as error:
            raise RuntimeRefusal(_one_line(error)) from None
        return {name: _by_image(value) for name, value in zip(names, values, strict=True)}

    return run


#: By name: what gives the version, and what opens a graph.
RUNTIMES: dict[str, tuple[Callable[[], str], Callable[[FrozenModel], RunGraph]]] = {
    "TensorFlow": (lambda: _version("tensorflow"), open_in_tensorflow),
    "OpenCV": (lambda: _version("cv2"), open_in_opencv),
}


def _by_image(values: NDArray[Any]) -> Float32Array:
    """Gives float32 (B, width) for values whose first axis is the batch; a graph may give (B,) too."""
    return np.asarray(values, np.float32).reshape(len(values), -1)


def _version(module: str) -> str:
    import importlib

    return str(importlib.import_module(module).__version__)


def _one_line(error: Any) -> str:
    return " ".join((getattr(error, "err", "") or str(error)).split())[:160]  # OpenCV's own text is in `err`
