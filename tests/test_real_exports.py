"""What leaves Facet gives on real faces what its model gives: in every format, every runtime, and AgeEstimatorSharp."""

import functools
import hashlib
import json

import cv2
import keras
import numpy as np
import pytest
from exported_files import BY_KEY
from test_age_estimator_sharp import as_keras_sees, fed_by_the_program, run_by_the_program

from hdf5_helper.reading.reader import HDF5Reader
from models.export.age_estimator_sharp import PRESET, for_age_estimator_sharp
from models.export.loading import read_exported
from models.export.parity import difference, keras_reference
from models.model_file import load_model_file

FACES = "mobilenet_1.0_224_faces_notop.weights.h5"
SCHEDULE = ("--image-size", "128", "--warm-up-epochs", "2", "--fine-tuning-epochs", "1")

#: What is exported, and with which options; the first four compute in float32.
FILES = {
    "real.pb": (),
    "real.onnx": (),
    "real": (),
    "real.tflite": (),
    "half.tflite": ("--quantize", "float16"),
    "eight.tflite": ("--quantize", "int8"),
    "sharp.pb": ("--preset", PRESET),
}
FLOAT32 = list(FILES)[:4]

#: The runtime that each is made for.
OWN = dict.fromkeys(FILES, "litert") | {
    "real.pb": "tensorflow",
    "real.onnx": "onnxruntime",
    "real": "tensorflow",
    "sharp.pb": "tensorflow1",
}

#: Test faces on which files are compared with Keras, value by value.
COUNT, BATCH = 240, 16

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def folder(facet, real_data, tensorflow_1, tmp_path_factory):
    """A run of age and gender on real faces, and all that is exported from it."""
    tree = real_data("agegender_cleaned")
    weights = tree.parent.parent / "weights" / FACES
    if not weights.is_file():
        pytest.skip(f"pretrained weights not found: {weights}")
    folder = tmp_path_factory.mktemp("exports")
    run(facet, folder, "pack", tree, "ag.h5")
    chosen = ("--label", "age,gender", "--backbone", "mobilenet", "--weights", weights)
    run(facet, folder, "train", "ag.h5", "--run", "real", *chosen, *SCHEDULE)
    for name, options in FILES.items():
        run(facet, folder, "export", "real", name, *options)
    return folder


def run(facet, folder, *words):
    answer = facet(*words, cwd=folder, timeout=1500)
    assert answer.code == 0, (words, answer.stderr)
    return answer.stdout


@pytest.fixture(scope="module")
def measured(facet, folder):
    """Gives accuracy of gender and mean error of age in years by runtime, for a file or Keras itself on a split."""

    def figures(name, split):
        words = ("evaluate", "real") if name == "Keras" else ("verify-export", name, "--data", "ag.h5")
        told = json.loads(run(facet, folder, *words, "--split", split, "--json"))
        results = [{"runtime": name, **told}] if name == "Keras" else told
        found = {
            result["runtime"]: (result["metrics"]["gender"]["accuracy"], result["metrics"]["age"]["mae"])
            for result in results
        }
        print(name, split, found)  # noqa: T201 - the figures are what this is for
        return found

    return functools.cache(figures)


@pytest.mark.parametrize(("name", "runtimes"), [("real.pb", 3), ("real.onnx", 2), ("real", 2), ("real.tflite", 1)])
def test_accuracy_and_error_are_those_of_the_model_in_every_runtime(measured, name, runtimes):
    ((accuracy, error),) = measured("Keras", "test").values()
    found = measured(name, "test").values()
    assert [values[0] for values in found] == [accuracy] * runtimes
    assert max(abs(values[1] - error) for values in found) <= 1e-4


@pytest.mark.parametrize(("name", "points", "years"), [("half.tflite", 0.1, 0.02), ("eight.tflite", 1.0, 0.3)])
def test_smaller_weights_cost_little(measured, name, points, years):
    """Measured on all 4,000 faces: of the 800 test faces, one alone would be more than a tenth of a point."""
    ((accuracy, error),) = measured("Keras", "all").values()
    ((smaller_accuracy, smaller_error),) = measured(name, "all").values()
    assert 100 * abs(smaller_accuracy - accuracy) <= points
    assert abs(smaller_error - error) <= years


