import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace

import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import ROOT
from exported_files import BY_KEY
from small_models import CAFFE, SLIM, images, small_model, values_of

from hdf5_helper.errors import FacetError
from models.description import ModelDescription, Output
from models.export import convert_h5_to_pb, export_model, load_frozen_graph
from models.export.examples import Examples, examples_from
from models.export.frozen_graph import freeze
from models.export.loading import read_exported
from models.export.options import ExportOptions
from models.export.writing import write_format
from models.model_file import save_model_file


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """One export of an age and gender model, and the folder that holds it."""
    model, description = small_model(("age", "gender"))
    out = tmp_path_factory.mktemp("export") / "small.pb"
    options = ExportOptions(verify_with=("tensorflow", "opencv"))
    return export_model(model, description, out, options, examples=Examples(images(8), "8 pictures"))


#: Names of one model in every format, and the runtime that each is made for.
FORMATS = {
    "pb": ("small.pb", "tensorflow"),
    "saved_model": ("small", "tensorflow"),
    "onnx": ("small.onnx", "onnxruntime"),
    "litert": ("small.tflite", "litert"),
}


def quick(file_format="pb", **more):
    """Gives options that compare in the format's own runtime alone."""
    return ExportOptions(file_format, verify_with=(FORMATS[file_format][1],), **more)


@pytest.fixture(scope="module")
def formats(tmp_path_factory):
    """One model in every format in one folder: what each export gave, by format."""
    model, description = small_model()
    folder = tmp_path_factory.mktemp("formats")
    return {
        key: export_model(model, description, folder / name, quick(key)) for key, (name, _runtime) in FORMATS.items()
    }


def test_an_export_is_a_graph_and_a_sidecar_that_fits_it(exported):
    folder = exported.path.parent
    assert sorted(path.name for path in folder.iterdir()) == ["small.json", "small.pb"]
    assert json.loads((folder / "small.json").read_text()) == exported.sidecar.to_dict()
    assert exported.sidecar.sha256 == hashlib.sha256(exported.path.read_bytes()).hexdigest()
    assert exported.size == exported.path.stat().st_size
    assert (exported.sidecar.file, exported.sidecar.compared_on) == ("small.pb", "8 pictures")
    assert [result.key for result in exported.comparison.runtimes] == ["tensorflow", "opencv"]


def test_one_model_in_every_format_has_room_in_one_folder(formats):
    folder = formats["pb"].path.parent
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*")) == [
        "small",
        "small.json",
        "small.onnx",
        "small.onnx.json",
        "small.pb",
        "small.saved_model.json",
        "small.tflite",
        "small.tflite.json",
        "small/saved_model.pb",
    ]


@pytest.mark.parametrize("file_format", FORMATS)
def test_every_format_says_what_it_is_and_runs_by_itself(formats, file_format):
    found = formats[file_format]
    read = read_exported(found.path)
    assert read.sidecar.to_dict() == found.sidecar.to_dict()
    assert (read.sidecar.options.file_format, read.sidecar.file) == (file_format, FORMATS[file_format][0])
    assert read.sidecar.compared_on == "64 made-up images"
    with BY_KEY[FORMATS[file_format][1]].open(found.path, read.signature) as graph:
        values = graph.run(images(3).astype(np.float32)).values["gender"]
    np.testing.assert_allclose(values, values_of(*small_model(), images(3))["gender"], atol=1e-5)


@pytest.mark.parametrize("file_format", FORMATS)
def test_the_same_model_is_the_same_file_again(formats, file_format, tmp_path):
    frozen = freeze(*small_model())
    file = write_format(frozen, tmp_path / FORMATS[file_format][0], quick(file_format), None)
    assert hashlib.sha256(file.read_bytes()).hexdigest() == formats[file_format].sidecar.sha256
    assert file.stat().st_size == formats[file_format].size


@pytest.mark.parametrize("quantization", ["float16", "int8"])
def test_a_quantized_file_is_smaller_the_same_again_and_says_what_it_is(formats, tmp_path, quantization):
    model, description = small_model()
    options, some = quick("litert", quantization=quantization), Examples(images(8), "8 pictures")
    found, again = (
        export_model(model, description, tmp_path / name, options, examples=some) for name in ("a.tflite", "b.tflite")
    )
    assert found.sidecar.sha256 == again.sidecar.sha256
    assert found.size < formats["litert"].size * 0.8
    assert read_exported(found.path).sidecar.options.quantization == quantization
    assert 1e-6 < found.comparison.runtimes[0].difference < 0.1


