import subprocess
import sys

import keras
import numpy as np
import pytest

from hdf5_helper.errors import FacetError
from models.backbones.building import build_backbone
from models.backbones.registry import APPLICATIONS, BACKBONES, backbone_named, made_by_keras
from models.backbones.table import backbone_table
from models.heads.choosing import heads_for
from models.network import HeadShape, build_network
from models.preprocessing import Preprocessing

#: What Keras's functions of the same name leave as it is, since the models do it inside.
INSIDE = ("MobileNetV3", "EfficientNet", "ConvNeXt")


def images(size=64, count=2):
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3)).astype(np.float32)


def preprocessed(preprocessing, rgb):
    kernel, bias = preprocessing.kernel_and_bias()
    return (rgb @ kernel[0, 0] + bias).astype(np.float32)


def made_by(application, **arguments):
    return getattr(keras.applications, application)(
        include_top=False, weights=None, input_shape=(64, 64, 3), **arguments
    )


def test_every_function_of_keras_applications_is_known():
    functions = {name for name in dir(keras.applications) if callable(getattr(keras.applications, name))}
    assert set(APPLICATIONS) == functions


def test_a_backbone_goes_by_its_name_here_and_in_keras():
    assert backbone_named("VGG19") is backbone_named("vgg19")
    assert backbone_named("ResNet101V2").preprocessing == BACKBONES["xception"].preprocessing


@pytest.mark.parametrize("name", [name for name in sorted(APPLICATIONS) if not name.startswith(INSIDE)])
def test_the_preprocessing_is_what_keras_does_for_the_application(name):
    module = sys.modules[getattr(keras.applications, name).__module__]
    expected = module.preprocess_input(images())
    np.testing.assert_allclose(preprocessed(backbone_named(name).preprocessing, images()), expected, atol=1e-4)


@pytest.fixture(scope="module")
def efficientnet():
    return build_backbone("efficientnetv2b0", (64, 64), {}, 1)


def assert_computes_what_keras_computes(ours, name):
    """Compares with Keras's model, which has the preprocessing inside, at the same weights."""
    theirs = made_by(backbone_named(name).application)
    theirs.set_weights(ours.get_weights())
    found = ours(preprocessed(backbone_named(name).preprocessing, images())).numpy()
    np.testing.assert_allclose(found, theirs(images()), rtol=1e-3, atol=1e-4 * abs(found).max())


def test_with_its_preprocessing_outside_a_backbone_computes_what_keras_computes(efficientnet):
    assert_computes_what_keras_computes(efficientnet, "efficientnetv2b0")


@pytest.mark.long
@pytest.mark.parametrize(
    "name", ["mobilenet_v3_small", "mobilenet_v3_large", "EfficientNetV2B2", "EfficientNetV2S", "ConvNeXtTiny"]
)
def test_with_its_preprocessing_outside_any_application_computes_what_keras_computes(name):
    assert_computes_what_keras_computes(build_backbone(name, (64, 64), {}, 1), name)


@pytest.mark.long
def test_the_first_efficientnets_lose_the_preprocessing_at_their_input():
    base = build_backbone("EfficientNetB0", (64, 64), {}, 0)
    assert [layer.name for layer in base.layers[1:3]] == ["stem_conv_pad", "stem_conv"]
    assert backbone_named("EfficientNetB0").preprocessing == BACKBONES["densenet121"].preprocessing


@pytest.mark.long
def test_fresh_weights_depend_on_the_seed_alone_in_nested_parts_too():
    first, again, other = (build_backbone("ConvNeXtTiny", (32, 32), {}, seed).layers[1] for seed in (1, 1, 2))
    assert isinstance(first, keras.Sequential)
    assert np.array_equal(first.get_weights()[0], again.get_weights()[0])
    assert not np.array_equal(first.get_weights()[0], other.get_weights()[0])


