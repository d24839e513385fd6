"""Runs an ONNX file in ONNX Runtime, on the CPU."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from numpy.typing import NDArray


def open_graph(request: Mapping[str, Any]) -> Callable[[NDArray[Any]], Sequence[NDArray[Any]]]:
    """Loads `path`.

    Raises:
        Exception: ONNX Runtime's own, where it cannot load the file; the function given raises it where it cannot run.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(request["path"], providers=["CPUExecutionProvider"])

    def run(images: NDArray[Any]) -> Sequence[NDArray[Any]]:
        values: Sequence[NDArray[Any]] = session.run(request["outputs"], {request["input"]: images})
        return values

    return run
