"""What a device's exhausted memory means for the user."""

from collections.abc import Iterator
from contextlib import contextmanager

from hdf5_helper.errors import FacetError


@contextmanager
def memory_explained(batch_size: int) -> Iterator[None]:
    """Turns TensorFlow's error of exhausted memory into a sentence that names a smaller batch.

    Raises:
        FacetError: memory ran out in this block.
    """
    import tensorflow as tf

    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        what = " ".join(error.message.split())[:120]
        raise FacetError(
            f"memory ran out with batches of {batch_size} ({what}); try --batch-size {max(1, batch_size // 2)}, or"
            " --set gradient_accumulation=2, which does the same batch in two halves"
        ) from None
