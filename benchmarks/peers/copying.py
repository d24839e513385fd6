"""What the machine itself does with bytes: the limits of packing, and what people use instead.

`tree`: `cp -r` of the images and `sync`. `file`: `cp` of the packed file of the task, and fsync. `images` and
`pixels`: as many bytes as there are of encoded or raw images, from memory, in pieces of 4 MiB into one file, and fsync.
"""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from benchmarks.peers.job import Job
from benchmarks.peers.serving import serve_writing

_PIECE = 4 << 20


def prepare(job: Job) -> Callable[[Path], int]:
    """Gives what copies or writes."""
    paths = job.listing[0]
    put = _copier(job) if job.variant in ("tree", "file") else _writer(job, paths)

    def write(target: Path) -> int:
        put(target)
        return len(paths)

    return write


def _copier(job: Job) -> Callable[[Path], None]:
    def tree(target: Path) -> None:
        subprocess.run(["cp", "-r", job.work / "images", target], check=True)
        os.sync()

    def file(target: Path) -> None:
        subprocess.run(["cp", job.work / f"{job.task}.h5", target], check=True)
        with open(target, "rb+") as copied:
            os.fsync(copied.fileno())

    return tree if job.variant == "tree" else file


def _writer(job: Job, paths: list[Path]) -> Callable[[Path], None]:
    pixels = 150 * 150 * 3 * len(paths)
    size = pixels if job.variant == "pixels" else sum(path.stat().st_size for path in paths)
    piece = os.urandom(_PIECE)

    def write(target: Path) -> None:
        with open(target, "wb", buffering=0) as file:
            file.writelines(piece[: min(_PIECE, size - first)] for first in range(0, size, _PIECE))
            os.fsync(file.fileno())

    return write


if __name__ == "__main__":
    serve_writing(prepare)
