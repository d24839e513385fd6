"""The process in which tf2onnx works: a GraphDef on standard input becomes an ONNX graph on standard output.

    python -m models.export.onnx_conversion '{"inputs": ["image"], "outputs": ["age"], "opset": 9}' < GRAPH > ONNX

What went wrong is the last line on standard error, and the exit code is 1.
"""

import json
import logging
import os
import sys
from typing import Any


def convert(data: bytes, inputs: list[str], outputs: list[str], opset: int) -> bytes:
    """Gives tf2onnx's onnx.GraphProto for a frozen graph, serialised; its nodes are named by a counter.

    Args:
        data: a serialised GraphDef.
        inputs: names of operations; the ONNX graph's inputs are called the same.
        outputs: likewise.
        opset: version of ONNX's operations.

    Raises:
        ValueError: tf2onnx has no translation for an operation, which it only logs as an error.
    """
    import tensorflow as tf
    from tf2onnx.graph import Node
    from tf2onnx.optimizer import optimize_graph
    from tf2onnx.tfonnx import process_tf_graph

    # sets of nodes are walked by hashes, which are addresses in memory otherwise
    Node.__hash__ = lambda node: hash(node.name)
    log = _Errors()
    logging.getLogger("tf2onnx").addHandler(log)
    with tf.device("/CPU:0"), tf.Graph().as_default() as graph:
        tf.graph_util.import_graph_def(tf.compat.v1.GraphDef.FromString(data), name="")
        converted = process_tf_graph(
            graph,
            opset=opset,
            input_names=[f"{name}:0" for name in inputs],
            output_names=[f"{name}:0" for name in outputs],
            tensors_to_rename={f"{name}:0": name for name in inputs + outputs},
        )
        result: Any = optimize_graph(converted, catch_errors=False).make_graph("", "facet")
    if log.messages:
        raise ValueError(log.messages[0])
    return bytes(result.SerializeToString(deterministic=True))


class _Errors(logging.Handler):
    """Collects the messages of level ERROR."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


def main() -> None:
    """Converts what comes in; everything that libraries print goes to standard error."""
    out = os.dup(1)
    os.dup2(2, 1)
    try:
        answer = convert(sys.stdin.buffer.read(), **json.loads(sys.argv[1]))
    except Exception as error:  # noqa: BLE001 - tf2onnx raises errors of many kinds
        sys.exit(" ".join(str(error).split()) or type(error).__name__)
    with os.fdopen(out, "wb") as file:
        file.write(answer)


if __name__ == "__main__":
    main()
