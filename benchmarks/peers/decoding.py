"""The limit of encoded storage: the same JPEG bytes, already in memory, decoded on two threads and thrown away.

simplejpeg with the default transform, the fastest decoder that gives libjpeg's own pixels. `resize` and `originals`
bring the pixels to size as Facet does: bilinear where they grow, by area where they shrink (at reduced scale first).

What was measured to make it as fast as it gets (images/s): each thread decodes into one buffer of its own that begins
16 bytes behind a multiple of 32, as Facet's batches do (libjpeg-turbo writes around the cache otherwise): 21,200, at a
multiple of 32 17,200, a batch of 64 in turn 20,300. Each takes the next image when it is done, which was as fast as
halves and is less disturbed. With resizing, into buffers as well: 15,900 against 13,000.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from benchmarks.peers.job import Job
from benchmarks.peers.serving import Answer, serve
from hdf5_helper.memory import pixel_memory

_THREADS = 2
_STORED = 128  # side of the drawn images

Pixels = NDArray[np.uint8]
# goes through images' bytes, and gives the pixels of the last one
Work = Callable[[Iterator[bytes]], Pixels]


def prepare(job: Job) -> Callable[[], Answer]:
    """Reads all files into memory; the first answer also says what came out, as a reader's does."""
    cv2.setNumThreads(1)
    data = job.jpegs()
    pool = ThreadPoolExecutor(_THREADS)
    work = {"decode": _decode, "resize": _resizer(job.side)}.get(job.task) or _reducer(job.side)
    repeats = iter(range(1 << 62))

    def repeat() -> Answer:
        if next(repeats) == 0:
            return _looked_at(work, data)
        count, seconds, started = 0, 0.0, time.perf_counter()
        while not count or seconds < job.seconds:
            turns = iter(data)
            list(pool.map(work, [turns] * _THREADS))
            count, seconds = count + len(data), time.perf_counter() - started
        return {"amount": count, "seconds": seconds}

    return repeat


def _looked_at(work: Work, data: list[bytes]) -> Answer:
    """Gives what comes out, as serving.py says it of a reader: sides and channels, and the mean of all values."""
    last, total = np.empty((0, 0, 0), np.uint8), 0.0
    for jpeg in data:
        last = work(iter([jpeg]))
        total += float(last.mean(dtype=np.float64))
    return {"amount": len(data), "shape": sorted(last.shape), "dtype": str(last.dtype), "mean": total / len(data)}


def _decode(turns: Iterator[bytes]) -> Pixels:
    out = pixel_memory((_STORED, _STORED, 3))
    for jpeg in turns:
        simplejpeg.decode_jpeg(jpeg, "RGB", False, False, 0, 0, 1, out)
    return out


def _resizer(side: int) -> Work:
    def resize(turns: Iterator[bytes]) -> Pixels:
        pixels, out = pixel_memory((_STORED, _STORED, 3)), pixel_memory((side, side, 3))
        for jpeg in turns:
            simplejpeg.decode_jpeg(jpeg, "RGB", False, False, 0, 0, 1, pixels)
            cv2.resize(pixels, (side, side), out, 0, 0, cv2.INTER_LINEAR)
        return out

    return resize


def _reducer(side: int) -> Work:
    """Of originals, which differ in size; at the least scale of libjpeg's that leaves twice the side."""

    def reduce(turns: Iterator[bytes]) -> Pixels:
        out = pixel_memory((side, side, 3))
        for jpeg in turns:
            pixels = simplejpeg.decode_jpeg(jpeg, "RGB", False, False, 2 * side, 2 * side)
            how = cv2.INTER_AREA if pixels.shape[0] > side else cv2.INTER_LINEAR
            cv2.resize(pixels, (side, side), out, 0, 0, how)
        return out

    return reduce


if __name__ == "__main__":
    serve(prepare)
