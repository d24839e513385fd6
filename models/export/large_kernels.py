"""Kernels of wide dense layers, kept out of a graph while it is made, since TensorFlow's steps copy all its constants.

With them inside, freezing VGG-Face (580 MB) held more than twenty copies of its weights at once.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

#: Values from which a kernel stays outside: 4 MB of float32; copies of smaller ones cost little.
LARGE = 2**20


def large_kernels(model: Any) -> list[Any]:
    """Gives the kernels of at least `LARGE` values of a model's dense layers, nested ones too, each once.

    Kernels of convolutions are none of them: what stands behind a convolution is multiplied into its kernel.
    """
    return list({id(kernel): kernel for kernel in _dense_kernels(model) if math.prod(kernel.shape) >= LARGE}.values())


def _dense_kernels(model: Any) -> Iterator[Any]:
    import keras

    for layer in model._flatten_layers():  # noqa: SLF001 - Keras has no public walk through nested models
        if isinstance(layer, keras.layers.Dense):
            yield from (weight for weight in layer.weights if weight is layer.kernel)


def input_specs(kernels: Sequence[Any]) -> list[Any]:
    """Gives the tf.TensorSpec of each kernel, for a function that takes them as arguments, named after their layers."""
    import tensorflow as tf

    return [tf.TensorSpec(kernel.shape, kernel.dtype, name=kernel.path.replace("/", "_")) for kernel in kernels]


def fill_in(graph_def: Any, values: Mapping[str, NDArray[Any]]) -> None:
    """Makes constants of the placeholders that stand for kernels.

    Args:
        graph_def: changed in place.
        values: by the placeholder's name.
    """
    import tensorflow as tf

    for node in graph_def.node:
        if node.name in values:
            node.op = "Const"
            del node.attr["shape"]
            node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(values[node.name]))
