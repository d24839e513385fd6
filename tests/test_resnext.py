import keras
import numpy as np
import pytest
import tensorflow as tf

from hdf5_helper.errors import FacetError
from models.backbones.building import build_backbone
from models.backbones.grouped import group_natively

NARROW = {"width": 0.0625, "cardinality": 4, "blocks": (1, 2, 1, 1)}


@pytest.fixture(scope="module")
def model():
    """Gives the narrow network with weights and statistics that no two channels share."""
    built = build_backbone("resnext50", (64, 64), NARROW, 0)
    rng = np.random.default_rng(0)
    for layer in built.layers:
        if "bn" in layer.name or layer.name.endswith("downsample_1"):
            layer.set_weights([rng.uniform(0.5, 1.5, weight.shape) for weight in layer.get_weights()])
    return built


def convolved(images, kernel, stride=1, pad=0, groups=1):
    """PyTorch's Conv2d on NHWC, by its definition."""
    images = np.pad(images, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    side, inside, outside = len(kernel), images.shape[-1] // groups, kernel.shape[-1] // groups
    length = (images.shape[1] - side) // stride + 1
    found = np.zeros((len(images), length, length, kernel.shape[-1]))
    for group in range(groups):
        taken, given = slice(group * inside, (group + 1) * inside), slice(group * outside, (group + 1) * outside)
        for y in range(side):
            for x in range(side):
                part = images[:, y : y + stride * length : stride, x : x + stride * length : stride, taken]
                found[..., given] += part[:, :length, :length] @ kernel[y, x, :, given]
    return found


def normalised(values, layer):
    gamma, beta, mean, variance = layer.get_weights()
    return gamma * (values - mean) / np.sqrt(variance + 1e-5) + beta


def stem(images, layer):
    """conv1, bn1, relu, maxpool of torchvision's resnet.py; the pooling pads with minus infinity."""
    values = np.maximum(normalised(convolved(images, kernel(layer("conv1")), 2, 3), layer("bn1")), 0)
    padded = np.pad(values, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-np.inf)
    length = values.shape[1] // 2
    cuts = [slice(first, first + 2 * length, 2) for first in range(3)]
    return np.max([padded[:, rows, columns] for rows in cuts for columns in cuts], axis=0)


def block(values, layer, prefix, stride):
    """`Bottleneck.forward` of torchvision's resnet.py."""
    own = lambda name: layer(f"{prefix}_{name}")  # noqa: E731
    out = np.maximum(normalised(convolved(values, kernel(own("conv1"))), own("bn1")), 0)
    out = np.maximum(normalised(convolved(out, kernel(own("conv2")), stride, 1, 4), own("bn2")), 0)
    out = normalised(convolved(out, kernel(own("conv3"))), own("bn3"))
    if prefix.endswith("_0"):
        values = normalised(convolved(values, kernel(own("downsample_0")), stride), own("downsample_1"))
    return np.maximum(out + values, 0)


def kernel(layer):
    return layer.get_weights()[0].astype(np.float64)


def test_it_computes_what_torchvision_s_definition_says(model):
    images = np.random.default_rng(1).normal(0, 1, (2, 64, 64, 3))
    values = stem(images, model.get_layer)
    for prefix, stride in (("layer1_0", 1), ("layer2_0", 2), ("layer2_1", 1), ("layer3_0", 2), ("layer4_0", 2)):
        values = block(values, model.get_layer, prefix, stride)
    found = model(images.astype(np.float32)).numpy()
    assert found.shape == values.shape == (2, 2, 2, 128)
    np.testing.assert_allclose(found, values, rtol=1e-4, atol=1e-4 * abs(values).max())


def test_its_layers_with_weights_are_torchvision_s_modules_in_their_order(model):
    names = {layer.name for layer in model.layers if layer.weights}
    expected = {"conv1", "bn1"}
    for stage, depth in enumerate(NARROW["blocks"], start=1):
        for number in range(depth):
            parts = [f"{kind}{place}" for place in (1, 2, 3) for kind in ("conv", "bn")]
            parts += ["downsample_0", "downsample_1"] if number == 0 else []
            expected |= {f"layer{stage}_{number}_{part}" for part in parts}
    assert names == expected


def test_its_grouped_convolutions_are_tensorflow_s_own_forward_and_back(model):
    images = tf.random.stateless_normal((2, 64, 64, 3), (0, 0))

    @tf.function
    def gradients(values):
        return tf.gradients(model(values), [variable.value for variable in model.trainable_variables])

    operations = {operation.type for operation in gradients.get_concrete_function(images).graph.get_operations()}
    assert "Conv2DBackpropFilter" in operations
    assert not {name for name in operations if "PartitionedCall" in name}
    assert all(np.isfinite(gradient).all() for gradient in gradients(images))


def test_a_loaded_model_convolves_natively_once_it_is_told_to(model, tmp_path):
    model.save(tmp_path / "model.keras")
    loaded = group_natively(keras.models.load_model(tmp_path / "model.keras"))
    images = np.random.default_rng(1).normal(0, 1, (2, 64, 64, 3)).astype(np.float32)
    np.testing.assert_array_equal(loaded(images), model(images))
    assert [layer.name for layer in loaded.layers if "convolution_op" in vars(layer)] == [
        layer.name for layer in model.layers if layer.name.endswith("conv2")
    ]


def test_groups_that_do_not_divide_the_channels_are_one_sentence():
    with pytest.raises(FacetError) as error:
        build_backbone("resnext50", (64, 64), {"width": 0.0625}, 0)
    assert str(error.value) == "resnext50: cardinality 32 does not divide 8 channels (width 0.0625)"


@pytest.mark.long
def test_at_full_width_its_tensors_have_the_sizes_of_torchvision_s_file():
    model = build_backbone("resnext50", (224, 224), {}, 0)
    assert model.output_shape == (None, 7, 7, 2048)
    assert sum(weight.size for layer in model.layers for weight in layer.get_weights()[:2]) == 25_028_904 - 2_049_000
    shapes = {
        name: model.get_layer(name).get_weights()[0].shape for name in ("conv1", "layer1_0_conv2", "layer4_2_conv2")
    }
    assert shapes == {"conv1": (7, 7, 3, 64), "layer1_0_conv2": (3, 3, 4, 128), "layer4_2_conv2": (3, 3, 32, 1024)}
    assert len(model.layers) == len({layer.name for layer in model.layers})
