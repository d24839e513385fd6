"""Small frozen graphs, whole and broken, and a child that converts one: for the tests of export's formats."""

import dataclasses
import functools
import hashlib
import os
import pickle
import subprocess
import sys

import numpy as np
import tensorflow as tf
from conftest import ROOT
from small_models import images, small_model, values_of

from models.export.frozen_graph import FrozenModel, freeze

LABELS = ("gender", "age")


@functools.cache
def frozen_model():
    """Gives the graph of a small model with outputs `gender_output/Sigmoid` and `age`."""
    return _output_renamed(freeze(*small_model(LABELS)), "gender", "gender_output/Sigmoid")


@functools.cache
def pictures_and_values(count=5):
    """Gives float32 (count, 32, 32, 3) and what Keras computes for it, by the outputs' names."""
    pictures = images(count)
    values = values_of(*small_model(LABELS), pictures)
    return pictures.astype(np.float32), {"gender_output/Sigmoid": values["gender"], "age": values["age"]}


def assert_near(found, expected, limit=1e-5):
    """Compares names, shapes, types and values: max |difference| / max(1, |expected|)."""
    assert {name: (value.shape, value.dtype) for name, value in found.items()} == {
        name: (value.shape, np.float32) for name, value in expected.items()
    }
    for name, value in expected.items():
        assert np.max(np.abs(found[name] - value) / np.maximum(1, np.abs(value))) <= limit, name


def graph_of(frozen):
    return tf.compat.v1.GraphDef.FromString(frozen.data)


def taking_uint8(frozen):
    """Gives the graph with an input of uint8 and a Cast behind it."""
    graph = graph_of(frozen)
    name = frozen.signature.input.name
    placeholder = next(node for node in graph.node if node.name == name)
    placeholder.attr["dtype"].type = tf.uint8.as_datatype_enum
    for node in graph.node:
        node.input[:] = [f"{name}/float32" if source == name else source for source in node.input]
    cast = graph.node.add(name=f"{name}/float32", op="Cast", input=[name])
    cast.attr["SrcT"].type, cast.attr["DstT"].type = tf.uint8.as_datatype_enum, tf.float32.as_datatype_enum
    signature = dataclasses.replace(frozen.signature, input=dataclasses.replace(frozen.signature.input, dtype="uint8"))
    return FrozenModel(graph.SerializeToString(deterministic=True), signature)


def with_operation(frozen, operation):
    """Gives the graph with its first Relu6 replaced by another operation of one input."""
    graph = graph_of(frozen)
    next(node for node in graph.node if node.op == "Relu6").op = operation
    return FrozenModel(graph.SerializeToString(deterministic=True), frozen.signature)


def with_a_function_left(frozen):
    """Gives a graph that calls a function, as Keras 3 writes grouped convolutions."""
    inner = tf.function(tf.nn.relu, autograph=False)
    outer = tf.function(
        lambda image: tf.reshape(tf.reduce_mean(inner(image), axis=[1, 2, 3]), [-1, 1], name="age"), autograph=False
    )
    graph = outer.get_concrete_function(tf.TensorSpec((None, 32, 32, 3), name="image")).graph.as_graph_def()
    signature = dataclasses.replace(frozen.signature, outputs=frozen.signature.outputs[1:])
    return FrozenModel(graph.SerializeToString(deterministic=True), signature)


def converted_by_a_child(frozen, expression, folder):
    """Evaluates `expression` on `frozen` and `folder` as a command does, in a process with other hashes of strings.

    Returns:
        SHA-256 of the bytes that it gives, and whatever the process wrote besides.
    """
    file = folder / "frozen.pickle"
    file.write_bytes(pickle.dumps(frozen))
    lines = (
        "import hashlib, pathlib, pickle",
        "from scripts.native_logs import quiet_native_logs",
        "from models.export.litert_model import to_litert",
        "from models.export.onnx_model import to_onnx",
        "from models.export.saved_model import write_saved_model",
        "quiet_native_logs()",
        f"folder = pathlib.Path({str(folder)!r})",
        f"frozen = pickle.loads(pathlib.Path({str(file)!r}).read_bytes())",
        f"print(hashlib.sha256({expression}).hexdigest(), end='')",
    )
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return done.stdout, done.stderr


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def _output_renamed(frozen, old, new):
    graph = graph_of(frozen)
    for node in graph.node:
        node.name = new if node.name == old else node.name
    outputs = [
        dataclasses.replace(output, name=new) if output.name == old else output for output in frozen.signature.outputs
    ]
    signature = dataclasses.replace(frozen.signature, outputs=tuple(outputs))
    return FrozenModel(graph.SerializeToString(deterministic=True), signature)
