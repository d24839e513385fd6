"""ResNeXt50 32×4d (Xie et al., 2017), which Keras has not: torchvision's topology, layer by layer.

A layer is called as torchvision calls its module, with `_` for `.`: `layer1_0_conv1`, `layer1_0_downsample_0`.
"""

from typing import Any

from hdf5_helper.errors import FacetError

#: PyTorch's; Keras's own is 1e-3. Its momentum is 0.1 of the new value, which Keras calls 0.9 of the old one.
_EPSILON, _MOMENTUM = 1e-5, 0.9

#: Channels out of a block for each one into its first convolution, at 32×4d: 256 for 64 planes.
_EXPANSION = 4


def resnext50(
    *,
    input_shape: tuple[int, int, int],
    cardinality: int = 32,
    width: float = 1.0,
    blocks: tuple[int, ...] = (3, 4, 6, 3),
    name: str = "resnext50",
) -> Any:
    """Gives the network without its pooling and classifier.

    Args:
        input_shape: (height, width, 3) in pixels.
        cardinality: groups of the 3×3 convolutions.
        width: multiplies the channels of every layer, for narrow forms.
        blocks: how many there are in each stage.
        name: of the model.

    Returns:
        keras.Model, float32 (N, height, width, 3) to feature maps (N, h, w, 2048).

    Raises:
        FacetError: groups that do not divide the channels.
    """
    import keras

    layers, planes = keras.layers, round(64 * width)
    if planes < 1 or cardinality < 1 or 2 * planes % cardinality:
        raise FacetError(f"resnext50: cardinality {cardinality} does not divide {2 * planes} channels (width {width})")
    images = keras.Input(input_shape)
    values = layers.ZeroPadding2D(3, name="pad")(images)
    values = layers.ReLU(name="relu")(_normalised(_convolution(values, planes, "conv1", kernel=7, stride=2), "bn1"))
    # PyTorch pads this pooling with minus infinity, which zeros are as good as behind a ReLU
    values = layers.MaxPooling2D(3, 2, name="maxpool")(layers.ZeroPadding2D(1, name="maxpool_pad")(values))
    for stage, depth in enumerate(blocks):
        for number in range(depth):
            stride = 2 if stage and not number else 1
            prefix = f"layer{stage + 1}_{number}_"
            values = _block(values, planes << stage, prefix, stride=stride, cardinality=cardinality)
    return keras.Model(images, values, name=name)


def _block(values: Any, planes: int, prefix: str, *, stride: int, cardinality: int) -> Any:
    """Gives a bottleneck block of `4 * planes` channels; its 3×3 convolution has groups and the stride."""
    from keras import layers

    shortcut, out, inner = values, planes * _EXPANSION, 2 * planes
    if stride > 1 or values.shape[-1] != out:
        shortcut = _convolution(values, out, f"{prefix}downsample_0", stride=stride)
        shortcut = _normalised(shortcut, f"{prefix}downsample_1")
    values = _normalised(_convolution(values, inner, f"{prefix}conv1"), f"{prefix}bn1")
    values = layers.ReLU(name=f"{prefix}relu1")(values)
    values = layers.ZeroPadding2D(1, name=f"{prefix}pad")(values)
    values = _convolution(values, inner, f"{prefix}conv2", kernel=3, stride=stride, groups=cardinality)
    values = layers.ReLU(name=f"{prefix}relu2")(_normalised(values, f"{prefix}bn2"))
    values = _normalised(_convolution(values, out, f"{prefix}conv3"), f"{prefix}bn3")
    return layers.ReLU(name=f"{prefix}relu")(layers.Add(name=f"{prefix}add")([shortcut, values]))


def _convolution(values: Any, channels: int, name: str, *, kernel: int = 1, stride: int = 1, groups: int = 1) -> Any:
    from keras import layers

    return layers.Conv2D(channels, kernel, stride, groups=groups, use_bias=False, name=name)(values)


def _normalised(values: Any, name: str) -> Any:
    from keras import layers

    return layers.BatchNormalization(epsilon=_EPSILON, momentum=_MOMENTUM, name=name)(values)
