import keras
import numpy as np
import pytest

from hdf5_helper.errors import FacetError
from models.backbones import BACKBONES, backbone_named, build_backbone
from models.calibration import measure_batch_normalization
from models.heads import heads_for
from models.network import HeadShape, backbone_of, build_network, set_age_bias
from models.preprocessing import Preprocessing

NARROW = {"alpha": 0.35}


def network(labels=("gender",), seed=1, shape=None):
    base = build_backbone("mobilenet_v2", (32, 32), NARROW, seed)
    preprocessing = BACKBONES["mobilenet_v2"].preprocessing
    return build_network(base, preprocessing, heads_for(labels), shape or HeadShape(), seed)


@pytest.mark.parametrize("name", sorted(BACKBONES))
def test_the_preprocess_layer_does_what_keras_does_for_the_application(name):
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype(np.float32)
    module = getattr(
        keras.applications, {"mobilenet": "mobilenet", "mobilenet_v2": "mobilenet_v2", "vgg19": "vgg19"}[name]
    )
    kernel, bias = backbone_named(name).preprocessing.kernel_and_bias()
    assert np.allclose(images @ kernel[0, 0] + bias, module.preprocess_input(images.copy()), atol=1e-4)


def test_preprocessing_survives_its_json_form():
    preprocessing = Preprocessing("BGR", (1.0, 2.0, 3.0), 4.0)
    assert Preprocessing.from_dict(preprocessing.to_dict()) == preprocessing


@pytest.mark.parametrize("values", [{"color": "GBR"}, {"scale": 0.0}])
def test_impossible_preprocessing_is_refused(values):
    with pytest.raises(FacetError, match="preprocessing"):
        Preprocessing(**values)


def test_fresh_weights_depend_on_the_seed_alone():
    first, again, other = (network(seed=seed).get_weights() for seed in (1, 1, 2))
    assert all(np.array_equal(*pair) for pair in zip(first, again, strict=True))
    assert not all(np.array_equal(*pair) for pair in zip(first, other, strict=True))


def test_fresh_kernels_have_the_spread_of_their_layers_own_rule():
    kernel = network(shape=HeadShape(units=(256,))).get_layer("gender_dense_1").get_weights()[0]
    limit = np.sqrt(6 / sum(kernel.shape))  # Glorot and Bengio, 2010
    assert abs(kernel).max() <= limit
    assert abs(kernel).mean() == pytest.approx(limit / 2, rel=0.05)


def test_one_label_gives_an_array_and_two_a_dict():
    images = np.zeros((2, 32, 32, 3), np.float32)
    assert network()(images).shape == (2, 1)
    assert {name: value.shape for name, value in network(("age", "gender"))(images).items()} == {
        "age": (2, 1),
        "gender": (2, 1),
    }


def test_an_age_head_starts_at_the_mean_age():
    model = network(("age",))
    set_age_bias(model, 33.0)
    assert model(np.zeros((1, 32, 32, 3), np.float32)).numpy()[0, 0] == pytest.approx(33, abs=3)


def test_batch_normalization_does_not_move_in_training():
    model = network()
    layers = [layer for layer in backbone_of(model).layers if isinstance(layer, keras.layers.BatchNormalization)]
    before = [weight.copy() for layer in layers for weight in layer.get_weights()]
    model(np.random.default_rng(0).uniform(0, 255, (8, 32, 32, 3)).astype(np.float32), training=True)
    after = [weight for layer in layers for weight in layer.get_weights()]
    assert all(np.array_equal(*pair) for pair in zip(before, after, strict=True))


def test_an_untrained_backbone_lets_the_signal_through_once_its_batch_normalization_is_measured():
    images = np.random.default_rng(0).integers(0, 256, (32, 32, 32, 3)).astype(np.uint8)
    model = network()
    spread = keras.Model(model.inputs, model.get_layer("features").output)
    before = spread(images.astype(np.float32)).numpy().std()
    measure_batch_normalization(model, images)
    assert before < 0.01
    assert 0.1 < spread(images.astype(np.float32)).numpy().std() < 10
    assert not any(layer.trainable for layer in backbone_of(model).layers if "BN" in layer.name)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (
            lambda: build_backbone("mobilenet2", (32, 32), {}, 0),
            "backbone 'mobilenet2': expected one of mobilenet, mobilenet_v2, vgg19 (did you mean 'mobilenet'?)",
        ),
        (
            lambda: build_backbone("vgg19", (16, 16), {}, 0),
            "image size 16x16: vgg19 needs at least 32 pixels a side",
        ),
        (
            lambda: heads_for(("gendr",)),
            "label 'gendr': cannot be trained in this version, expected one of age, gender (did you mean 'gender'?)",
        ),
        (lambda: HeadShape("max"), "pooling 'max': expected average or flatten"),
    ],
)
def test_what_cannot_be_built_is_one_sentence(make, sentence):
    with pytest.raises(FacetError) as error:
        make()
    assert str(error.value) == sentence
