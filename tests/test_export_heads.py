"""Every form of head in every runtime, with what stands between backbone and scores."""

import dataclasses

import numpy as np
import pytest
from exported_files import BY_KEY
from small_models import CAFFE, images, model_on, small_base

from models.export.formats import SUFFIXES
from models.export.frozen_graph import freeze
from models.export.options import ExportOptions
from models.export.parity import difference, keras_reference
from models.export.writing import write_format
from models.heads.choosing import heads_for
from models.network import HeadShape, build_network

ALL = ("gender", "age", "age_group", "attributes")
CASES = {
    "usual": (None, HeadShape("average", (8,))),
    "others": (
        {"gender": "softmax-unknown", "age": "bins", "attributes": "mse"},
        HeadShape("flatten", (8,), 0.0, hidden_dropout=0.5, normalization="layer"),
    ),
}
RUNTIMES = {"pb": ("tensorflow", "tensorflow1", "opencv"), "onnx": ("onnxruntime", "opencv"), "litert": ("litert",)}
PICTURES = images(6)


@pytest.fixture(scope="module", params=CASES)
def exported(request):
    forms, shape = CASES[request.param]
    model, description = model_on(small_base(), ALL, CAFFE, shape, forms=forms)
    if shape.normalization == "layer":
        layer, rng = model.get_layer("normalization"), np.random.default_rng(0)
        layer.set_weights([rng.uniform(0.5, 1.5, weight.shape) for weight in layer.get_weights()])
    return freeze(model, description), keras_reference(model, description, PICTURES)


@pytest.mark.parametrize("file_format", RUNTIMES)
def test_every_runtime_gives_the_values_of_keras_for_every_head(exported, file_format, tmp_path):
    frozen, expected = exported
    path = tmp_path / f"model{SUFFIXES[file_format]}"
    write_format(frozen, path, ExportOptions(file_format), None)
    found = {}
    for key in RUNTIMES[file_format]:
        with BY_KEY[key].open(path, frozen.signature) as graph:
            for count in (6, 1):
                wanted = {label: values[:count] for label, values in expected.items()}
                answer = graph.run(frozen.signature.input.prepare(PICTURES[:count]))
                found[key, count] = difference(answer.values, wanted)
    assert {place: value for place, value in found.items() if not value <= 1e-5} == {}


@pytest.mark.parametrize("preprocessing", ["inside", "outside"])
def test_a_window_in_the_middle_goes_with_the_graph(preprocessing, tmp_path):
    model, description = model_on(small_base(24), ("gender",))
    heads, shape = heads_for(("gender",)), HeadShape("flatten", (16,))
    outer = build_network(model.get_layer("backbone"), CAFFE, heads, shape, 0, (32, 32))
    outer.set_weights(model.get_weights())
    described = dataclasses.replace(description, image_size=(32, 32))
    frozen = freeze(outer, described, preprocessing=preprocessing)
    expected = keras_reference(model, description, PICTURES[:, 4:28, 4:28])
    path = tmp_path / "window.pb"
    write_format(frozen, path, ExportOptions("pb"), None)
    for key in RUNTIMES["pb"]:
        with BY_KEY[key].open(path, frozen.signature) as graph:
            assert difference(graph.run(frozen.signature.input.prepare(PICTURES)).values, expected) <= 1e-5, key
