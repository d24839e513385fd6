import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdf5_helper.errors import FacetError
from models.description import ModelDescription, Output
from models.export.options import ExportOptions
from models.export.parity import RuntimeParity
from models.export.sidecar import Sidecar, read_sidecar, sidecar_path
from models.export.signature import GraphInput, GraphOutput, Signature
from models.preprocessing import Preprocessing

CAFFE = Preprocessing("BGR", (103.939, 116.779, 123.68), 1.0)
GENDER = Output("gender", "sigmoid", ("male", "female"))
AGE = Output("age", "linear", unit="years")
BINS = Output("age", "softmax", ("0-9", "10-99"), "years", (5.0, 55.0))


def sidecar(sha256="00" * 32, preprocessing="outside", outputs=(GENDER, AGE), **options):
    callers = CAFFE if preprocessing == "outside" else Preprocessing()
    signature = Signature(
        GraphInput("image", (128, 96), callers, options.get("input_type", "float32")),
        tuple(GraphOutput(output.label, 1, output) for output in outputs),
    )
    return Sidecar(
        file="real.pb",
        sha256=sha256,
        signature=signature,
        description=ModelDescription(
            outputs=outputs,
            image_size=(128, 96),
            fit="pad",
            backbone="mobilenet",
            preprocessing=CAFFE,
            run="real",
            images_digest="ab",
            index_digest="cd",
            fold=3,
            notes=("Its weights have seen VGGFace2.",),
        ),
        options=ExportOptions(preprocessing=preprocessing, **options),
        parity=(
            RuntimeParity("tensorflow", "TensorFlow 2.21.0", 1e-7),
            RuntimeParity("tensorflow1", "TensorFlow 1.15", reason="not installed", checked=False),
            RuntimeParity("opencv", "OpenCV 4.14.0", None, "why not"),
        ),
        compared_on="64 test images of ag.h5",
        facet="0.1.0",
    )


def test_the_json_says_all_that_a_program_must_know():
    assert sidecar().to_dict() == {
        "format": "facet export",
        "format_version": 1,
        "facet": "0.1.0",
        "file": "real.pb",
        "sha256": "00" * 32,
        "file_format": "pb",
        "quantization": "none",
        "preset": "",
        "input": {
            "name": "image",
            "shape": [None, 128, 96, 3],
            "dtype": "float32",
            "layout": "NHWC",
            "color": "BGR",
            "mean": [103.939, 116.779, 123.68],
            "scale": 1.0,
        },
        "outputs": [
            {
                "name": "gender",
                "shape": [None, 1],
                "dtype": "float32",
                "label": "gender",
                "activation": "sigmoid",
                "class_names": ["male", "female"],
                "unit": "",
                "class_values": [],
                "polarity": "P(female): below 0.5 is male, else female",
                "threshold": 0.5,
            },
            {
                "name": "age",
                "shape": [None, 1],
                "dtype": "float32",
                "label": "age",
                "activation": "linear",
                "class_names": [],
                "unit": "years",
                "class_values": [],
                "polarity": "age in years",
            },
        ],
        "preprocessing": "outside",
        "image_size": [128, 96],
        "fit": "pad",
        "backbone": "mobilenet",
        "backbone_preprocessing": {"color": "BGR", "mean": [103.939, 116.779, 123.68], "scale": 1.0},
        "run": "real",
        "images_digest": "ab",
        "index_digest": "cd",
        "fold": 3,
        "notes": ["Its weights have seen VGGFace2."],
        "parity": [
            {
                "key": "tensorflow",
                "runtime": "TensorFlow 2.21.0",
                "difference": 1e-7,
                "reason": "",
                "checked": True,
            },
            {
                "key": "tensorflow1",
                "runtime": "TensorFlow 1.15",
                "difference": None,
                "reason": "not installed",
                "checked": False,
            },
            {"key": "opencv", "runtime": "OpenCV 4.14.0", "difference": None, "reason": "why not", "checked": True},
        ],
        "compared_on": "64 test images of ag.h5",
    }


def test_with_the_preprocessing_inside_the_caller_does_nothing():
    values = sidecar(preprocessing="inside").to_dict()["input"]
    assert (values["color"], values["mean"], values["scale"]) == ("RGB", [0.0, 0.0, 0.0], 1.0)


