import subprocess
import sys

import keras
import numpy as np
import pytest
from conftest import ROOT
from scipy.special import softmax
from small_models import CAFFE, images, small_base

from hdf5_helper.errors import FacetError
from models.backbones.building import build_backbone
from models.backbones.registry import BACKBONES
from models.calibration import measure_batch_normalization
from models.heads.choosing import heads_for
from models.network import HeadShape, backbone_of, build_network, start_at
from models.preprocessing import Preprocessing

NARROW = {"alpha": 0.35}


def network(labels=("gender",), seed=1, shape=None):
    base = build_backbone("mobilenet_v2", (32, 32), NARROW, seed)
    preprocessing = BACKBONES["mobilenet_v2"].preprocessing
    return build_network(base, preprocessing, heads_for(labels), shape or HeadShape(), seed)


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
    start_at(model, heads_for(("age",))[0], np.array([30, 36], np.float32))
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


MEASURED_AT_FULL_WIDTH = """
import numpy as np
from models.backbones.building import build_backbone
from models.calibration import measure_batch_normalization
from models.heads.choosing import heads_for
from models.network import HeadShape, build_network
from models.preprocessing import Preprocessing

base = build_backbone("mobilenet", (160, 160), {}, 0)
model = build_network(base, Preprocessing(), heads_for(("age",)), HeadShape(), 0, (160, 160))
images = np.random.default_rng(0).integers(0, 256, (128, 160, 160, 3)).astype(np.uint8)
measure_batch_normalization(model, images)
print(next(int(line.split()[1]) >> 10 for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.mark.long
def test_measuring_batch_normalization_holds_no_more_than_a_few_layers_features():
    child = [sys.executable, "-c", MEASURED_AT_FULL_WIDTH]
    done = subprocess.run(child, cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 2500  # run eagerly it was 5,200 MB


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (
            lambda: build_backbone("vgg19", (16, 16), {}, 0),
            "image size 16x16: vgg19 needs at least 32 pixels a side",
        ),
        (
            lambda: heads_for(("gendr",)),
            "label 'gendr': its classes are not known, expected a packed file with it, or class_names",
        ),
        (lambda: HeadShape("max"), "pooling 'max': expected average or flatten"),
    ],
)
def test_what_cannot_be_built_is_one_sentence(make, sentence):
    with pytest.raises(FacetError) as error:
        make()
    assert str(error.value) == sentence


def test_a_window_in_the_middle_is_what_the_backbone_sees():
    base = small_base(24)
    heads = heads_for(("gender",))
    whole = build_network(base, CAFFE, heads, HeadShape(), 0, (32, 32))
    inner = build_network(base, CAFFE, heads, HeadShape(), 0)
    inner.set_weights(whole.get_weights())
    pictures = images(4, 32).astype(np.float32)
    assert whole.input_shape == (None, 32, 32, 3)
    assert np.array_equal(whole(pictures), inner(pictures[:, 4:28, 4:28]))


def test_a_backbone_that_ends_in_vectors_needs_no_pooling():
    pictures = keras.Input((16, 16, 3))
    base = keras.Model(pictures, keras.layers.Dense(5)(keras.layers.Flatten()(pictures)), name="backbone")
    model = build_network(base, CAFFE, heads_for(("gender",)), HeadShape(units=(), dropout=0.0), 0)
    assert [layer.name for layer in model.layers] == [
        "image",
        "preprocess",
        "backbone",
        "gender_dropout",
        "gender_logits",
        "gender",
    ]
    assert model.get_layer("gender_logits").kernel.shape == (5, 1)


def test_normalization_and_dropout_of_hidden_layers_stand_where_they_are_asked_for():
    shape = HeadShape("flatten", (8, 4), 0.0, hidden_dropout=0.5, normalization="layer")
    model = build_network(small_base(), CAFFE, heads_for(("gender",)), shape, 0)
    assert [layer.name for layer in model.layers[3:]] == [
        "normalization",
        "features",
        "gender_dropout",
        "gender_dense_1",
        "gender_dropout_1",
        "gender_dense_2",
        "gender_dropout_2",
        "gender_logits",
        "gender",
    ]


def test_the_layer_that_adds_up_age_bins_holds_their_years_and_does_not_train():
    (head,) = heads_for(("age",), forms={"age": "bins"})
    model = build_network(small_base(), CAFFE, (head,), HeadShape(), 0)
    assert model.get_layer("age").get_weights()[0][:, 0].tolist() == list(range(101))
    assert "age/kernel" not in {weight.path for weight in model.trainable_weights}
    scores, years = (keras.Model(model.input, model.get_layer(n).output)(images()) for n in ("age_logits", "age"))
    assert np.allclose(years[:, 0], softmax(scores, axis=1) @ np.arange(101), rtol=1e-5)
