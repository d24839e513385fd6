"""TensorFlow's own ways: TFRecord and FixedLengthRecordDataset under a tuned tf.data, and its memory's limit.

What was measured to choose the settings (images/s, raw; all shuffled fully, with a buffer of all records):
- `repeat()` behind the shuffle, instead of a new iterator each epoch: 37,500 against 4,000–20,000. Ending an iterator
  waits for the sleeping autotuner, 0.3 to 2.5 s each time.
- plain bytes as records, and a whole batch parsed by one `decode_raw`: twice as fast as parsing record by record.
- one file against four interleaved ones: 25,000 against 12,000. A read buffer of 8 MiB against the default: + 50 %.
- no autotuner, two parallel calls, four batches ahead: 38,000 against 29,000 with AUTOTUNE everywhere.
JPEG (images/s): one `map` call a record with AUTOTUNE 9,000, with one thread an operation 10,600; 64 decodings in one
`map` call 15,000. The first is what every guide shows (`map`), the last the fastest found (`whole_batch`).
Originals of up to 600×600 to 150×150 (images/s, and the lowest PSNR of 150 of them against full decode + area resize):
- `map`, decoded in full, antialiased: 800, 38.3 dB. `area`, the same by tf's area resize: 1,230, 41.6 dB.
- `reduced`, ratio=2 where a side of at least 600 leaves 300, and INTEGER_ACCURATE, area: 1,570, 38.2 dB: the best of
  those that reach 38 dB. INTEGER_FAST is as fast and falls to 37.96 dB, antialiased it falls to 36.7 dB.
- `ratio_2`, ratio=2 for all of them, antialiased: 1,080, 28.7 dB, since the smaller ones are then enlarged.
"""

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from benchmarks.peers.job import BATCH, Job
from benchmarks.peers.serving import Epoch, serve_reading

_BUFFER = 8 << 20
_NPY_HEADER = 128


def open_epochs(job: Job) -> Epoch:
    """Builds the pipeline of the variant, endless, and cuts it into epochs."""
    batches = iter(_FORMS[job.variant](job))
    steps = len(job.listing[0]) // BATCH

    def epoch() -> Iterator[tuple[Any, Any]]:
        return islice(batches, steps)

    return epoch


def _shuffled(job: Job, records: Any) -> Any:
    labels = job.listing[1]
    both = tf.data.Dataset.zip(records, tf.data.Dataset.from_tensor_slices(labels))
    return both.shuffle(len(labels)).repeat()


def _finished(batches: Any) -> Any:
    options = tf.data.Options()
    options.deterministic = False
    options.autotune.enabled = False
    options.threading.max_intra_op_parallelism = 1
    return batches.prefetch(4).with_options(options)


def _raw(records: Callable[[Job], Any]) -> Callable[[Job], Any]:
    def parse(data: Any, labels: Any) -> tuple[Any, Any]:
        return tf.reshape(tf.io.decode_raw(data, tf.uint8), (BATCH, 150, 150, 3)), labels

    def pipeline(job: Job) -> Any:
        batches = _shuffled(job, records(job)).batch(BATCH, drop_remainder=True)
        return _finished(batches.map(parse, num_parallel_calls=2))

    return pipeline


def _raw_records(job: Job) -> Any:
    path = job.made("raw.tfrecord", lambda target: _write(target, (image.tobytes() for image in job.pixels())))
    return tf.data.TFRecordDataset(str(path), buffer_size=_BUFFER)


def _fixed_length(job: Job) -> Any:
    return tf.data.FixedLengthRecordDataset(
        str(job.raw_file), 150 * 150 * 3, header_bytes=_NPY_HEADER, buffer_size=_BUFFER
    )


def _gather(job: Job) -> Any:
    """The limit: all pixels in one tensor in memory."""
    images, labels = tf.constant(np.array(job.pixels())), tf.constant(job.listing[1])
    rows = tf.data.Dataset.range(len(labels)).shuffle(len(labels)).repeat().batch(BATCH, drop_remainder=True)
    return _finished(rows.map(lambda row: (tf.gather(images, row), tf.gather(labels, row)), num_parallel_calls=2))


def _jpeg_records(job: Job) -> Any:
    name = "originals" if job.task == "originals" else "jpeg"
    path = job.made(f"{name}.tfrecord", lambda target: _write(target, job.jpegs()))
    return tf.data.TFRecordDataset(str(path), buffer_size=_BUFFER)


def _write(target: Path, records: Any) -> None:
    with tf.io.TFRecordWriter(str(target)) as writer:
        for record in records:
            writer.write(record)


def _pixels(data: Any) -> Any:
    # INTEGER_FAST is what TensorFlow takes by default for speed on most builds; asked for, so that it is on all
    return tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_FAST")


def _to_size(images: Any, side: int, *, antialias: bool = False) -> Any:
    sized = tf.image.resize(images, (side, side), antialias=antialias)
    return tf.cast(tf.round(sized), tf.uint8)


def _antialiased(data: Any, side: int) -> Any:
    return _to_size(_pixels(data), side, antialias=True)


def _by_area(pixels: Any, side: int) -> Any:
    return tf.cast(tf.round(tf.image.resize(pixels[tf.newaxis], (side, side), method="area")[0]), tf.uint8)


def _area(data: Any, side: int) -> Any:
    return _by_area(_pixels(data), side)


def _accurate(data: Any, ratio: int) -> Any:
    return tf.io.decode_jpeg(data, channels=3, ratio=ratio, dct_method="INTEGER_ACCURATE")


def _reduced(data: Any, side: int) -> Any:
    large = tf.reduce_all(tf.image.extract_jpeg_shape(data)[:2] >= 4 * side)
    return _by_area(tf.cond(large, lambda: _accurate(data, 2), lambda: _accurate(data, 1)), side)


def _ratio_2(data: Any, side: int) -> Any:
    return _to_size(_accurate(data, 2), side, antialias=True)


#: Variant -> from an original's bytes and the side to its pixels.
ORIGINALS: dict[str, Callable[[Any, int], Any]] = {
    "map": _antialiased,
    "area": _area,
    "reduced": _reduced,
    "ratio_2": _ratio_2,
}


def _map(job: Job) -> Any:
    def parse(data: Any, label: Any) -> tuple[Any, Any]:
        if job.task == "originals":
            return ORIGINALS[job.variant](data, job.side), label
        pixels = _pixels(data)
        return (pixels if job.task == "decode" else _to_size(pixels, job.side)), label

    examples = _shuffled(job, _jpeg_records(job)).map(parse, num_parallel_calls=4)
    return _finished(examples.batch(BATCH, drop_remainder=True))


def _whole_batch(job: Job) -> Any:
    def parse(data: Any, labels: Any) -> tuple[Any, Any]:
        pixels = tf.stack([tf.ensure_shape(_pixels(data[row]), (128, 128, 3)) for row in range(BATCH)])
        return (pixels if job.task == "decode" else _to_size(pixels, job.side)), labels

    batches = _shuffled(job, _jpeg_records(job)).batch(BATCH, drop_remainder=True)
    options = tf.data.Options()
    options.deterministic = False
    return batches.map(parse, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE).with_options(options)


_FORMS: dict[str, Callable[[Job], Any]] = {
    "tfrecord": _raw(_raw_records),
    "fixed_length": _raw(_fixed_length),
    "gather": _gather,
    "map": _map,
    "area": _map,
    "reduced": _map,
    "ratio_2": _map,
    "whole_batch": _whole_batch,
}

if __name__ == "__main__":
    serve_reading(open_epochs)