@given(
    st.sampled_from([(GENDER,), (AGE,), (AGE, GENDER), (BINS,), (Output("hair", "softmax", ("a", "b", "c")),)]),
    st.sampled_from(
        [
            {"preprocessing": "inside"},
            {"preprocessing": "outside"},
            {"preprocessing": "outside", "preset": "age-estimator-sharp"},
            {"preprocessing": "inside", "input_type": "uint8"},
            {"preprocessing": "inside", "file_format": "saved_model"},
            {"preprocessing": "inside", "file_format": "onnx"},
            {"preprocessing": "inside", "file_format": "litert", "quantization": "int8"},
        ]
    ),
)
def test_a_sidecar_is_read_back_as_it_was_written(outputs, options):
    written = sidecar(outputs=outputs, **options)
    assert Sidecar.from_dict(json.loads(written.to_json())) == written


def test_a_sidecar_of_an_earlier_version_has_no_fold():
    values = sidecar().to_dict()
    del values["fold"]
    assert Sidecar.from_dict(values).description.fold == -1


def test_the_sidecar_lies_beside_its_graph(tmp_path):
    graph = tmp_path / "real.v2.pb"
    written = sidecar(hashlib.sha256(b"graph").hexdigest())
    sidecar_path(graph).write_text(written.to_json())
    assert sidecar_path(graph) == tmp_path / "real.v2.json"
    assert read_sidecar(graph, b"graph") == written


def test_one_name_in_every_format_has_a_sidecar_of_its_own():
    names = ("real.pb", "real", "real.onnx", "real.tflite")
    assert [sidecar_path(Path("folder", name)).name for name in names] == [
        "real.json",
        "real.saved_model.json",
        "real.onnx.json",
        "real.tflite.json",
    ]


def test_a_graph_without_a_sidecar_has_none(tmp_path):
    assert read_sidecar(tmp_path / "real.pb", b"graph") is None


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "not JSON, expected the sidecar of real.pb"),
        ("[1]", "not a sidecar that Facet wrote, move it away or export real.pb again"),
        ('{"R": 1, "G": 2, "B": 3}', "not a sidecar that Facet wrote, move it away or export real.pb again"),
        (
            json.dumps(sidecar().to_dict() | {"format_version": 2}),
            "format version 2, this Facet reads up to 1",
        ),
        (
            json.dumps({k: v for k, v in sidecar().to_dict().items() if k != "input"}),
            "damaged sidecar (KeyError: 'input'), export again",
        ),
        (
            json.dumps(sidecar().to_dict() | {"quantization": "int4"}),
            (
                "damaged sidecar (FacetError: --quantize 'int4': expected one of float16, int8, none"
                " (did you mean 'int8'?)), export again"
            ),
        ),
        (
            json.dumps({k: v for k, v in sidecar().to_dict().items() if k != "format_version"}),
            "damaged sidecar (KeyError: 'format_version'), export again",
        ),
        (
            json.dumps(sidecar().to_dict() | {"outputs": ["gender"]}),
            "damaged sidecar (AttributeError: 'str' object has no attribute 'get'), export again",
        ),
        (
            json.dumps(sidecar().to_dict() | {"outputs": []}),
            (
                "damaged sidecar (FacetError: a graph with operations image: expected outputs, each with its own"
                " name), export again"
            ),
        ),
        (sidecar().to_json(), "describes another graph than real.pb (SHA-256 differs), export again"),
    ],
    ids=[
        "no JSON",
        "a list",
        "a mean.json",
        "newer",
        "a field is gone",
        "an impossible option",
        "no version",
        "bare outputs",
        "no outputs",
        "another graph",
    ],
)
def test_a_sidecar_that_cannot_be_trusted_is_refused_in_one_sentence(tmp_path, text, sentence):
    (tmp_path / "real.json").write_text(text)
    with pytest.raises(FacetError) as refused:
        read_sidecar(tmp_path / "real.pb", b"graph")
    assert str(refused.value) == f"{tmp_path / 'real.json'}: {sentence}"
