"""Kernels that are filled into a graph at the end: the graph is the one that they were in all along."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import ROOT
from exported_files import assert_same_values
from frozen_examples import graph_of
from small_models import CAFFE, images, model_on

from models.export import large_kernels
from models.export.frozen_graph import freeze
from models.export.large_kernels import fill_in


def network():
    """A convolution, two dense layers, the wider one used twice, and a normalization between them."""
    image = keras.Input((16, 16, 3))
    features = keras.layers.Conv2D(8, 3, strides=4)(image)
    flat = keras.layers.Flatten()(features)
    wide = keras.layers.Dense(flat.shape[-1], activation="relu", name="wide")
    normal = keras.layers.BatchNormalization(name="normal")(wide(wide(flat)))
    narrow = keras.layers.Dense(8, name="narrow")(normal)
    return keras.Model(image, keras.layers.Reshape((1, 1, 8))(narrow), name="backbone")


def kept_outside(monkeypatch, values):
    monkeypatch.setattr(large_kernels, "LARGE", values)


def test_kernels_of_dense_layers_alone_stay_outside_each_once_from_a_size_on(monkeypatch):
    model = network()
    wide = model.get_layer("wide").kernel
    kept_outside(monkeypatch, wide.shape[0] ** 2)
    assert large_kernels.large_kernels(model) == [wide]
    kept_outside(monkeypatch, wide.shape[0] ** 2 + 1)
    assert large_kernels.large_kernels(model) == []
    kept_outside(monkeypatch, 1)
    assert large_kernels.large_kernels(model) == [wide, model.get_layer("narrow").kernel]


def operations(graph, name):
    """What gives an output: the operation, its attributes, and the same of all that it reads, without names."""
    node = next(node for node in graph.node if node.name == name)
    attributes = {key: value.SerializeToString(deterministic=True) for key, value in node.attr.items()}
    return node.op, attributes, [operations(graph, source) for source in node.input]


@pytest.mark.parametrize("where", ["inside", "outside"])
def test_the_graph_is_the_same_whether_kernels_were_kept_outside_or_not(monkeypatch, where):
    model, description = model_on(network(), ("age", "gender"), CAFFE)
    as_ever = freeze(model, description, where)
    kept_outside(monkeypatch, 1)
    filled = freeze(model, description, where)
    assert filled.signature == as_ever.signature
    for name in filled.signature.output_names:
        assert operations(graph_of(filled), name) == operations(graph_of(as_ever), name)


def test_a_graph_with_kernels_filled_in_computes_what_keras_computes_in_tensorflow_and_opencv(monkeypatch):
    kept_outside(monkeypatch, 1)
    model, description = model_on(network(), ("age", "gender"), CAFFE)
    assert_same_values(freeze(model, description), model, description, images(4, 16))


def test_only_the_placeholders_that_are_named_become_constants():
    with tf.Graph().as_default() as graph:
        tf.raw_ops.MatMul(
            a=tf.compat.v1.placeholder(tf.float32, (None, 2), "image"),
            b=tf.compat.v1.placeholder(tf.float32, (2, 1), "kernel"),
        )
    graph_def, kernel = graph.as_graph_def(), np.array([[1.5], [2.5]], np.float32)
    fill_in(graph_def, {"kernel": kernel})
    assert [node.op for node in graph_def.node] == ["Placeholder", "Const", "MatMul"]
    np.testing.assert_array_equal(tf.make_ndarray(graph_def.node[1].attr["value"].tensor), kernel)


FREEZE_A_WIDE_MODEL = """
import keras
from models.description import ModelDescription, Output
from models.export.frozen_graph import freeze

def memory(kind):
    return next(int(line.split()[1]) << 10 for line in open("/proc/self/status") if line.startswith(kind))

image = keras.Input((64, 64, 3))
wide = keras.layers.Dense(4096)(keras.layers.Flatten()(image))
model = keras.Model(image, keras.layers.Dense(1, activation="sigmoid")(wide))
description = ModelDescription((Output("gender", "binary", ("female", "male")),), (64, 64))
before = memory("VmRSS")
freeze(model, description)
print((memory("VmHWM") - before) / (4 * model.count_params()))
"""


@pytest.mark.long
def test_freezing_holds_a_wide_layers_kernel_no_more_than_five_times_beside_the_model():
    done = subprocess.run(
        [sys.executable, "-c", FREEZE_A_WIDE_MODEL], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert float(done.stdout) < 5  # with the kernel inside all along it was 20
