"""How long Facet takes to open a file of many examples, to give a first batch, and to go to any step."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import h5py

from benchmarks.peers.job import BATCH, Job
from benchmarks.peers.serving import Answer, serve
from hdf5_helper.hashing import hash_integer
from hdf5_helper.reading.generator import HDF5Generator

_PLACES = 100


def prepare(job: Job) -> Callable[[], Answer]:
    """Gives what opens the file anew; everything is imported before, and times are in ms."""
    h5py.get_config()

    def repeat() -> Answer:
        opened, generator = _timed(lambda: HDF5Generator(job.work / "many.h5", "all", BATCH, "gender"))
        first, _batch = _timed(lambda: next(iter(generator)))
        places = [_place(number, generator.steps_per_epoch) for number in range(_PLACES)]
        seeks = [_timed(partial(_seek, generator, *place))[0] for place in places]
        generator.close()
        return {"open": opened, "first_batch": first, "seek": max(seeks)}

    return repeat


def _place(number: int, steps: int) -> tuple[int, int]:
    return 1 + hash_integer(number, 0) % 1000, hash_integer(number, 1) % steps


def _seek(generator: HDF5Generator, epoch: int, step: int) -> object:
    """Goes there, and works out which examples come next, so that no cost is put off."""
    generator.seek(epoch, step)
    return generator.indices(epoch, step)


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    result = work()
    return (time.perf_counter() - started) * 1000, result


if __name__ == "__main__":
    serve(prepare)
