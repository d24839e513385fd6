"""FFCV's Loader: os_cache, RANDOM, two workers; the warm-up epoch compiles it.

Batches ahead, measured: 1 gave 190,000 raw and 21,000 decoded images/s, the default of 3 up to 134,000 and 19,400 (more
buffers fall out of the processor's cache); with resizing 3 was the better, 14,300 against 13,500.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ffcv.fields.decoders import CenterCropRGBImageDecoder, IntDecoder, SimpleRGBImageDecoder
from ffcv.loader import Loader, OrderOption

from benchmarks.peers.ffcv_files import write
from benchmarks.peers.job import BATCH, Job
from benchmarks.peers.serving import Epoch, serve_reading

_BATCHES_AHEAD = {"raw": 1, "decode": 1, "resize": 3}


def open_epochs(job: Job) -> Epoch:
    """Opens the file, which is written first if it is not there. Batches stay NumPy arrays in FFCV's own buffers."""
    raw = job.task == "raw"

    def make(target: Path) -> None:
        write(job, target, raw=raw)

    decoder = CenterCropRGBImageDecoder((job.side, job.side), ratio=1) if job.task == "resize" else None
    loader = Loader(
        str(job.made("raw.beton" if raw else "jpeg.beton", make)),
        batch_size=BATCH,
        num_workers=2,
        os_cache=True,
        order=OrderOption.RANDOM,
        pipelines={"image": [decoder or SimpleRGBImageDecoder()], "label": [IntDecoder()]},
        batches_ahead=_BATCHES_AHEAD[job.task],
    )

    def epoch() -> Iterable[tuple[Any, Any]]:
        batches: Iterable[tuple[Any, Any]] = iter(loader)
        return batches

    return epoch


if __name__ == "__main__":
    serve_reading(open_epochs)