def test_a_frozen_backbone_gives_the_same_features_in_training_mode(efficientnet):
    preprocessing = backbone_named("efficientnetv2b0").preprocessing
    model = build_network(efficientnet, preprocessing, heads_for(("gender",)), HeadShape(units=(), dropout=0.0), 0)
    model.get_layer("backbone").trainable = False
    features = keras.Model(model.inputs, model.get_layer("features").output)
    one, other = (features(images(), training=True).numpy() for _ in range(2))
    assert one.std() > 0
    np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(one, features(images(), training=False))


def test_dropout_stays_away_from_a_backbone_that_is_made_from_its_configuration(efficientnet):
    again = keras.Model.from_config(efficientnet.get_config())
    dropouts = [layer for layer in again.layers if isinstance(layer, keras.layers.Dropout)]
    assert len(dropouts) == 15
    assert {layer.rate for layer in dropouts} == {0.0}


@pytest.mark.parametrize(
    ("application", "arguments", "name"),
    [
        ("MobileNet", {"alpha": 0.25}, "mobilenet"),
        ("MobileNetV2", {"alpha": 0.35}, "mobilenet_v2"),
        ("MobileNetV3Small", {"include_preprocessing": False}, "mobilenet_v3_small"),
        ("VGG16", {}, "vgg16"),
    ],
)
def test_a_model_that_keras_made_is_known_by_its_name(application, arguments, name):
    assert made_by_keras(made_by(application, **arguments)) == BACKBONES[name]


def test_a_model_with_its_preprocessing_inside_wants_rgb_as_it_is():
    found = made_by_keras(made_by("MobileNetV3Small"))
    assert (found.name, found.preprocessing) == ("mobilenet_v3_small", Preprocessing())


@pytest.mark.parametrize(
    ("name", "expected"),
    [("resnet50", "resnet50"), ("resnet50v2", "ResNet50V2"), ("vggface", "vggface"), ("own", None)],
)
def test_names_that_begin_alike_are_told_apart(name, expected):
    values = keras.Input((8, 8, 3))
    found = made_by_keras(keras.Model(values, keras.layers.Identity()(values), name=name))
    assert (found and found.name) == expected


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name in sorted(APPLICATIONS) if "XLarge" not in name])
def test_every_application_is_built_and_known_again(name):
    backbone = backbone_named(name)
    side = backbone.smallest
    theirs = backbone.build(None, (side, side), {})
    assert made_by_keras(theirs).name == backbone.name
    assert build_backbone(name, (side, side), {}, 0).output_shape == theirs.output_shape


@pytest.mark.parametrize(
    ("name", "size", "arguments", "sentence"),
    [
        ("mobilenet2", 32, {}, f"backbone 'mobilenet2': expected one of {', '.join(sorted(BACKBONES))}, or a function"),
        ("mobilenet2", 32, {}, "of keras.applications (did you mean 'mobilenet'?)"),
        ("resnet101v2", 32, {}, "(did you mean 'ResNet101V2'?)"),
        ("vgg19", 16, {}, "image size 16x16: vgg19 needs at least 32 pixels a side"),
        ("xception", 70, {}, "image size 70x70: xception needs at least 71 pixels a side"),
        ("mobilenet_v3_small", 32, {"include_preprocessing": True}, "no argument 'include_preprocessing', expected"),
        ("vgg16", 32, {"alpha": 0.5}, "backbone vgg16 with arguments {'alpha': 0.5}: "),
    ],
)
def test_what_cannot_be_built_is_one_sentence(name, size, arguments, sentence):
    with pytest.raises(FacetError) as error:
        build_backbone(name, (size, size), arguments, 0)
    assert sentence in str(error.value)


def test_the_table_has_a_line_a_backbone_and_names_every_application():
    lines = backbone_table().splitlines()
    assert [line.split()[0] for line in lines[1:13]] == list(BACKBONES)
    assert lines[2] == (
        "vgg19               20.0 M      224   BGR, (x - [103.939, 116.779, 123.68]) / 1                       block1-5"
    )
    assert lines[11].endswith("/ [58.395, 57.12, 57.375]  conv1-5")
    assert all(name in lines[-1] for name in set(APPLICATIONS) - {one.application for one in BACKBONES.values()})


def test_the_table_is_made_without_keras():
    program = "import sys; from models.backbones.table import backbone_table as t; t(); print('keras' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
