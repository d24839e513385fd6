"""What every contender's process does: make ready, go once to warm up, then answer each `go` with one JSON line.

The caller reads the lines from stdout; whatever libraries print goes to stderr. Between two repeats the caller stops
the whole process group, so that no idle thread of one contender disturbs another.
"""

import argparse
import ctypes
import json
import os
import resource
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.job import Job

#: Gives an epoch's batches: (images, labels) each.
Epoch = Callable[[], Iterable[tuple[Any, Any]]]
Answer = dict[str, Any]


class UnmeasurableError(Exception):
    """A machine or folder that does not let a contender be measured; the message says why."""


_PR_SET_PDEATHSIG = 1  # prctl(2)
#: Images of which a mean is taken, at least: a reader that runs on across epochs may exchange batches at their border.
_LOOKED_AT = 1024


def serve(prepare: Callable[[Job], Callable[[], Answer]]) -> None:
    """Answers with what `prepare(job)()` gives, once to warm up and once a `go`; `prepare` itself is not timed."""
    _die_with_the_caller()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    job = _job()
    try:
        repeat = prepare(job)
        answers.write(json.dumps({"process": os.getpid(), **repeat()}) + "\n")
        for _line in sys.stdin:
            answers.write(json.dumps(repeat()) + "\n")
    except ImportError as error:
        answers.write(json.dumps({"absent": f"absent: {error}, in {sys.prefix}"}) + "\n")
    except UnmeasurableError as error:
        answers.write(json.dumps({"absent": f"not measured: {error}"}) + "\n")


def _die_with_the_caller() -> None:
    """Asks Linux for SIGKILL when the caller ends, however it ends: a stopped process would wait for ever."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _job() -> Job:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("task")
    parser.add_argument("column", choices=["numpy", "tensor", "file"])
    parser.add_argument("variant")
    parser.add_argument("--seconds", type=float, default=0.0)
    options = parser.parse_args()
    return Job(options.work.resolve(), options.task, options.column, options.variant, options.seconds)


def serve_reading(open_epochs: Callable[[Job], Epoch]) -> None:
    """Serves a reader: warms up with epochs in which pixels are looked at, then times whole epochs."""

    def prepare(job: Job) -> Callable[[], Answer]:
        epoch, deliver = open_epochs(job), _delivery(job)
        repeats = iter(range(1 << 62))

        def repeat() -> Answer:
            return _looked_at(epoch, deliver) if next(repeats) == 0 else _timed(epoch, deliver, job.seconds)

        return repeat

    serve(prepare)


def _delivery(job: Job) -> Callable[[Any], Any]:
    """Gives what is done with a batch's images: nothing, or what makes a TensorFlow tensor of them."""
    if job.column == "numpy":
        return lambda images: images
    import tensorflow as tf

    return lambda images: images if isinstance(images, tf.Tensor) else tf.convert_to_tensor(_as_array(images))


def _as_array(images: Any) -> Any:
    return images if isinstance(images, np.ndarray) else images.numpy()


def _looked_at(epoch: Epoch, deliver: Callable[[Any], Any]) -> Answer:
    """Gives what came out: number of images, their sides and channels, type, and the mean of all their values."""
    count, total = 0, 0.0
    batch: Any = None
    while count < _LOOKED_AT:
        for images, _labels in epoch():
            batch = _as_array(deliver(images))
            count, total = count + len(batch), total + float(batch.mean(dtype=np.float64)) * len(batch)
        if batch is None:
            return {"amount": 0}
    return {"amount": count, "shape": sorted(batch.shape[1:]), "dtype": str(batch.dtype), "mean": total / count}


def _timed(epoch: Epoch, deliver: Callable[[Any], Any], least: float) -> Answer:
    count, seconds, started, cpu = 0, 0.0, time.perf_counter(), _cpu_seconds()
    while not count or seconds < least:
        for images, _labels in epoch():
            deliver(images)
            count += len(images)
        seconds = time.perf_counter() - started
    return {"amount": count, "seconds": seconds, "cpu": _cpu_seconds() - cpu}


def _cpu_seconds() -> float:
    """Gives this process's own processor time; that of workers that still live is not in it."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def serve_writing(prepare_write: Callable[[Job], Callable[[Path], int]]) -> None:
    """Serves a writer: `prepare_write(job)(target)` writes `target`, or `target` and a suffix; it gives the images.

    Before each repeat what was written is removed and all that is dirty goes to disk, so that a repeat pays for
    its own bytes alone; whether it waits for them on disk is the writer's own choice.
    """

    def prepare(job: Job) -> Callable[[], Answer]:
        write = prepare_write(job)
        target = job.work / f"written-{os.getpid()}"

        def repeat() -> Answer:
            os.sync()
            started = time.perf_counter()
            count = write(target)
            seconds = time.perf_counter() - started
            written = list(target.parent.glob(f"{target.name}*"))
            size = sum(path.stat().st_size for top in written for path in (top, *top.rglob("*")) if path.is_file())
            for path in written:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            return {"amount": count, "seconds": seconds, "bytes": size}

        return repeat

    serve(prepare)
