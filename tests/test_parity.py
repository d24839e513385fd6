import math

import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf
from exported_files import BY_KEY
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from small_models import images, small_model, values_of

from hdf5_helper.errors import FacetError
from models.description import ModelDescription, Output
from models.export.examples import made_up_examples
from models.export.frozen_graph import freeze
from models.export.parity import (
    RuntimeParity,
    chosen_runtimes,
    difference,
    keras_reference,
    measure_parity,
    refuse_differences,
)
from models.export.parity_table import parity_table

#: Runtimes that every machine has.
HERE = (BY_KEY["tensorflow"], BY_KEY["opencv"])


@pytest.fixture
def measured(tmp_path):
    """Gives a function that freezes, writes and measures: `measured(model, description, images(5))`."""

    def measure(model, description, pictures, reference=None, runtimes=HERE):
        frozen, path = freeze(model, description), tmp_path / "real.pb"
        path.write_bytes(frozen.data)
        own = reference or (lambda chosen: keras_reference(model, description, chosen))
        return measure_parity(path, frozen.signature, own, pictures, runtimes)

    return measure


finite = arrays.arrays(np.float32, (4, 1), elements=st.floats(-1e6, 1e6, width=32))


@given(finite, finite)
def test_a_difference_is_relative_above_one_and_absolute_below(found, reference):
    pairs = zip(found.ravel().tolist(), reference.ravel().tolist(), strict=True)
    expected = max(abs(a - b) / max(1.0, abs(b)) for a, b in pairs)
    assert difference({"age": found}, {"age": reference}) == pytest.approx(expected, rel=1e-12)


@given(finite)
def test_equal_values_do_not_differ(values):
    assert difference({"age": values, "gender": values}, {"age": values, "gender": values}) == 0.0


@pytest.mark.parametrize(
    "found",
    [
        {"age": np.array([[np.nan]], np.float32)},
        {"age": np.array([[np.inf]], np.float32)},
        {"age": np.array([1.0], np.float32)},
        {"age": np.array([[1.0], [1.0]], np.float32)},
        {"gender": np.array([[1.0]], np.float32)},
        {},
    ],
    ids=["not a number", "infinite", "other shape", "other batch", "other output", "none"],
)
def test_what_cannot_be_compared_differs_infinitely(found):
    assert difference(found, {"age": np.array([[1.0]], np.float32)}) == math.inf


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_equal_values_that_are_not_finite_differ_infinitely(value):
    values = {"age": np.full((2, 1), value, np.float32)}
    assert difference(values, values) == math.inf


def test_a_model_whose_own_values_are_not_finite_is_refused_before_any_runtime_runs(measured):
    model, description = small_model(("age", "gender"))

    def reference(pictures):
        values = keras_reference(model, description, pictures)
        values["gender"] = values["gender"].copy()
        values["gender"][[3, 60], 0] = np.nan, np.inf
        return values

    with pytest.raises(FacetError) as refused:
        measured(model, description, images(64), reference, runtimes=[None])
    assert str(refused.value) == (
        "the model's own output 'gender' is not finite for 2 of 64 images, expected numbers: its training has failed"
    )


def test_a_value_is_not_lost_between_outputs():
    reference = {"age": np.zeros((2, 1), np.float32), "gender": np.zeros((2, 1), np.float32)}
    found = {"age": np.zeros((2, 1), np.float32), "gender": np.array([[0.0], [0.5]], np.float32)}
    assert difference(found, reference) == 0.5


def test_the_reference_is_what_keras_predicts():
    model, description = small_model(("age", "gender"))
    found = keras_reference(model, description, images(20))
    expected = values_of(model, description, images(20))
    assert difference(found, expected) < 1e-5


def test_every_runtime_is_measured_on_64_images_and_agrees(measured):
    model, description = small_model(("age", "gender"))
    asked = []

    def reference(pictures):
        asked.append(pictures.shape)
        return keras_reference(model, description, pictures)

    found = measured(model, description, images(5), reference)
    results = found.runtimes
    assert found.tells_apart
    assert asked == [(64, 32, 32, 3)]
    assert [(result.key, result.runtime) for result in results] == [
        ("tensorflow", f"TensorFlow {tf.__version__}"),
        ("opencv", f"OpenCV {cv2.__version__}"),
    ]
    assert all(result.difference < 1e-4 and result.reason == "" for result in results)
    assert all(result.seconds_one > 0 and result.seconds_many > 0 for result in results)


