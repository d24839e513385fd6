"""A weights file that holds more of a network than a run needs."""

import json

import numpy as np
import pytest

from hdf5_helper.errors import FacetError
from models.backbones.building import build_backbone
from models.weights import load_backbone_weights, read_weights_file, sidecar_of

WHOLE = {"output": "fc6", "width": 1 / 64}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Gives VGG-Face up to fc6, and its file."""
    model = build_backbone("vggface", (224, 224), WHOLE, seed=5)
    path = tmp_path_factory.mktemp("weights") / "face.weights.h5"
    model.save_weights(path)
    sidecar_of(path).write_text(json.dumps({"architecture": "vggface", "arguments": WHOLE}))
    return model, path


@pytest.mark.parametrize("output", ["pool5", "conv4_2", "fc6"])
def test_a_run_takes_the_layers_that_it_needs(whole, output):
    theirs, path = whole
    arguments = WHOLE | {"output": output}
    model = build_backbone("vggface", (224, 224), arguments, seed=0)
    load_backbone_weights(model, str(path), "vggface", arguments)
    found, wanted = model.get_weights(), theirs.get_weights()
    assert all(np.array_equal(*pair) for pair in zip(found, wanted[: len(found)], strict=True))


def test_images_of_another_size_see_the_same_layers(whole):
    theirs, path = whole
    arguments = WHOLE | {"output": "pool5"}
    model = build_backbone("vggface", (64, 64), arguments, seed=0)
    load_backbone_weights(model, str(path), "vggface", arguments)
    assert np.array_equal(model.get_weights()[-1], theirs.get_layer("conv5_3").get_weights()[1])


@pytest.mark.parametrize(
    ("arguments", "layer"),
    [({"output": "fc7", "width": 1 / 64}, "fc7"), ({"output": "pool5", "width": 1 / 32}, "conv1_1")],
)
def test_a_layer_that_the_file_does_not_have_is_one_sentence(whole, arguments, layer):
    _theirs, path = whole
    model = build_backbone("vggface", (224, 224), arguments, seed=0)
    with pytest.raises(FacetError) as error:
        load_backbone_weights(model, str(path), "vggface", arguments)
    assert str(error.value) == (
        f"weights {path}: are of vggface with arguments {WHOLE}, which has no such layer as {layer} with arguments"
        f" {arguments}"
    )


def test_a_file_whose_sidecar_is_wrong_about_it_is_one_sentence(whole, tmp_path):
    _theirs, path = whole
    other = tmp_path / "other.weights.h5"
    other.write_bytes(path.read_bytes())
    told = {"output": "fc6", "width": 1 / 16}
    sidecar_of(other).write_text(json.dumps({"architecture": "vggface", "arguments": told}))
    model = build_backbone("vggface", (64, 64), {"output": "pool5"} | {"width": 1 / 16}, seed=0)
    with pytest.raises(FacetError, match=r"do not fit vggface with arguments .*, as its sidecar says"):
        load_backbone_weights(model, str(other), "vggface", {"output": "pool5", "width": 1 / 16})


def test_what_else_a_sidecar_says_does_not_hinder(whole, tmp_path):
    path = tmp_path / "x.weights.h5"
    path.write_bytes(b"")
    told = {"architecture": "vggface", "source": {"sha256": "0"}, "licence": "CC BY-NC 4.0", "trained_on": "faces"}
    sidecar_of(path).write_text(json.dumps(told))
    file = read_weights_file(path)
    assert (file.architecture, file.arguments, file.trained_on) == ("vggface", {}, "faces")