def test_int8_finds_its_ranges_on_the_images_for_it(tmp_path):
    options = quick("litert", quantization="int8")
    sums = [
        export_model(
            *small_model(),
            tmp_path / f"{number}.tflite",
            options,
            examples=Examples(images(8), "8 pictures"),
            calibration=calibration,
        ).sidecar.sha256
        for number, calibration in enumerate((None, Examples(images(8) // 8, "8 dark pictures")))
    ]
    assert sums[0] != sums[1]


def test_a_file_that_takes_bytes_gives_the_same_values(exported, tmp_path):
    model, description = small_model(("age", "gender"))
    found = export_model(model, description, tmp_path / "bytes.pb", quick(input_type="uint8"))
    assert found.sidecar.to_dict()["input"]["dtype"] == "uint8"
    graph, floats = load_frozen_graph(found.path), load_frozen_graph(exported.path)
    for kind in (np.uint8, np.float32):
        for name, values in floats(images(4).astype(kind)).items():
            np.testing.assert_array_equal(graph(images(4).astype(kind))[name], values)


def test_a_runtime_that_was_asked_for_must_run_the_file(tmp_path):
    options = ExportOptions(input_type="uint8", verify_with=("tensorflow", "opencv"))
    with pytest.raises(FacetError) as refused:
        export_model(*small_model(), tmp_path / "bytes.pb", options)
    assert str(refused.value) == (
        f"{tmp_path / 'bytes.pb'}: not kept, OpenCV {cv2.__version__} cannot run it: OpenCV feeds float32 images alone,"
        " this graph takes uint8"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_saved_model_is_replaced_when_asked_and_nothing_else_ever(tmp_path):
    out, options = tmp_path / "small", quick("saved_model")
    export_model(*small_model(), out, options)
    before = (out / "saved_model.pb").read_bytes()
    with pytest.raises(FacetError, match="exists already, expected a new name or --overwrite"):
        export_model(*small_model(seed=1), out, options)
    (out / "variables").mkdir()
    with pytest.raises(FacetError, match="small: a folder that holds variables, expected a new name"):
        export_model(*small_model(seed=1), out, options, overwrite=True)
    assert (out / "saved_model.pb").read_bytes() == before
    (out / "variables").rmdir()
    export_model(*small_model(seed=1), out, options, overwrite=True)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["saved_model.pb", "small", "small.saved_model.json"]
    assert read_exported(out).sidecar.sha256 != hashlib.sha256(before).hexdigest()


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
    export_model(model, description, tmp_path / "outside.pb", quick(preprocessing="outside"))
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
        export_model(model, lying, tmp_path / "wrong.pb", quick(preprocessing="outside"))
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
        export_model(model, description, tmp_path / "broken.pb", quick())
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
            export_model(model, description, out)
        assert str(refused.value) == f"{taken}: exists already, expected a new name or --overwrite"
        assert taken.read_text() == "mine"
        taken.unlink()
    out.write_text("mine")
    export_model(model, description, out, quick(), overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["small.json", "small.pb"]
    assert list(load_frozen_graph(out)(images(1))) == ["gender"]


EXPORT_ALL = """
import sys
from pathlib import Path
from hdf5_helper.errors import FacetError
from models.export import export_model
from models.export.options import ExportOptions
from models.model_file import load_model_file
model, description = load_model_file(Path(sys.argv[1]))
for folder in map(Path, sys.argv[2:]):
    for name, file_format in (("a.pb", "pb"), ("a", "saved_model"), ("a.onnx", "onnx"), ("a.tflite", "litert")):
        try:
            export_model(model, description, folder / name, ExportOptions(file_format))
        except OSError as error:
            print(file_format, error.strerror, sorted(path.name for path in folder.iterdir()))
"""


def test_a_disk_that_fills_up_or_cannot_be_written_is_left_empty_by_every_format(tmp_path):
    save_model_file(*small_model(), tmp_path / "model.keras")
    full, closed = tmp_path / "full", tmp_path / "closed"
    for disk in (full, closed):
        disk.mkdir()
    script = 'mount -t tmpfs -o size=40k none "$3" && mount -t tmpfs -o ro none "$4" && "$0" -c "$1" "$2" "$3" "$4"'
    words = [sys.executable, EXPORT_ALL, *map(str, (tmp_path / "model.keras", full, closed))]
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script, *words],
        env={**os.environ, "PYTHONPATH": str(ROOT), "FACET_CACHE": str(tmp_path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if "unshare:" in done.stderr or "mount:" in done.stderr:
        pytest.skip(f"no user namespaces here: {done.stderr.strip()}")
    reasons = ("No space left on device", "Read-only file system")
    expected = [f"{file_format} {reason} []" for reason in reasons for file_format in FORMATS]
    assert done.stdout.splitlines() == expected, done.stderr


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
    found = examples_from(path, ModelDescription((), (24, 24)), count=5)
    with HDF5Reader(path, image_size=(24, 24)) as reader:
        expected = reader.read(reader.split("test")[:5])
    assert np.array_equal(found.images, expected)
    assert found.source == f"5 test images of {path.name}"