@pytest.mark.parametrize("wrong", [0, 2, 3, 63], ids=str)
def test_a_single_wrong_value_among_64_is_seen(measured, wrong):
    model, description = small_model()

    def reference(pictures):
        values = keras_reference(model, description, pictures)["gender"].copy()
        values[wrong] -= 0.25
        return {"gender": values}

    results = measured(model, description, made_up_examples((32, 32)).images, reference, HERE[:1]).runtimes
    assert [round(result.difference, 3) for result in results] == [0.25]


def test_a_graph_that_gives_an_image_alone_other_values_than_among_others_is_seen(measured):
    image = keras.Input((32, 32, 3))
    centred = image - keras.ops.mean(image, axis=0, keepdims=True)
    total = keras.layers.Dense(1, kernel_initializer="ones")(keras.layers.GlobalAveragePooling2D()(centred))
    model, description = keras.Model(image, total), ModelDescription((Output("value", "linear"),), (32, 32))
    results = measured(model, description, images(16)).runtimes
    assert results[0].difference == 1.0  # alone, every image is its own mean: 0 where Keras says more than 1


def test_a_runtime_that_cannot_import_a_graph_is_named_with_its_reason(measured):
    image = keras.Input((32, 32, 3))
    values = keras.layers.Activation("gelu")(keras.layers.Conv2D(4, 3)(image))
    model = keras.Model(image, keras.layers.Dense(1)(keras.layers.GlobalAveragePooling2D()(values)))
    description = ModelDescription((Output("value", "linear"),), (32, 32))
    results = measured(model, description, images(3)).runtimes
    assert results[0].difference < 1e-4
    assert (results[1].difference, results[1].seconds_one) == (None, None)
    assert "Can't create layer" in results[1].reason
    assert "\n" not in results[1].reason
    refuse_differences("real.pb", results, {"tensorflow"})
    with pytest.raises(FacetError) as refused:
        refuse_differences("real.pb", results, {"tensorflow", "opencv"})
    assert str(refused.value) == f"real.pb: not kept, OpenCV {cv2.__version__} cannot run it: {results[1].reason}"


def test_a_runtime_that_is_not_installed_is_named_as_not_checked(measured, tmp_path, monkeypatch):
    monkeypatch.setenv("FACET_CACHE", str(tmp_path / "empty"))
    missing = BY_KEY["tensorflow1"]
    results = measured(*small_model(), images(3), runtimes=[missing]).runtimes
    how = "`facet doctor --fetch tensorflow-1.15` fetches it (110 MB)"
    assert results == (RuntimeParity("tensorflow1", "TensorFlow 1.15", reason=f"not installed; {how}", checked=False),)
    refuse_differences("real.pb", [RuntimeParity("opencv", "OpenCV 4.14.0", 1e-7), *results], {"tensorflow1"})
    with pytest.raises(FacetError) as refused:
        refuse_differences("real.pb", results, {"tensorflow1"})
    assert str(refused.value) == f"real.pb: not kept, no runtime here runs it: TensorFlow 1.15: not installed; {how}"
    assert parity_table(results)[1] == f"TensorFlow 1.15      not checked: not installed; {how}"
    with pytest.raises(FacetError) as refused:
        chosen_runtimes("pb", ["tensorflow", "tensorflow1"])
    assert str(refused.value) == f"--verify-with tensorflow1: TensorFlow 1.15 is not installed; {how}"


@pytest.mark.parametrize(
    ("file_format", "keys", "chosen"),
    [
        ("pb", (), ["tensorflow", "tensorflow1", "opencv"]),
        ("saved_model", (), ["tensorflow", "tensorflow1"]),
        ("onnx", (), ["opencv", "onnxruntime"]),
        ("litert", (), ["litert"]),
        ("pb", ("opencv", "tensorflow"), ["tensorflow", "opencv"]),
    ],
)
def test_a_format_is_compared_in_all_that_read_it_or_in_those_asked_for(file_format, keys, chosen):
    assert [runtime.key for runtime in chosen_runtimes(file_format, keys)] == chosen


