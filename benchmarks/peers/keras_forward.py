"""The limit of warm-up: one forward pass of the frozen backbone over every view, from pixels that lie in memory.

Plain Keras under one `tf.function`, batches of one size; what it gives is pooled and thrown away. Prints one JSON line
with the seconds; a batch that compiles goes before them.
"""

import json
import time
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from benchmarks.peers.keras_schedule import files, network
from benchmarks.peers.schedule_job import ScheduleJob


def seconds(job: ScheduleJob) -> float:
    """Gives the time of all views of the train images, whole batches and the rest."""
    keras.config.set_dtype_policy(job.precision)
    _model, base = network(job)
    images = np.concatenate([batch.numpy() for batch, _labels in files(job, "train")[0]]).astype(np.uint8)
    views = np.concatenate([images, images[:, :, ::-1]])  # as they are, and mirrored

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def forward(batch: Any) -> Any:
        return tf.reduce_mean(tf.cast(base(tf.cast(batch, tf.float32), training=False), tf.float32), axis=(1, 2))

    padded = np.concatenate([views, views[: -len(views) % job.batch]])
    forward(tf.constant(padded[: job.batch])).numpy()
    started = time.perf_counter()
    for first in range(0, len(padded), job.batch):
        forward(tf.constant(padded[first : first + job.batch])).numpy()
    return (time.perf_counter() - started) * len(views) / len(padded)


if __name__ == "__main__":
    print(json.dumps({"figure": seconds(ScheduleJob.of_command_line())}), flush=True)  # noqa: T201
