import sys

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
from frozen_examples import (
    assert_near,
    converted_by_a_child,
    frozen_model,
    pictures_and_values,
    sha256,
    taking_uint8,
    with_a_function_left,
    with_operation,
)
from small_models import SLIM, HeadShape, application, images, model_on, values_of

from hdf5_helper.errors import FacetError
from models.export.frozen_graph import freeze
from models.export.onnx_model import OPSET, to_onnx


@pytest.fixture(scope="module")
def data():
    return to_onnx(frozen_model())


def answers(data, pictures):
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"image": pictures}), strict=True))


@pytest.mark.parametrize("count", [1, 5])
def test_onnx_runtime_computes_what_keras_computes(data, count):
    pictures, expected = pictures_and_values()
    assert_near(answers(data, pictures[:count]), {name: values[:count] for name, values in expected.items()})


def test_opencv_reads_it_with_the_same_names_and_layout(data):
    pictures, expected = pictures_and_values()
    net = cv2.dnn.readNetFromONNX(np.frombuffer(data, np.uint8))
    net.setInput(pictures, "image")
    found = [values.reshape(-1, 1) for values in net.forward(list(expected))]  # OpenCV adds an axis
    assert_near(dict(zip(expected, found, strict=True)), expected)


def test_input_and_outputs_have_the_signatures_names_types_and_shapes(data):
    graph = onnx.load_from_string(data).graph
    assert {value.name: form_of(value) for value in (*graph.input, *graph.output)} == {
        "image": (onnx.TensorProto.FLOAT, ["N", 32, 32, 3]),
        "gender_output/Sigmoid": (onnx.TensorProto.FLOAT, ["N", 1]),
        "age": (onnx.TensorProto.FLOAT, ["N", 1]),
    }


def form_of(value):
    tensor = value.type.tensor_type
    return tensor.elem_type, [size.dim_param or size.dim_value for size in tensor.shape.dim]


def test_the_checker_finds_one_old_set_of_operations_and_its_format(data):
    model = onnx.load_from_string(data)
    onnx.checker.check_model(model, full_check=True)
    assert (model.ir_version, [(opset.domain, opset.version) for opset in model.opset_import]) == (4, [("", OPSET)])
    assert {node.domain for node in model.graph.node} == {""}


def test_a_network_that_ends_in_an_average_is_transposed_once():
    model, description = model_on(application("MobileNet", alpha=0.25), ("age",), SLIM, HeadShape("average", ()))
    data = to_onnx(freeze(model, description))
    assert [node.op_type for node in onnx.load_from_string(data).graph.node].count("Transpose") == 1
    pictures = images(3, 64)
    assert_near(answers(data, pictures.astype(np.float32)), values_of(model, description, pictures), limit=1e-4)


def test_a_graph_that_takes_uint8_gives_a_model_that_does():
    pictures, expected = pictures_and_values()
    assert_near(answers(to_onnx(taking_uint8(frozen_model())), pictures.astype(np.uint8)), expected)


def test_the_same_graph_gives_the_same_bytes_here_and_in_another_process(data, tmp_path):
    assert to_onnx(frozen_model()) == data
    assert converted_by_a_child(frozen_model(), "to_onnx(frozen)", tmp_path) == (sha256(data), "")


def test_the_names_inside_are_those_of_the_graph_where_they_can_be(data):
    nodes = [node.name for node in onnx.load_from_string(data).graph.node]
    assert len(set(nodes)) == len(nodes)
    assert {"gender_output/Sigmoid", "Transpose_0"} <= set(nodes)
    assert not [name for name in nodes if "__" in name]


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (lambda: with_operation(frozen_model(), "Digamma"), "Digamma] is not supported"),
        (lambda: with_operation(frozen_model(), "NoSuchOp"), "NoSuchOp"),
        (lambda: with_a_function_left(frozen_model()), "PartitionedCall] is not supported"),
    ],
)
def test_a_graph_that_onnx_cannot_hold_is_refused_in_one_sentence(broken, reason, capfd):
    with pytest.raises(FacetError) as refusal:
        to_onnx(broken())
    assert str(refusal.value).startswith("ONNX: ")
    assert reason in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert "tf2onnx" not in capfd.readouterr().err


@pytest.mark.long
def test_a_graph_that_the_converter_can_simplify_in_several_ways_gives_the_same_bytes_each_time():
    model, description = model_on(application("MobileNetV3Small", include_preprocessing=False), ("age",), SLIM)
    frozen = freeze(model, description)
    assert len({sha256(to_onnx(frozen)) for _ in range(6)}) == 1


@pytest.mark.parametrize("package", ["onnx", "tf2onnx"])
def test_a_package_that_is_missing_is_named(package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(FacetError) as refusal:
        to_onnx(frozen_model())
    assert str(refusal.value) == (
        f"ONNX: package {package} is not installed, expected it as `pip install -e .[onnx]` does"
    )