@pytest.mark.parametrize(
    ("file_format", "key", "sentence"),
    [
        (
            "pb",
            "opencvv",
            (
                "--verify-with 'opencvv': expected one of opencv, tensorflow, tensorflow1 (did you mean 'opencv'?)"
                " for the format pb"
            ),
        ),
        (
            "onnx",
            "tensorflow",
            "--verify-with 'tensorflow': expected one of onnxruntime, opencv for the format onnx",
        ),
    ],
)
def test_a_runtime_that_reads_no_such_file_is_refused_in_one_sentence(file_format, key, sentence):
    with pytest.raises(FacetError) as refused:
        chosen_runtimes(file_format, [key])
    assert str(refused.value) == sentence


def test_a_model_that_gives_all_images_the_same_values_is_told(measured):
    image = keras.Input((32, 32, 3))
    values = keras.layers.Dense(1, kernel_initializer="zeros", bias_initializer="ones")(keras.layers.Flatten()(image))
    model, description = keras.Model(image, values), ModelDescription((Output("value", "linear"),), (32, 32))
    assert not measured(model, description, images(3), runtimes=()).tells_apart


def tensorflow(difference=None, reason=""):
    return RuntimeParity("tensorflow", "TensorFlow 2.21.0", difference, reason)


def opencv(difference=None, reason=""):
    return RuntimeParity("opencv", "OpenCV 4.14.0", difference, reason)


@pytest.mark.parametrize(
    ("results", "quantization", "sentence"),
    [
        (
            [tensorflow(1e-7), opencv(0.0152)],
            "none",
            "OpenCV 4.14.0 differs from the Keras model by 1.5e-02, expected at most 1e-04",
        ),
        (
            [tensorflow(math.inf)],
            "none",
            "TensorFlow 2.21.0 differs from the Keras model by inf, expected at most 1e-04",
        ),
        ([opencv(math.nan)], "none", "OpenCV 4.14.0 differs from the Keras model by nan, expected at most 1e-04"),
        ([opencv(0.6)], "float16", "OpenCV 4.14.0 differs from the Keras model by 6.0e-01, expected at most 5e-01"),
        ([opencv(math.inf)], "int8", "OpenCV 4.14.0 differs from the Keras model by inf, expected numbers"),
        (
            [tensorflow(reason="Node 'a' is not unique")],
            "none",
            "TensorFlow 2.21.0 cannot run it: Node 'a' is not unique",
        ),
    ],
)
def test_a_graph_that_computes_something_else_is_refused(results, quantization, sentence):
    with pytest.raises(FacetError) as refused:
        refuse_differences("real.pb", results, {"tensorflow"}, quantization)
    assert str(refused.value) == f"real.pb: not kept, {sentence}"


@pytest.mark.parametrize(("quantization", "limit"), [("none", 1e-4), ("float16", 0.5), ("int8", 7.5)])
def test_a_difference_of_exactly_the_limit_is_kept(quantization, limit):
    refuse_differences("real.pb", [opencv(limit)], {"opencv"}, quantization)


def test_the_table_shows_runtime_difference_and_times_or_the_reason():
    measured = RuntimeParity("tensorflow", "TensorFlow 2.21.0", 1.19e-7, seconds_one=0.0079, seconds_many=0.3335)
    assert parity_table([measured, opencv(reason="Can't create layer")]) == [
        "runtime              difference    1 image  64 images",
        "TensorFlow 2.21.0       1.2e-07     7.9 ms   333.5 ms",
        "OpenCV 4.14.0        cannot run it: Can't create layer",
    ]


def test_made_up_examples_are_the_same_everywhere_and_cover_the_range():
    found = made_up_examples((24, 16))
    again = made_up_examples((24, 16))
    assert (found.images.shape, found.images.dtype, found.source) == ((64, 24, 16, 3), np.uint8, "64 made-up images")
    assert np.array_equal(found.images, again.images)
    assert len({image.tobytes() for image in found.images}) == 64
    assert (found.images.min(), found.images.max()) == (0, 255)
    ramps = found.images[32:].astype(int)
    assert max(np.abs(np.diff(ramps, axis=1)).max(), np.abs(np.diff(ramps, axis=2)).max()) <= 40
