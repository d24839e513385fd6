"""The limit of encoded storage: the same JPEG bytes, already in memory, decoded on two threads into two buffers.

simplejpeg with the default transform, the fastest decoder that gives libjpeg's own pixels. `resize` and `originals`
bring the pixels to size as Facet does: bilinear where they grow, by area where they shrink (at reduced scale first).
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import simplejpeg

from benchmarks.peers.job import Job
from benchmarks.peers.serving import Answer, serve

_THREADS = 2


def prepare(job: Job) -> Callable[[], Answer]:
    """Reads all files into memory."""
    cv2.setNumThreads(1)
    data = job.jpegs()
    shares = [data[first::_THREADS] for first in range(_THREADS)]
    pool = ThreadPoolExecutor(_THREADS)
    work = _decode if job.task == "decode" else _decode_to(job.side, reduced=job.task == "originals")

    def repeat() -> Answer:
        count, seconds, started = 0, 0.0, time.perf_counter()
        while not count or seconds < job.seconds:
            count += sum(pool.map(work, shares))
            seconds = time.perf_counter() - started
        return {"amount": count, "seconds": seconds}

    return repeat


def _decode(share: list[bytes]) -> int:
    out = np.empty((128, 128, 3), np.uint8)
    for data in share:
        simplejpeg.decode_jpeg(data, "RGB", buffer=out)
    return len(share)


def _decode_to(side: int, *, reduced: bool) -> Callable[[list[bytes]], int]:
    least = 2 * side if reduced else 0

    def decode(share: list[bytes]) -> int:
        for data in share:
            pixels = simplejpeg.decode_jpeg(data, "RGB", min_height=least, min_width=least)
            how = cv2.INTER_AREA if pixels.shape[0] > side else cv2.INTER_LINEAR
            cv2.resize(pixels, (side, side), interpolation=how)
        return len(share)

    return decode


if __name__ == "__main__":
    serve(prepare)
