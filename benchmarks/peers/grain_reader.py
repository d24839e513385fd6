"""Grain over ArrayRecord: one record a group, uncompressed, shuffled by index, sixteen reading threads.

Measured (images/s, raw / JPEG): 16 threads with 64 elements ahead 12,400 / 5,800; 2 threads 11,700 / 3,400; two worker
processes 6,300 / 3,100. JPEG is decoded by simplejpeg.
"""

from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import grain
import numpy as np
import simplejpeg
from array_record.python.array_record_module import ArrayRecordWriter

from benchmarks.peers.job import BATCH, Job
from benchmarks.peers.serving import Epoch, serve_reading


def open_epochs(job: Job) -> Epoch:
    """Opens the file, which is written first if it is not there; the label is a record's last byte."""
    raw = job.task == "raw"
    path = job.made("raw.array_record" if raw else "jpeg.array_record", lambda target: _write(target, job, raw=raw))
    examples = grain.MapDataset.source(grain.sources.ArrayRecordDataSource(str(path))).seed(0).shuffle().repeat()
    batches = examples.map(_parser(job)).batch(BATCH, drop_remainder=True)
    options = grain.ReadOptions(num_threads=16, prefetch_buffer_size=64)
    endless, steps = iter(batches.to_iter_dataset(options)), len(job.listing[0]) // BATCH

    def epoch() -> Iterable[tuple[Any, Any]]:
        return islice(endless, steps)

    return epoch


def _parser(job: Job) -> Callable[[bytes], tuple[Any, int]]:
    side = job.side

    def pixels(record: bytes) -> Any:
        if job.task == "raw":
            return np.frombuffer(record, np.uint8, side * side * 3).reshape(side, side, 3)
        decoded = simplejpeg.decode_jpeg(record[:-1], "RGB")
        return decoded if job.task == "decode" else cv2.resize(decoded, (side, side))

    return lambda record: (pixels(record), record[-1])


def _write(target: Path, job: Job, *, raw: bool) -> None:
    writer = ArrayRecordWriter(str(target), "group_size:1,uncompressed")
    records = (image.tobytes() for image in job.pixels()) if raw else iter(job.jpegs())
    for record, label in zip(records, job.listing[1].tolist(), strict=True):
        writer.write(record + bytes([label]))
    writer.close()


if __name__ == "__main__":
    serve_reading(open_epochs)
