"""Runs a frozen graph or an ONNX file in OpenCV's dnn module."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def open_graph(request: Mapping[str, Any]) -> Callable[[NDArray[Any]], Sequence[NDArray[Any]]]:
    """Loads `path`; its reader of frozen graphs takes NCHW whatever the graph says, that of ONNX what the file says.

    Raises:
        cv2.error: OpenCV cannot import the file; the function given raises it where OpenCV cannot run it.
        TypeError: the function given is fed bytes.
    """
    import cv2

    frozen = request["format"] == "pb"
    net = (cv2.dnn.readNetFromTensorflow if frozen else cv2.dnn.readNetFromONNX)(request["path"])

    def run(images: NDArray[Any]) -> Sequence[NDArray[Any]]:
        if images.dtype != np.float32:
            raise TypeError(f"OpenCV feeds float32 images alone, this graph takes {images.dtype}")
        net.setInput(np.ascontiguousarray(images.transpose(0, 3, 1, 2)) if frozen else images, request["input"])
        values: Sequence[NDArray[Any]] = net.forward(request["outputs"])
        return values

    return run
