"""A weights file that holds more of a network than a run needs."""

import json

import numpy as np
import pytest

from hdf5_helper.errors import FacetError
from models.backbones.building import build_backbone
from models.weights import load_backbone_weights, read_weights_file, sidecar_of

NARROW = {"width": 1 / 64}
WHOLE = {"output": "fc6", **NARROW}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Gives VGG-Face up to fc6, and its file."""
    model = build_backbone("vggface", (224, 224), WHOLE, seed=5)
    path = tmp_path_factory.mktemp("weights") / "face.weights.h5"
    model.save_weights(path)
    told = {"architecture": "vggface", "arguments": NARROW, "holds": WHOLE}
    sidecar_of(path).write_text(json.dumps(told))
    return model, path


@pytest.mark.parametrize(("output", "side"), [("pool5", 64), ("conv4_2", 64), ("fc6", 224)])
def test_a_run_takes_the_layers_that_it_needs(whole, output, side):
    theirs, path = whole
    arguments = NARROW | {"output": output}
    model = build_backbone("vggface", (side, side), arguments, seed=0)
    load_backbone_weights(model, str(path), "vggface", arguments)
    found, wanted = model.get_weights(), theirs.get_weights()
    assert all(np.array_equal(*pair) for pair in zip(found, wanted[: len(found)], strict=True))


@pytest.mark.parametrize(("arguments", "side"), [({"output": "fc7", **NARROW}, 224), ({"width": 1 / 32}, 64)])
def test_a_layer_that_the_file_does_not_have_is_one_sentence(whole, arguments, side):
    _theirs, path = whole
    model = build_backbone("vggface", (side, side), arguments, seed=0)
    with pytest.raises(FacetError) as error:
        load_backbone_weights(model, str(path), "vggface", arguments)
    assert str(error.value).startswith(f"weights {path}: do not fit vggface with arguments {arguments} (")


def test_a_sidecar_says_what_a_run_builds_and_what_the_file_holds(whole):
    file = read_weights_file(whole[1])
    assert (file.architecture, file.arguments, file.holds) == ("vggface", NARROW, WHOLE)


@pytest.mark.parametrize("arguments", [None, "xy", [1]])
def test_a_sidecar_with_arguments_of_another_kind_is_one_sentence(arguments, tmp_path):
    path = tmp_path / "x.weights.h5"
    path.write_bytes(b"")
    sidecar_of(path).write_text(json.dumps({"architecture": "vggface", "arguments": arguments}))
    with pytest.raises(FacetError, match="expected JSON with architecture, arguments and preprocessing"):
        read_weights_file(path)


def test_what_else_a_sidecar_says_does_not_hinder(tmp_path):
    path = tmp_path / "x.weights.h5"
    path.write_bytes(b"")
    told = {"architecture": "vggface", "source": {"sha256": "0"}, "licence": "CC BY-NC 4.0", "trained_on": "faces"}
    sidecar_of(path).write_text(json.dumps(told))
    file = read_weights_file(path)
    assert (file.architecture, file.arguments, file.trained_on) == ("vggface", {}, "faces")
