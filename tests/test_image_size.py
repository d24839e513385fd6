import keras
import numpy as np
import pytest
from small_models import images

from hdf5_helper.errors import FacetError
from models.export.image_size import at_image_size


def network(size, ending="pooled"):
    """Gives a model with a nested backbone for images of one size, its weights drawn the same way every time."""
    layers = keras.layers
    inner = keras.Input((*size, 3))
    values = layers.BatchNormalization()(layers.Conv2D(6, 3, strides=2, padding="same")(inner))
    values = layers.SeparableConv2D(4, 3)(layers.Activation("relu")(values))
    backbone = keras.Model(inner, values, name="backbone")
    image = keras.Input((*size, 3), name="pixels")
    pooled = layers.GlobalAveragePooling2D() if ending == "pooled" else layers.Flatten()
    flat = pooled(backbone(layers.Rescaling(1 / 255)(image)))
    ends = {"age": layers.Dense(1, name="age")(flat), "gender": layers.Dense(1, "sigmoid", name="gender")(flat)}
    model = keras.Model(image, ends)
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(0.1, 0.5, weight.shape) for weight in model.get_weights()])
    return model


def test_a_twin_computes_what_the_same_weights_compute_in_a_model_built_for_its_size():
    source, pictures = network((24, 20)), images(3, 32)[:, :, :30].astype(np.float32)
    before = [weight.copy() for weight in source.get_weights()]
    twin, built = at_image_size(source, (32, 30)), network((32, 30))
    assert (twin.input_shape, source.input_shape) == ((None, 32, 30, 3), (None, 24, 20, 3))
    found, expected = twin.predict(pictures, verbose=0), built.predict(pictures, verbose=0)
    assert sorted(found) == ["age", "gender"]
    for label, values in expected.items():
        np.testing.assert_array_equal(found[label], values)
    assert all(np.array_equal(*pair) for pair in zip(source.get_weights(), before, strict=True))


def test_a_part_that_sees_another_size_keeps_it():
    image = keras.Input((24, 20, 3))
    part = network((8, 8), "flat")
    model = keras.Model(image, part(keras.layers.AveragePooling2D((3, 2), padding="same")(image)[:, :8, :8]))
    twin = at_image_size(model, (26, 21))
    assert [layer.input_shape for layer in twin.layers if isinstance(layer, keras.Model)] == [(None, 8, 8, 3)]
    assert twin.input_shape == (None, 26, 21, 3)


def test_a_model_of_the_size_asked_for_is_given_back_itself():
    source = network((24, 20))
    assert at_image_size(source, (24, 20)) is source


def test_a_model_whose_weights_fit_one_size_alone_is_refused_in_one_sentence():
    with pytest.raises(FacetError) as refused:
        at_image_size(network((24, 20), "flat"), (150, 140))
    assert str(refused.value) == (
        "the model was trained at 24x20 and is not fully convolutional, expected one trained with --image-size 150x140"
    )
