import json
import time

import h5py
import keras
import numpy as np
import pytest
from small_models import small_model, write_run

from hdf5_helper.errors import FacetError
from hdf5_helper.progress import Silent, no_words
from hdf5_helper.reading.reader import HDF5Reader
from models.interface.feature_source import BackboneSource, find_source
from models.interface.features import FeatureRequest, feature_model, open_extraction, variables_digest
from models.preprocessing import Preprocessing

CHECKPOINT = "warm_up-epoch-0001.keras"


@pytest.fixture(scope="module")
def data(packed):
    """70 faces of 32 pixels: a whole block of 64 and a part of one."""
    return packed("agegender", count=70, side=32)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Weights of a narrow MobileNet of plain Keras, with a sidecar, and the model that they are of."""
    folder = tmp_path_factory.mktemp("weights")
    keras.utils.set_random_seed(5)
    model = keras.applications.MobileNet(input_shape=(32, 32, 3), alpha=0.25, include_top=False, weights=None)
    for layer in model.layers:
        if layer.name.startswith(("conv", "dw")) and len(layer.weights) == 1 and layer.weights[0].shape.rank == 4:
            shape = layer.weights[0].shape  # He-normal kernels: the signal neither fades away nor grows
            inputs = 9 if "dw" in layer.name else int(np.prod(shape[:3]))
            layer.set_weights([np.random.default_rng(5).normal(0, np.sqrt(2 / inputs), shape)])
    file = folder / "narrow.weights.h5"
    model.save_weights(file)
    told = {
        "architecture": "mobilenet",
        "arguments": {"alpha": 0.25},
        "preprocessing": {"color": "RGB", "mean": [127.5, 127.5, 127.5], "scale": 127.5},
        "trained_on": "dice",
    }
    file.with_name(f"{file.name}.json").write_text(json.dumps(told))
    return file, model


def extract(out, source, data, **options):
    request = FeatureRequest(source, data, out, **options)
    with open_extraction(request, request.find(), no_words) as extraction:
        extraction.write(Silent())
        return extraction.values()


@pytest.fixture(scope="module")
def written(tmp_path_factory, data, weights):
    """A file of features of the narrow MobileNet, and what was told of it."""
    out = tmp_path_factory.mktemp("features") / "features.h5"
    return out, extract(out, "mobilenet", data, weights=str(weights[0]))


def test_features_are_what_plain_keras_makes_of_the_images(written, data, weights):
    with HDF5Reader(data) as reader:
        images = reader.read(np.arange(len(reader))).astype(np.float32)
    model = weights[1]
    vectors = keras.layers.GlobalAveragePooling2D()(model.output)
    wanted = keras.Model(model.input, vectors)(keras.applications.mobilenet.preprocess_input(images.copy())).numpy()
    with h5py.File(written[0]) as file:
        features = file["features"][()]
    assert (features.dtype, features.shape) == (np.float32, (70, 256))
    assert wanted.std(axis=0).max() > 1e-3
    np.testing.assert_allclose(features, wanted, rtol=1e-5, atol=1e-5)


def test_the_same_again_gives_the_same_bytes(written, tmp_path, data, weights):
    time.sleep(1.1)  # a time in the file would show
    extract(tmp_path / "again.h5", "mobilenet", data, weights=str(weights[0]))
    assert (tmp_path / "again.h5").read_bytes() == written[0].read_bytes()


def test_all_that_the_packed_file_says_of_its_examples_is_beside_the_features(written, data):
    with h5py.File(data) as source, h5py.File(written[0]) as file:
        columns = [f"{folder}/{name}" for folder in ("labels", "groups") for name in source[folder]]
        assert columns == ["labels/age", "labels/age_group", "labels/gender", "groups/origin"]
        for name in (*columns, "split", "fold", "subject", "subject_names", "path"):
            assert file[name].dtype == source[name].dtype, name
            np.testing.assert_array_equal(file[name][()], source[name][()], name)
            assert sorted(file[name].attrs) == sorted(source[name].attrs), name
            for attribute in source[name].attrs:
                np.testing.assert_array_equal(file[name].attrs[attribute], source[name].attrs[attribute])
        assert file["example"][()].tolist() == list(range(70))
        assert sorted(file) == sorted(
            ["labels", "groups", "split", "fold", "subject", "subject_names", "path", "example", "features"]
        )


def test_the_file_says_what_its_features_are(written, data):
    out, told = written
    with h5py.File(out) as file, HDF5Reader(data) as reader:
        found = {name: v.decode() if isinstance(v, bytes) else np.asarray(v).tolist() for name, v in file.attrs.items()}
        digests = {"images_digest": reader.images_digest, "index_digest": reader.index_digest}
    digest = told["weights_digest"]
    wanted = digests | {
        "format": "facet-features",
        "version": [1, 0],
        "data": data.name,
        "split": "all",
        "split_fold": -1,
        "source": "mobilenet",
        "backbone": "mobilenet",
        "weights": "narrow.weights.h5",
        "weights_digest": digest,
        "notes": "backbone weights trained on: dice",
        "image_size": [32, 32],
        "fit": "stretch",
        "preprocessing": "RGB, (x - [127.5, 127.5, 127.5]) / 127.5",
        "layer": "conv_pw_13_relu",
        "pooling": "average",
        "keras": keras.__version__,
    }
    assert {name: value for name, value in found.items() if name != "tensorflow"} == wanted
    assert len(digest) == 32
    assert {name: told[name] for name in ("out", "examples", "width", "bytes")} == {
        "out": str(out),
        "examples": 70,
        "width": 256,
        "bytes": 70 * 256 * 4,
    }


def test_a_run_gives_the_features_of_its_backbone_at_its_own_size(tmp_path, data, monkeypatch):
    monkeypatch.setenv("FACET_HISTORY", str(tmp_path / "history"))
    model, description = small_model(("age", "gender"))
    write_run(tmp_path / "history", "first", {CHECKPOINT: (model, description)}, best=CHECKPOINT)
    told = extract(tmp_path / "out.h5", "first", data)
    with HDF5Reader(data, image_size=(32, 32)) as reader:
        images = reader.read(np.arange(len(reader))).astype(np.float32)
    backbone = model.get_layer("backbone")
    wanted = backbone(model.get_layer("preprocess")(images)).numpy().mean(axis=(1, 2))
    with h5py.File(tmp_path / "out.h5") as file:
        np.testing.assert_allclose(file["features"][()], wanted, rtol=1e-4, atol=1e-4)
    assert (told["source"], told["weights"], told["layer"]) == ("first", CHECKPOINT, "pool")


def test_a_split_gives_its_examples_alone_with_the_same_features(written, tmp_path, data, weights):
    extract(tmp_path / "test.h5", "mobilenet", data, weights=str(weights[0]), split="test")
    with HDF5Reader(data) as reader:
        rows = reader.split("test")
    with h5py.File(tmp_path / "test.h5") as file, h5py.File(written[0]) as whole:
        assert 0 < len(rows) < 70
        np.testing.assert_array_equal(file["example"][()], rows)
        for name in ("labels/age", "split", "path", "subject"):
            np.testing.assert_array_equal(file[name][()], whole[name][()][rows])
        np.testing.assert_array_equal(file["subject_names"][()], whole["subject_names"][()])
        np.testing.assert_allclose(file["features"][()], whole["features"][()][rows], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("pooling", "axes"), [("average", (1, 2)), ("flatten", ())])
def test_another_layer_of_the_backbone_is_pooled_or_flattened(pooling, axes):
    model, _description = small_model(("gender",))
    extractor, name = feature_model(model, "conv", pooling)
    images = np.random.default_rng(1).uniform(0, 255, (2, 32, 32, 3)).astype(np.float32)
    backbone = model.get_layer("backbone")
    maps = keras.Model(backbone.input, backbone.get_layer("conv").output)(model.get_layer("preprocess")(images)).numpy()
    wanted = maps.mean(axis=axes) if axes else maps.reshape(2, -1)
    assert name == "conv"
    np.testing.assert_allclose(extractor(images).numpy(), wanted, rtol=1e-4, atol=1e-3)


def test_the_digest_of_weights_is_that_of_what_the_features_depend_on():
    model, _description = small_model(("gender",))
    changed = keras.models.clone_model(model)
    changed.set_weights(model.get_weights())
    kernel = changed.get_layer("backbone").get_layer("depthwise").weights[0]
    kernel.assign(kernel + 1)

    def digest(model, layer, pooling="average"):
        return variables_digest(feature_model(model, layer, pooling)[0])

    assert digest(model, "conv") == digest(changed, "conv") == digest(model, "conv", "flatten")
    assert len({digest(model, "conv"), digest(model, "depthwise"), digest(changed, "depthwise")}) == 3


def test_weights_make_a_name_a_backbone_even_where_a_run_is_called_so(tmp_path, monkeypatch):
    monkeypatch.setenv("FACET_HISTORY", str(tmp_path))
    write_run(tmp_path, "mobilenet", {CHECKPOINT: small_model()}, best=CHECKPOINT)
    assert find_source("mobilenet").run.name == "mobilenet"
    assert find_source("mobilenet", "none") == BackboneSource("mobilenet", "none")


def test_a_sidecar_gives_the_arguments_unless_others_are_asked_for(weights):
    found = find_source("MobileNet", str(weights[0]))
    assert (found.backbone, found.arguments) == ("mobilenet", {"alpha": 0.25})
    assert found.file.preprocessing == Preprocessing("RGB", (127.5, 127.5, 127.5), 127.5)
    assert find_source("mobilenet", str(weights[0]), arguments={"alpha": 0.5}).arguments == {"alpha": 0.5}


def test_an_error_on_the_way_leaves_the_old_file_and_nothing_else(tmp_path, data, weights):
    out = tmp_path / "out.h5"
    out.write_bytes(b"old")

    class Failing(Silent):
        def advance(self, _count, _note=""):
            raise KeyboardInterrupt

    request = FeatureRequest("mobilenet", data, out, weights=str(weights[0]), overwrite=True)
    with open_extraction(request, request.find(), no_words) as extraction, pytest.raises(KeyboardInterrupt):
        extraction.write(Failing())
    assert [path.name for path in tmp_path.iterdir()] == ["out.h5"]
    assert out.read_bytes() == b"old"


def test_features_that_are_not_finite_are_refused(tmp_path, data):
    model = keras.models.clone_model(small_model()[0])
    model.get_layer("backbone").get_layer("conv").bias.assign(np.full(8, np.nan))
    path = tmp_path / "broken.keras"
    model.save(path)
    with pytest.raises(FacetError) as refused:
        extract(tmp_path / "out.h5", str(path), data, layer="conv")
    assert str(refused.value) == (
        f"{tmp_path / 'out.h5'}: the features of some images are not finite, expected other weights"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["broken.keras"]
