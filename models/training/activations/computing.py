"""Activations computed on this worker's devices: a part of the model in inference mode, on blocks of rows."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdf5_helper.errors import FacetError
from models.heads.head import Head
from models.training.distribution.replicas import Replicas
from models.training.precision import computing_in


class Computer:
    """Runs a part of a model on blocks of rows, shared evenly among this worker's replicas.

    A row's values do not depend on the block's other rows. On processors their last digits depend on how many rows a
    replica computes at once, and for some numbers also on the row's place among them. So
    all blocks of one computer should be of one size; it is traced once for that.

    Places count with grouped convolutions, and without oneDNN, which TensorFlow by itself uses on processors with
    AVX-512 alone: convolutions are then products of matrices in tiles of 6 pixels, and those left over at a block's end
    are added up in another order. With 32 rows the last one's are, with 48 none.

    Args:
        part: keras.Model of `models.training.activations.model_parts`.
        model: the model that it is a part of.
        heads: of the model.
        replicas: the devices.
        precision: `float32` or `mixed_bfloat16`, see `computing_in`.
    """

    def __init__(self, part: Any, model: Any, heads: tuple[Head, ...], replicas: Replicas, precision: str) -> None:
        import tensorflow as tf

        self._replicas = replicas

        def replica(values: Any) -> Any:
            return part(tf.cast(values, tf.float32), training=False)

        @tf.function(reduce_retracing=True, autograph=False)
        def compute(values: Any) -> Any:
            with computing_in(precision, model, heads):
                return replicas.strategy.run(replica, (values,))

        self._compute = compute

    def __call__(self, inputs: NDArray[Any]) -> NDArray[Any]:
        """Gives the part's values for a block of rows.

        Args:
            inputs: images (b, H, W, 3), uint8 or float32, or activations (b, …), float32 or ml_dtypes.bfloat16; b is a
                multiple of this worker's replicas, and at least twice their number: TensorFlow computes a single row
                otherwise than one of many, with other last digits.

        Returns:
            (b, …), float32, or ml_dtypes.bfloat16 where the part ends in a layer that computes so.
        """
        rows, local = len(inputs), self._replicas.local
        if rows % local or rows < 2 * local:
            raise FacetError(f"a block of {rows} rows: expected a multiple of {local}, and at least {2 * local}")
        spread = self._replicas.spread(lambda part: self._replicas.share(inputs, part))
        results = self._replicas.strategy.experimental_local_results(self._compute(spread))
        return np.concatenate([result.numpy() for result in results])
