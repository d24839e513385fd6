"""The script of TensorFlow's TFRecord tutorial: a `tf.train.Example` an image, with its shape, label and JPEG bytes.

It decodes each image for its shape, as the tutorial does, and does not wait for the disk.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf

from benchmarks.peers.job import Job
from benchmarks.peers.serving import serve_writing


def _bytes(value: bytes) -> Any:
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))


def _integer(value: int) -> Any:
    return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))


def _example(data: bytes, label: int) -> Any:
    shape = tf.io.decode_jpeg(data).shape
    feature = {
        "height": _integer(shape[0]),
        "width": _integer(shape[1]),
        "depth": _integer(shape[2]),
        "label": _integer(label),
        "image_raw": _bytes(data),
    }
    return tf.train.Example(features=tf.train.Features(feature=feature))


def prepare(job: Job) -> Callable[[Path], int]:
    """Lists the images."""
    paths, labels = job.listing

    def write(target: Path) -> int:
        with tf.io.TFRecordWriter(str(target)) as writer:
            for path, label in zip(paths, labels.tolist(), strict=True):
                writer.write(_example(path.read_bytes(), label).SerializeToString())
        return len(paths)

    return write


if __name__ == "__main__":
    serve_writing(prepare)
