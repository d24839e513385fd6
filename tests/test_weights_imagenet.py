import hashlib
import json

import h5py
import keras
import numpy as np
import pytest
from keras.src.applications import efficientnet
from keras.src.backend import config
from keras.src.legacy.saving import legacy_h5_format

from hdf5_helper.errors import FacetError
from models.backbones.building import build_backbone
from models.backbones.imagenet import load_imagenet
from models.backbones.registry import backbone_named
from models.weights import check_architecture, load_backbone_weights, read_weights_file

SIZE, ALPHA = (32, 32), {"alpha": 0.25}
MOBILENET = "mobilenet_2_5_224_tf_no_top.h5"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Gives the folder where Keras keeps its files; whatever is not there cannot be downloaded."""
    (tmp_path / "models").mkdir()
    monkeypatch.setattr(config, "_KERAS_DIR", str(tmp_path))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    return tmp_path / "models"


def write_weights(model, path):
    """Writes a file as those that Keras downloads are."""
    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, model)


def spread(model):
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(0.05, 0.2, weight.shape) for weight in model.get_weights()])
    return model


def mobilenet():
    return build_backbone("mobilenet", SIZE, ALPHA, 0)


def load(model, name="mobilenet", arguments=ALPHA):
    load_imagenet(model, name, model.input_shape[1:3], arguments)


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def refusal(action):
    with pytest.raises(FacetError) as error:
        action()
    return str(error.value)


def test_the_file_in_the_cache_is_loaded_and_its_sha256_written_beside_it(cache):
    theirs, ours = spread(mobilenet()), mobilenet()
    write_weights(theirs, cache / MOBILENET)
    load(ours)
    assert all(np.array_equal(*pair) for pair in zip(ours.get_weights(), theirs.get_weights(), strict=True))
    assert (cache / f"{MOBILENET}.sha256").read_text() == f"{sha256(cache / MOBILENET)}  {MOBILENET}\n"


def test_a_file_that_has_changed_is_refused_and_nothing_loaded(cache):
    model = mobilenet()
    write_weights(model, cache / MOBILENET)
    load(model)
    first, before = sha256(cache / MOBILENET), model.get_weights()
    write_weights(spread(mobilenet()), cache / MOBILENET)
    second = sha256(cache / MOBILENET)
    assert refusal(lambda: load(model)) == (
        f"weights imagenet: {cache / MOBILENET} has changed since it was downloaded (SHA-256 {second},"
        f" {MOBILENET}.sha256 says {first}), remove both to download it again"
    )
    assert all(np.array_equal(*pair) for pair in zip(model.get_weights(), before, strict=True))


def test_without_a_network_the_sentence_says_which_file_goes_where(cache):
    url = f"https://storage.googleapis.com/tensorflow/keras-applications/mobilenet/{MOBILENET}"
    assert refusal(lambda: load(mobilenet())) == (
        f"weights imagenet: {url} cannot be downloaded, expected that very file at {cache / MOBILENET} (or give"
        " --weights FILE)"
    )


@pytest.mark.long
def test_efficientnet_sees_through_its_outer_preprocessing_what_keras_makes_of_the_file(cache, monkeypatch):
    whole = keras.applications.EfficientNetB0(include_top=False, weights=None, input_shape=(32, 32, 3))
    weights = whole.get_weights()
    # as in the published files: the standard deviation where the variance belongs (tensorflow/tensorflow#49930)
    weights[:2] = [np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])]
    whole.set_weights(weights)
    write_weights(whole, cache / "efficientnetb0_notop.h5")
    digest = hashlib.md5((cache / "efficientnetb0_notop.h5").read_bytes()).hexdigest()  # noqa: S324
    monkeypatch.setitem(efficientnet.WEIGHTS_HASHES, "b0", ("", digest))
    ours = build_backbone("EfficientNetB0", SIZE, {}, 0)
    load(ours, "EfficientNetB0", {})
    theirs = keras.applications.EfficientNetB0(include_top=False, weights="imagenet", input_shape=(32, 32, 3))
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype(np.float32)
    kernel, bias = backbone_named("EfficientNetB0").preprocessing.kernel_and_bias()
    expected = theirs(images).numpy()
    found = ours((images @ kernel[0, 0] + bias).astype(np.float32))
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * abs(expected).max())


@pytest.mark.parametrize(
    ("name", "arguments", "parts"),
    [
        (
            "vggface",
            {"width": 0.0625},
            ("VGG_FACE.t7 (in vgg_face_torch.tar.gz)", "https://www.robots.ox.ac.uk/~vgg/software/vgg_face/"),
        ),
        (
            "resnext50",
            {"width": 0.0625, "cardinality": 4},
            ("resnext50_32x4d-7cdf4587.pth of https://download.pytorch.org/models/",),
        ),
        ("mobilenet_v2", {"alpha": 0.2}, ("in this form", "alpha")),
    ],
)
def test_what_keras_has_no_weights_for_is_one_sentence_that_names_the_file_to_import(cache, name, arguments, parts):
    model = build_backbone(name, (32, 32), arguments, 0)
    found = refusal(lambda: load_backbone_weights(model, "imagenet", name, arguments))
    assert found.startswith(f"weights imagenet: Keras has none for {name}")
    assert f"facet import-weights FILE OUT.weights.h5 --architecture {name}" in found
    assert all(part in found for part in parts)
    assert "\n" not in found


@pytest.mark.parametrize("architecture", ["vgg19", "VGG19"])
def test_a_sidecar_may_call_a_backbone_by_either_name(tmp_path, architecture):
    (tmp_path / "face.weights.h5").write_bytes(b"")
    (tmp_path / "face.weights.h5.json").write_text(json.dumps({"architecture": architecture}))
    weights = read_weights_file(tmp_path / "face.weights.h5")
    check_architecture(weights, "vgg19")
    with pytest.raises(FacetError, match=f"made for {architecture}, but --backbone is vgg16$"):
        check_architecture(weights, "vgg16")


def test_weights_of_a_backbone_that_this_version_has_not_are_refused(tmp_path):
    (tmp_path / "face.weights.h5").write_bytes(b"")
    (tmp_path / "face.weights.h5.json").write_text('{"architecture": "swin"}')
    with pytest.raises(FacetError, match=r"made for swin, but --backbone is vgg16 \(and this version has no swin\)"):
        check_architecture(read_weights_file(tmp_path / "face.weights.h5"), "vgg16")


def test_a_sidecar_may_give_each_channel_its_own_scale(tmp_path):
    (tmp_path / "face.weights.h5").write_bytes(b"")
    preprocessing = backbone_named("resnext50").preprocessing
    told = {"architecture": "resnext50", "preprocessing": preprocessing.to_dict()}
    (tmp_path / "face.weights.h5.json").write_text(json.dumps(told))
    assert read_weights_file(tmp_path / "face.weights.h5").preprocessing == preprocessing
