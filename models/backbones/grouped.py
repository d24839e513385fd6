"""Grouped convolutions by TensorFlow's own kernel: Keras compiles them with XLA, whose gradient is slow on the CPU."""

from collections.abc import Callable
from typing import Any

from models.processor import has_bfloat16


def group_natively(model: Any) -> Any:
    """Makes the grouped convolutions of a model, in nested ones too, call `tf.nn.conv2d`; gives the model.

    Forward and backward through one layer of ResNeXt50 (128 channels, 32 groups, 8 images of 56×46) take 44 s in XLA
    and 0.13 s so, on two busy cores. Files do not hold it: to be called again on a model that was loaded.

    Args:
        model: keras.Model; weights, configuration and values stay as they are.
    """
    for layer in grouped_convolutions(model):
        if layer.data_format == "channels_last":
            layer.convolution_op = _native(layer)
    return model


def grouped_convolutions(model: Any) -> list[Any]:
    """Gives the Conv2D layers of more than one group in a keras.Model, those of nested models too."""
    import keras

    return [
        layer
        for layer in model._flatten_layers()  # noqa: SLF001 - Keras has no public walk through nested models
        if isinstance(layer, keras.layers.Conv2D)
        and not isinstance(layer, keras.layers.DepthwiseConv2D)
        and layer.groups > 1
    ]


def _native(layer: Any) -> Callable[[Any, Any], Any]:
    """Gives what replaces a layer's method `convolution_op`, Keras's hook for other convolutions; it adds the bias."""

    def convolve(inputs: Any, kernel: Any) -> Any:
        import tensorflow as tf

        inputs, kernel = tf.convert_to_tensor(inputs), tf.convert_to_tensor(kernel)
        dtype = tf.float32 if inputs.dtype == tf.bfloat16 and not _has_gradient_in_bfloat16() else inputs.dtype
        images, kernel = tf.cast(inputs, dtype), tf.cast(kernel, dtype)
        values = tf.nn.conv2d(images, kernel, layer.strides, layer.padding.upper(), dilations=layer.dilation_rate)
        return tf.cast(values, inputs.dtype)

    return convolve


def _has_gradient_in_bfloat16() -> bool:
    """Says whether there is one here: on processors oneDNN alone has it, where they compute in bfloat16 themselves."""
    import tensorflow as tf

    return has_bfloat16() or bool(tf.config.get_visible_devices("GPU"))
