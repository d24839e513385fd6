"""Backbone × runtime: each architecture in each program that a file is made for; at full width when long."""

import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT
from exported_files import BY_KEY
from small_models import images
from tensorflow.compat.v1 import GraphDef
from tensorflow.core.framework.op_def_pb2 import OpList

from benchmarks.export_models import SUBJECTS, learnt
from models.export.formats import SUFFIXES
from models.export.frozen_graph import freeze
from models.export.options import ExportOptions
from models.export.parity import difference, keras_reference
from models.export.writing import write_format

#: Each format in the runtimes that it is made for, and the largest |Δ| / max(1, |value|) from Keras there.
FORMATS = {
    "pb": (("tensorflow", "tensorflow1", "opencv"), 1e-5),
    "onnx": (("onnxruntime",), 1e-5),
    "litert": (("litert",), 1e-4),
}

SUBJECT_NAMES = [subject.name for subject in SUBJECTS]

#: Pictures that heads learn from, and how many of them are compared at once.
COUNT, BATCH = 64, 16


class Case:
    """A backbone with heads that have learnt the colours of pictures; its graph; what Keras gives for one batch."""

    def __init__(self, name, side, *, narrow):
        pictures = images(COUNT, side)
        red, green, blue = pictures.mean(axis=(1, 2)).T
        targets = {"age": 5 + red / 4, "gender": (green > blue).astype(int)}
        subject = SUBJECTS[SUBJECT_NAMES.index(name)]
        self.model, self.description = learnt(subject, side, pictures, targets, narrow=narrow)
        self.frozen = freeze(self.model, self.description)
        self.inputs = self.frozen.signature.input.prepare(pictures[:BATCH])
        self.expected = keras_reference(self.model, self.description, pictures[:BATCH])

    def differences(self, folder, file_format):
        """Gives how far each runtime is from Keras, by key and number of images at once."""
        path = folder / f"model{SUFFIXES[file_format]}"
        write_format(self.frozen, path, ExportOptions(file_format), None)
        found = {}
        for key in FORMATS[file_format][0]:
            with BY_KEY[key].open(path, self.frozen.signature) as graph:
                for count in (BATCH, 1):
                    expected = {label: values[:count] for label, values in self.expected.items()}
                    found[key, count] = difference(graph.run(self.inputs[:count]).values, expected)
        return found


@pytest.fixture(scope="module", params=SUBJECT_NAMES)
def narrow(request):
    return Case(request.param, 96 if request.param == "Xception" else 64, narrow=True)


@pytest.fixture(scope="module", params=SUBJECT_NAMES)
def whole(request):
    return Case(request.param, 150, narrow=False)


def assert_within_limits(found, file_format):
    print(" ".join(f"{key}x{count} {value:.1e}" for (key, count), value in found.items()))  # noqa: T201 - shown by -s
    assert max(found.values()) <= FORMATS[file_format][1], found


@pytest.mark.parametrize("file_format", FORMATS)
def test_every_runtime_gives_what_keras_gives(narrow, file_format, tensorflow_1, tmp_path):
    assert_within_limits(narrow.differences(tmp_path, file_format), file_format)


@pytest.mark.long
@pytest.mark.parametrize("file_format", FORMATS)
def test_every_runtime_gives_what_keras_gives_at_full_width(whole, file_format, tensorflow_1, tmp_path):
    assert_within_limits(whole.differences(tmp_path, file_format), file_format)


def test_the_values_that_are_compared_tell_pictures_apart(narrow):
    spreads = {label: float(np.ptp(values)) for label, values in narrow.expected.items()}
    assert min(spreads.values()) > 500 * FORMATS["pb"][1], spreads


@pytest.mark.long
def test_a_graph_takes_as_much_room_as_the_weights(whole):
    weights = 4 * sum(int(np.prod(variable.shape)) for variable in whole.model.weights)
    print(f"{len(whole.frozen.data) / weights:.4f}")  # noqa: T201 - the figure is what this is for
    assert len(whole.frozen.data) <= 1.01 * weights


LIST_OPERATIONS = """
import ctypes, sys
from models.export.runtimes.programs import run_tensorflow_1 as program
library = program._load(sys.argv[1])
library.TF_GetAllOpList.restype = ctypes.POINTER(program._Buffer)
buffer = library.TF_GetAllOpList().contents
sys.stdout.buffer.write(ctypes.string_at(buffer.data, buffer.length))
"""


@pytest.fixture(scope="module")
def known_to_tensorflow_1(tensorflow_1):
    """The attributes of every operation of TensorFlow 1.15, by its name, as that program itself lists them."""
    words = [sys.executable, "-c", LIST_OPERATIONS, str(tensorflow_1)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, check=True)
    return {operation.name: {attr.name for attr in operation.attr} for operation in OpList.FromString(done.stdout).op}


def assert_known(case, known):
    nodes = GraphDef.FromString(case.frozen.data).node
    assert {node.op for node in nodes} <= set(known)
    assert {(node.op, name) for node in nodes for name in node.attr if name not in known[node.op]} == set()


def test_no_operation_or_attribute_is_newer_than_tensorflow_1(narrow, known_to_tensorflow_1):
    assert_known(narrow, known_to_tensorflow_1)


@pytest.mark.long
def test_no_operation_or_attribute_is_newer_than_tensorflow_1_at_full_width(whole, known_to_tensorflow_1):
    assert_known(whole, known_to_tensorflow_1)
