import math

import keras
import numpy as np
import pytest
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
    difference,
    keras_reference,
    measure_parity,
    parity_table,
    refuse_differences,
)

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


def test_a_model_whose_own_values_are_not_finite_is_refused_before_any_runtime_runs():
    model, description = small_model(("age", "gender"))

    def reference(pictures):
        values = keras_reference(model, description, pictures)
        values["gender"] = values["gender"].copy()
        values["gender"][[3, 60], 0] = np.nan, np.inf
        return values

    with pytest.raises(FacetError) as refused:
        measure_parity(freeze(model, description), reference, images(64))
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


def test_both_runtimes_are_measured_on_64_images_and_agree():
    model, description = small_model(("age", "gender"))
    asked = []

    def reference(pictures):
        asked.append(pictures.shape)
        return keras_reference(model, description, pictures)

    found = measure_parity(freeze(model, description), reference, images(5))
    results = found.runtimes
    assert found.tells_apart
    assert asked == [(64, 32, 32, 3)]
    assert [result.runtime.split()[0] for result in results] == ["TensorFlow", "OpenCV"]
    assert all(result.difference < 1e-4 and result.reason == "" for result in results)
    assert all(result.seconds_one > 0 and result.seconds_many > 0 for result in results)


@pytest.mark.parametrize("wrong", [0, 2, 3, 63], ids=str)
def test_a_single_wrong_value_among_64_is_seen(wrong):
    model, description = small_model()

    def reference(pictures):
        values = keras_reference(model, description, pictures)["gender"].copy()
        values[wrong] -= 0.25
        return {"gender": values}

    results = measure_parity(freeze(model, description), reference, made_up_examples((32, 32)).images).runtimes
    assert [round(result.difference, 3) for result in results] == [0.25, 0.25]


def test_a_graph_that_gives_an_image_alone_other_values_than_among_others_is_seen():
    image = keras.Input((32, 32, 3))
    centred = image - keras.ops.mean(image, axis=0, keepdims=True)
    total = keras.layers.Dense(1, kernel_initializer="ones")(keras.layers.GlobalAveragePooling2D()(centred))
    model, description = keras.Model(image, total), ModelDescription((Output("value", "linear"),), (32, 32))
    results = measure_parity(
        freeze(model, description), lambda pictures: keras_reference(model, description, pictures), images(16)
    ).runtimes
    assert results[0].difference == 1.0  # alone, every image is its own mean: 0 where Keras says more than 1


def test_a_runtime_that_cannot_import_a_graph_is_named_with_its_reason():
    image = keras.Input((32, 32, 3))
    values = keras.layers.Activation("gelu")(keras.layers.Conv2D(4, 3)(image))
    model = keras.Model(image, keras.layers.Dense(1)(keras.layers.GlobalAveragePooling2D()(values)))
    description = ModelDescription((Output("value", "linear"),), (32, 32))
    results = measure_parity(
        freeze(model, description), lambda pictures: keras_reference(model, description, pictures), images(3)
    ).runtimes
    assert results[0].difference < 1e-4
    assert (results[1].difference, results[1].seconds_one) == (None, None)
    assert "Can't create layer" in results[1].reason
    assert "\n" not in results[1].reason
    refuse_differences("real.pb", results)


def test_a_model_that_gives_all_images_the_same_values_is_told():
    image = keras.Input((32, 32, 3))
    values = keras.layers.Dense(1, kernel_initializer="zeros", bias_initializer="ones")(keras.layers.Flatten()(image))
    model, description = keras.Model(image, values), ModelDescription((Output("value", "linear"),), (32, 32))
    frozen = freeze(model, description)
    found = measure_parity(frozen, lambda pictures: keras_reference(model, description, pictures), images(3))
    assert not found.tells_apart


@pytest.mark.parametrize(
    ("results", "sentence"),
    [
        (
            [RuntimeParity("TensorFlow 2.21.0", 1e-7), RuntimeParity("OpenCV 4.14.0", 0.0152)],
            "real.pb: not kept, OpenCV 4.14.0 differs from the Keras model by 1.5e-02, expected at most 1e-04",
        ),
        (
            [RuntimeParity("TensorFlow 2.21.0", math.inf)],
            "real.pb: not kept, TensorFlow 2.21.0 differs from the Keras model by inf, expected at most 1e-04",
        ),
        (
            [RuntimeParity("OpenCV 4.14.0", math.nan)],
            "real.pb: not kept, OpenCV 4.14.0 differs from the Keras model by nan, expected at most 1e-04",
        ),
        (
            [RuntimeParity("TensorFlow 2.21.0", reason="Node 'a' is not unique")],
            "real.pb: not kept, TensorFlow 2.21.0 cannot run it: Node 'a' is not unique",
        ),
    ],
)
def test_a_graph_that_computes_something_else_is_refused(results, sentence):
    with pytest.raises(FacetError) as refused:
        refuse_differences("real.pb", results)
    assert str(refused.value) == sentence


def test_a_difference_of_exactly_the_limit_is_kept():
    refuse_differences("real.pb", [RuntimeParity("OpenCV 4.14.0", 1e-4)])


def test_the_table_shows_runtime_difference_and_times_or_the_reason():
    results = [
        RuntimeParity("TensorFlow 2.21.0", 1.19e-7, "", 0.0079, 0.3335),
        RuntimeParity("OpenCV 4.14.0", reason="Can't create layer"),
    ]
    assert parity_table(results) == [
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
