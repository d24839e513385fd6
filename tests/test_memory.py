"""A device whose memory runs out ends the training with a sentence, and that with a way out."""

import pytest
import tensorflow as tf

from hdf5_helper.errors import FacetError
from models.training.memory import memory_explained


def test_exhausted_memory_names_a_smaller_batch():
    with pytest.raises(FacetError) as error, memory_explained(64):
        tf.zeros([1 << 46])
    sentence = str(error.value)
    assert sentence.startswith("memory ran out with batches of 64 (")
    assert sentence.endswith(
        "); try --batch-size 32, or --set gradient_accumulation=2, which does the same batch in two halves"
    )


def test_other_errors_pass():
    with pytest.raises(tf.errors.InvalidArgumentError), memory_explained(64):
        tf.reshape(tf.zeros([3]), [2])
