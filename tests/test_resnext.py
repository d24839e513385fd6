import keras
import numpy as np
import pytest
import tensorflow as tf
from foreign_networks import torchvision_layers
from torchvision_resnext import forward
from weight_files_pytorch import state_dict

from hdf5_helper.errors import FacetError
from models.backbones.building import build_backbone
from models.backbones.grouped import group_natively
from models.pretrained.targets import targets_of

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


def test_it_computes_what_torchvision_s_definition_says(model):
    images = np.random.default_rng(1).normal(0, 1, (2, 64, 64, 3)).astype(np.float32)
    arrays = {f"{w.path.replace('/', '.')}": w.numpy() for w in model.weights}
    state = state_dict(torchvision_layers(targets_of(model), arrays))
    values = forward(images.transpose(0, 3, 1, 2), state, NARROW["blocks"], NARROW["cardinality"]).transpose(0, 2, 3, 1)
    found = model(images).numpy()
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


def test_its_grouped_convolutions_train_in_bfloat16_on_every_processor():
    def gradient(precision):
        layer = keras.layers.Conv2D(
            8, 3, groups=4, kernel_initializer=keras.initializers.GlorotUniform(0), dtype=precision
        )
        pictures = keras.Input((16, 16, 8))
        whole = group_natively(keras.Model(pictures, layer(pictures)))
        images = tf.random.stateless_normal((2, 16, 16, 8), (0, 0))

        @tf.function
        def of_the_kernel():
            with tf.GradientTape() as tape:
                total = tf.reduce_sum(tf.cast(whole(images), tf.float32) ** 2)
            return tape.gradient(total, layer.kernel.value)

        return of_the_kernel().numpy()

    exact = gradient("float32")
    assert np.abs(gradient("mixed_bfloat16") - exact).max() < 2**-6 * np.abs(exact).max()


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
