"""FFCV's writer, two workers; it does not wait for the disk."""

from collections.abc import Callable
from pathlib import Path

from benchmarks.peers.ffcv_files import write
from benchmarks.peers.job import Job
from benchmarks.peers.serving import serve_writing


def prepare(job: Job) -> Callable[[Path], int]:
    """Gives what writes; the variant is `raw` or `encoded`."""
    return lambda target: write(job, target, raw=job.variant == "raw")


if __name__ == "__main__":
    serve_writing(prepare)