@pytest.fixture(scope="module")
def best(folder):
    """The model that was exported, and its description."""
    checkpoints = folder / "history" / "real" / "checkpoints"
    return load_model_file(checkpoints / json.loads((checkpoints / "best.json").read_text())["checkpoint"])


@pytest.fixture(scope="module")
def faces(folder):
    with HDF5Reader(folder / "ag.h5", image_size=(128, 128)) as reader:
        return reader.read(reader.split("test")[:COUNT])


def exact(model, pictures):
    """What the same layers and weights give in float64, where rounding is none to speak of."""

    def widened(layer):
        return layer.__class__.from_config({**layer.get_config(), "dtype": "float64"})

    wide = keras.models.clone_model(model, clone_function=widened, recursive=True)
    wide.set_weights(model.get_weights())
    assert wide.get_layer("backbone").layers[1].compute_dtype == "float64"
    return wide.predict(pictures.astype(np.float64), batch_size=BATCH, verbose=0)


@pytest.fixture(scope="module")
def keras_values(best, faces):
    """What Keras gives in float32, and how far that is from exact arithmetic, by label."""
    reference, truth = keras_reference(*best, faces), exact(best[0], faces)
    rounding = {label: difference({label: reference[label]}, {label: truth[label]}) for label in reference}
    print("Keras in float32 and float64 differ by", {label: f"{value:.1e}" for label, value in rounding.items()})  # noqa: T201
    return reference, rounding


@pytest.mark.parametrize("name", ["real.pb", "real.onnx"])
def test_values_on_real_faces_differ_by_no_more_than_two_computations_that_round_as_keras_does(
    folder, faces, keras_values, name
):
    reference, rounding = keras_values
    exported = read_exported(folder / name)
    fed = exported.signature.input.prepare(faces)
    for runtime in (runtime for runtime in BY_KEY.values() if name.rpartition(".")[2] in runtime.formats):
        with runtime.open(folder / name, exported.signature) as graph:
            parts = [graph.run(fed[first : first + BATCH]).values for first in range(0, COUNT, BATCH)]
        for label, values in reference.items():
            found = difference({label: np.concatenate([part[label] for part in parts])}, {label: values})
            print(f"{name} in {runtime.title}: {label} {found:.1e}")  # noqa: T201
            # each may be as far from exact arithmetic as Keras in float32 is, on its own side
            assert found <= max(1e-5, 2 * rounding[label]), (runtime.title, label)


@pytest.mark.parametrize("name", FILES)
def test_an_export_in_another_process_is_the_same_file(facet, folder, tmp_path, name):
    run(facet, folder, "export", "real", tmp_path / name, *FILES[name], "--verify-with", OWN[name])
    assert digests(tmp_path / name) == digests(folder / name)


def digests(path):
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    return [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]


def test_files_are_as_large_as_their_weights(folder, best):
    weights = sum(int(np.prod(variable.shape)) for variable in best[0].weights)
    size = {name: sum(file.stat().st_size for file in (folder / name).rglob("*")) for name in ("real",)}
    size |= {name: (folder / name).stat().st_size for name in FILES if name != "real"}
    print({name: f"{value:,}" for name, value in size.items()}, f"{weights:,} weights")  # noqa: T201
    assert all(size[name] <= 1.01 * 4 * weights for name in (*FLOAT32, "sharp.pb"))
    assert size["half.tflite"] <= 1.01 * 2 * weights
    assert size["eight.tflite"] <= 1.15 * weights


@pytest.mark.parametrize("count", [1, 7, 40])
def test_age_estimator_sharp_gets_from_its_file_what_keras_gives(folder, best, real_data, count):
    valid = real_data("agegender_cleaned") / "combined" / "valid"
    pictures = sorted(path for path in valid.rglob("*") if path.suffix == ".jpg")
    faces = [cv2.imread(str(path)) for path in pictures[:: len(pictures) // count][:count]]
    names = ("age_output/BiasAdd", "gender_output/Sigmoid")
    found = run_by_the_program(folder / "sharp.pb", fed_by_the_program(faces, folder / "mean.json"), names)
    sharp = for_age_estimator_sharp(*best)
    expected = keras_reference(sharp.source, sharp.source_description, as_keras_sees(faces))
    np.testing.assert_allclose(found[names[0]], expected["age"][:, 0], rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(found[names[1]], expected["gender"][:, 0], atol=1e-5)
    assert np.array_equal(found[names[1]] < 0.5, expected["gender"][:, 0] < 0.5)
