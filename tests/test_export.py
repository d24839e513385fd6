import hashlib
import json
import subprocess
import sys
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_models import CAFFE, SLIM, images, small_model, values_of

from hdf5_helper.errors import FacetError
from models.description import ModelDescription, Output
from models.export import convert_h5_to_pb, export_frozen_graph, load_frozen_graph
from models.export.examples import Examples, examples_from
from models.model_file import save_model_file


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """One export of an age and gender model, and the folder that holds it."""
    model, description = small_model(("age", "gender"))
    out = tmp_path_factory.mktemp("export") / "small.pb"
    return export_frozen_graph(model, description, out, examples=Examples(images(8), "8 pictures"))


def test_an_export_is_a_graph_and_a_sidecar_that_fits_it(exported):
    folder = exported.path.parent
    assert sorted(path.name for path in folder.iterdir()) == ["small.json", "small.pb"]
    assert json.loads((folder / "small.json").read_text()) == exported.sidecar.to_dict()
    assert exported.sidecar.sha256 == hashlib.sha256(exported.path.read_bytes()).hexdigest()
    assert exported.size == exported.path.stat().st_size
    assert (exported.sidecar.file, exported.sidecar.compared_on) == ("small.pb", "8 pictures")
    assert [result.runtime.split()[0] for result in exported.comparison.runtimes] == ["TensorFlow", "OpenCV"]


def test_the_sidecar_carries_the_whole_description(exported):
    _, description = small_model(("age", "gender"))
    assert load_frozen_graph(exported.path).description == description


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_a_loaded_graph_gives_what_keras_gives_by_output_name(exported, kind):
    model, description = small_model(("age", "gender"))
    found = load_frozen_graph(str(exported.path))(images(6).astype(kind))
    expected = values_of(model, description, images(6))
    assert list(found) == ["age", "gender"]
    for label, values in found.items():
        assert values.dtype == np.float32
        np.testing.assert_allclose(values, expected[label], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("preprocessing", [CAFFE, SLIM], ids=["bgr", "rgb"])
def test_a_graph_with_its_preprocessing_outside_takes_the_same_images_once_loaded(tmp_path, preprocessing):
    model, description = small_model(("gender",), preprocessing)
    export_frozen_graph(model, description, tmp_path / "outside.pb", preprocessing="outside")
    found = load_frozen_graph(tmp_path / "outside.pb")(images(6))["gender"]
    np.testing.assert_allclose(found, values_of(model, description, images(6))["gender"], atol=1e-5)


def test_a_graph_without_a_sidecar_says_what_can_be_told_of_it(exported, tmp_path):
    alone = tmp_path / "alone.pb"
    alone.write_bytes(exported.path.read_bytes())
    graph = load_frozen_graph(alone)
    known = exported.sidecar.description
    assert graph.sidecar is None
    assert graph.description.image_size == known.image_size
    assert sorted(graph.description.outputs, key=lambda output: output.label) == list(known.outputs)
    assert graph.description.notes == ("The graph has no sidecar: its input is taken for RGB 0–255.",)
    np.testing.assert_array_equal(graph(images(3))["age"], load_frozen_graph(exported.path)(images(3))["age"])


def test_images_of_another_size_are_refused(exported):
    with pytest.raises(FacetError) as refused:
        load_frozen_graph(exported.path)(images(2, 16))
    assert str(refused.value) == "images of shape (2, 16, 16, 3): the graph takes (any number, 32, 32, 3)"


def test_a_graph_that_computes_something_else_is_not_kept(tmp_path):
    model, description = small_model()
    lying = replace(description, preprocessing=SLIM)
    with pytest.raises(FacetError) as refused:
        export_frozen_graph(model, lying, tmp_path / "wrong.pb", preprocessing="outside")
    sentence = str(refused.value)
    assert sentence.startswith(f"{tmp_path / 'wrong.pb'}: not kept, TensorFlow {tf.__version__} differs from the Keras")
    assert sentence.endswith("expected at most 1e-04")
    assert list(tmp_path.iterdir()) == []


def test_a_model_whose_weights_are_not_finite_is_not_exported(tmp_path):
    image = keras.Input((8, 8, 3))
    last = keras.layers.Dense(1, name="value", bias_initializer=keras.initializers.Constant(float("nan")))
    model = keras.Model(image, last(keras.layers.Flatten()(image)))
    description = ModelDescription((Output("value", "linear"),), (8, 8))
    with pytest.raises(FacetError) as refused:
        export_frozen_graph(model, description, tmp_path / "broken.pb")
    assert str(refused.value) == (
        "the model's own output 'value' is not finite for 64 of 64 images, expected numbers: its training has failed"
    )
    assert list(tmp_path.iterdir()) == []


def test_an_export_never_replaces_a_file_unasked_and_leaves_it_whole(tmp_path):
    model, description = small_model()
    out = tmp_path / "small.pb"
    for taken in (out, tmp_path / "small.json"):
        taken.write_text("mine")
        with pytest.raises(FacetError) as refused:
            export_frozen_graph(model, description, out)
        assert str(refused.value) == f"{taken}: exists already, expected a new name or --overwrite"
        assert taken.read_text() == "mine"
        taken.unlink()
    out.write_text("mine")
    export_frozen_graph(model, description, out, overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["small.json", "small.pb"]
    assert list(load_frozen_graph(out)(images(1))) == ["gender"]


def test_a_disk_that_fills_up_leaves_neither_file(tmp_path):
    import resource

    model, description = small_model()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            export_frozen_graph(model, description, tmp_path / "small.pb")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["model.h5", "model.keras"])
def test_a_saved_keras_model_becomes_a_pb_in_a_folder_of_its_own(tmp_path, name):
    model, description = small_model()
    if name.endswith(".keras"):
        save_model_file(model, description, tmp_path / name)
    else:
        model.save(tmp_path / name)
    for _ in range(2):
        path = convert_h5_to_pb(str(tmp_path / name), str(tmp_path / "pb" / "gender"), "epochs_62.pb")
    assert path == tmp_path / "pb" / "gender" / "epochs_62.pb"
    found = load_frozen_graph(path)(images(4))["gender"]
    np.testing.assert_allclose(found, values_of(model, description, images(4))["gender"], atol=1e-5)
    assert convert_h5_to_pb(tmp_path / name, tmp_path, "short") == tmp_path / "short.pb"


def test_the_sidecar_of_a_plain_keras_file_has_class_names_and_polarity(tmp_path):
    small_model(("age", "gender"))[0].save(tmp_path / "plain.h5")
    path = convert_h5_to_pb(tmp_path / "plain.h5", tmp_path, "plain")
    told = {output["label"]: output for output in json.loads(path.with_suffix(".json").read_text())["outputs"]}
    assert told["gender"]["class_names"] == ["male", "female"]
    assert told["gender"]["polarity"] == "P(female): below 0.5 is male, else female"
    assert (told["age"]["unit"], told["age"]["polarity"]) == ("years", "age in years")


def test_importing_the_export_package_brings_no_tensorflow():
    code = "import sys, models.export, models.export.exporting; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_examples_of_a_data_file_are_its_first_test_images(packed):
    from hdf5_helper.reading.reader import HDF5Reader

    path = packed("agegender")
    found = examples_from(path, (24, 24), "stretch", count=5)
    with HDF5Reader(path, image_size=(24, 24)) as reader:
        expected = reader.read(reader.split("test")[:5])
    assert np.array_equal(found.images, expected)
    assert found.source == f"5 test images of {path.name}"
