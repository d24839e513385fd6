"""`keras.utils.image_dataset_from_directory`, as its documentation shows it, with prefetching added.

It always gives float32, and shuffles all paths once, then anew within eight batches.
"""

from collections.abc import Iterator
from typing import Any

import tensorflow as tf
from keras.utils import image_dataset_from_directory

from benchmarks.peers.job import BATCH, Job
from benchmarks.peers.serving import Epoch, serve_reading


def open_epochs(job: Job) -> Epoch:
    """Lists the folder of classes. One endless iterator: ending one waits for tf.data's sleeping autotuner."""
    size = (job.side, job.side)
    dataset = image_dataset_from_directory(job.work / "classes", batch_size=BATCH, image_size=size, seed=0)
    batches = iter(dataset.repeat().prefetch(tf.data.AUTOTUNE))

    def epoch() -> Iterator[tuple[Any, Any]]:
        for _step in range(len(dataset)):
            yield next(batches)

    return epoch


if __name__ == "__main__":
    serve_reading(open_epochs)
