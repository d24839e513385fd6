import keras
import numpy as np
import pytest

from hdf5_helper.errors import FacetError
from models.backbones.building import build_backbone
from models.backbones.registry import backbone_named
from models.backbones.vgg_face import vgg_face

NARROW = {"width": 0.0625}

#: Layers of the published network (https://www.robots.ox.ac.uk/~vgg/software/vgg_face/) and of VGG16 in Keras.
LAYERS = {
    f"conv{block}_{number}": f"block{block}_conv{number}"
    for block, depth in enumerate((2, 2, 3, 3, 3), start=1)
    for number in range(1, depth + 1)
}


def built(size=64, **arguments):
    return build_backbone("vggface", (size, size), NARROW | arguments, 0)


def test_it_computes_what_vgg16_computes_of_the_same_weights():
    ours = vgg_face(input_shape=(32, 32, 3))
    theirs = keras.applications.VGG16(include_top=False, weights=None, input_shape=(32, 32, 3))
    for name, twin in LAYERS.items():
        ours.get_layer(name).set_weights(theirs.get_layer(twin).get_weights())
    images = np.random.default_rng(0).uniform(-128, 128, (2, 32, 32, 3)).astype(np.float32)
    np.testing.assert_array_equal(ours(images), theirs(images))


def test_it_wants_the_means_of_its_own_training_in_bgr():
    kernel, bias = backbone_named("vggface").preprocessing.kernel_and_bias()
    red, green, blue = 200.0, 150.0, 100.0
    expected = [blue - 93.5940, green - 104.7624, red - 129.1863]
    np.testing.assert_allclose(np.array([red, green, blue]) @ kernel[0, 0] + bias, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("output", "size", "shape"),
    [
        ("pool5", 64, (None, 2, 2, 32)),
        ("conv4_2", 224, (None, 28, 28, 32)),
        ("fc6", 224, (None, 256)),
        ("fc7", 224, (None, 256)),
    ],
)
def test_it_ends_at_the_layer_that_is_asked_for(output, size, shape):
    model = built(size, output=output)
    assert (model.layers[-1].name, model.output_shape) == (output, shape)


def test_every_layer_with_weights_has_its_relu_inside_and_a_bias():
    layers = [layer for layer in built(224, output="fc7").layers if layer.weights]
    assert [layer.name for layer in layers] == [*LAYERS, "fc6", "fc7"]
    assert {(layer.activation, layer.use_bias) for layer in layers} == {(keras.activations.relu, True)}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"output": "fc7"}, "image size 64x64: vggface with output fc7 takes 224x224 alone"),
        ({"output": "conv5_4"}, "vggface output 'conv5_4': expected one of conv1_1, "),
        ({"depth": 4}, "backbone vggface with arguments {'width': 0.0625, 'depth': 4}: "),
    ],
)
def test_what_cannot_be_built_is_one_sentence(arguments, sentence):
    with pytest.raises(FacetError) as error:
        built(**arguments)
    assert str(error.value).startswith(sentence)


@pytest.mark.long
def test_its_fully_connected_layers_have_the_published_size():
    model = vgg_face(input_shape=(224, 224, 3), output="fc7")
    assert (model.output_shape, model.count_params()) == ((None, 4096), 138_357_544 - 4_097_000)  # VGG16 less its fc8
