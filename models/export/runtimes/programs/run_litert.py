"""Runs a LiteRT file (`.tflite`) by the names of its signature."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from numpy.typing import NDArray


def open_graph(request: Mapping[str, Any]) -> Callable[[NDArray[Any]], Sequence[NDArray[Any]]]:
    """Loads `path` for `threads` threads; tensors are allocated anew when the number of images changes.

    Raises:
        ValueError: LiteRT cannot load the file; the function given raises it or RuntimeError where it cannot run.
        KeyError: the file's signature has other names.
    """
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(request["path"], num_threads=request["threads"])  # it would take one
    signature = interpreter.get_signature_runner()
    fed = signature.get_input_details()[request["input"]]["index"]
    given = signature.get_output_details()
    indices = [given[name]["index"] for name in request["outputs"]]
    shape: tuple[int, ...] = ()

    def run(images: NDArray[Any]) -> Sequence[NDArray[Any]]:
        nonlocal shape
        if images.shape != shape:
            interpreter.resize_tensor_input(fed, images.shape)
            interpreter.allocate_tensors()
            shape = images.shape
        interpreter.set_tensor(fed, images)
        interpreter.invoke()
        return [interpreter.get_tensor(index) for index in indices]

    return run
