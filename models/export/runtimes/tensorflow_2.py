"""TensorFlow 2, which runs a graph in this process, on the CPU: the exporting program has it open anyway."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.export.formats import format_of
from models.export.runtimes.runtime import Answer, Float32Array, RuntimeRefusal
from models.export.signature import Signature

#: Takes what the graph's input wants, (B, H, W, 3); gives float32 (B, width) by the output's name.
RunGraph = Callable[[NDArray[Any]], dict[str, Float32Array]]


@contextmanager
def loaded_in_tensorflow(path: Path, signature: Signature) -> Iterator["ImportedGraph"]:
    """Loads a frozen graph or a SavedModel, see `Runtime.open`."""
    run = import_graph(path.read_bytes(), signature) if format_of(path) == "pb" else _load_saved_model(path, signature)
    yield ImportedGraph(run)


@dataclass(frozen=True)
class ImportedGraph:
    """A graph in this process, see `OpenGraph`."""

    function: RunGraph

    def run(self, images: NDArray[Any]) -> Answer:
        """Gives the outputs' values, see `OpenGraph.run`."""
        import tensorflow as tf

        began = time.perf_counter()
        try:
            values = self.function(images)
        except (ValueError, TypeError, KeyError, tf.errors.OpError) as error:
            raise RuntimeRefusal(error) from None
        return Answer(values, time.perf_counter() - began)


def import_graph(data: bytes, signature: Signature) -> RunGraph:
    """Imports a frozen graph.

    Args:
        data: a serialised GraphDef.
        signature: its input and outputs.

    Raises:
        RuntimeRefusal: TensorFlow cannot import it.
    """
    import tensorflow as tf
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    names = signature.output_names
    try:
        graph_def = tf.compat.v1.GraphDef.FromString(data)
        with tf.device("/CPU:0"):
            imported = tf.compat.v1.wrap_function(lambda: tf.graph_util.import_graph_def(graph_def, name=""), [])
            function = imported.prune(f"{signature.input.name}:0", [f"{name}:0" for name in names])
    except (ValueError, KeyError, DecodeError, tf.errors.OpError) as error:
        raise RuntimeRefusal(error) from None

    def run(images: NDArray[Any]) -> dict[str, Float32Array]:
        with tf.device("/CPU:0"):
            values = function(tf.constant(images))
        return {name: _by_image(value.numpy()) for name, value in zip(names, values, strict=True)}

    return run


def _load_saved_model(folder: Path, signature: Signature) -> RunGraph:
    import tensorflow as tf

    try:
        with tf.device("/CPU:0"):
            model = tf.saved_model.load(str(folder))
        model.signatures["serving_default"]
    except (ValueError, KeyError, OSError, tf.errors.OpError) as error:
        raise RuntimeRefusal(error) from None

    def run(images: NDArray[Any]) -> dict[str, Float32Array]:
        with tf.device("/CPU:0"):
            values = model.signatures["serving_default"](**{signature.input.name: tf.constant(images)})
        return {name: _by_image(values[name].numpy()) for name in signature.output_names}

    return run


def _by_image(values: NDArray[Any]) -> Float32Array:
    """Gives float32 (B, width) for values whose first axis is the batch; a graph may give (B,) too."""
    return np.asarray(values, np.float32).reshape(len(values), -1)
