"""HDF5Generator as a tf.data.Dataset: the only module of this package that imports TensorFlow."""

from typing import Any

import tensorflow as tf

from hdf5_helper.reading.generator import HDF5Generator


def dataset(generator: HDF5Generator) -> Any:
    """Gives the batches of `generator` as a tf.data.Dataset with static shapes; unshuffled batches differ in size.

    Each iteration has a place of its own, which begins at the generator's present state and leaves that as it is.
    The trainer does not use it: under op determinism tf.data does not overlap with the training step.
    """
    size = None if generator.order.shuffle is None else generator.batch_size // generator.replicas
    images = tf.TensorSpec((size, *generator.read(generator.indices(1, 0)[:1])[0].shape[1:]), tf.uint8)
    labels = {label: _label_spec(generator, label, size) for label in generator.labels}
    signature = (images, labels[generator.labels[0]] if generator.single else labels)
    place = generator.state()

    def batches() -> Any:
        return generator.batches(place["epoch"], place["step"])

    return tf.data.Dataset.from_generator(batches, output_signature=signature).prefetch(2)


def _label_spec(generator: HDF5Generator, label: str, size: int | None) -> Any:
    values = generator.reader.labels(label)
    return tf.TensorSpec((size, *values.shape[1:]), tf.dtypes.as_dtype(values.dtype))
