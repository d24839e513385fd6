"""Reading with nothing in the page cache: Facet by blocks, or `dd`, which reads the same file from end to end."""

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.peers.job import BATCH, Job
from benchmarks.peers.page_cache import bytes_read, drop
from benchmarks.peers.serving import Answer, serve


def prepare(job: Job) -> Callable[[], Answer]:
    """Gives what drops the file from the page cache and reads it once; amounts are in MB."""
    path = job.work / "raw.h5"
    read = _dd if job.variant == "dd" else _facet

    def repeat() -> Answer:
        drop(path)
        before, started = bytes_read(), time.perf_counter()
        used = read(path)
        seconds = time.perf_counter() - started
        amplification = (bytes_read() - before) / used
        return {"amount": used / 1e6, "seconds": seconds, "variant": job.variant, "amplification": amplification}

    return repeat


def _facet(path: Path) -> int:
    """Opens the file, goes through one epoch, and gives the bytes of the images handed out."""
    from hdf5_helper import HDF5Generator

    with HDF5Generator(path, "all", BATCH, "gender", shuffle="blocks", epochs=1) as batches:
        return sum(images.nbytes for images, _labels in batches)


def _dd(path: Path) -> int:
    subprocess.run(["dd", f"if={path}", "of=/dev/null", "bs=4M", "status=none"], check=True)
    return path.stat().st_size


if __name__ == "__main__":
    serve(prepare)
