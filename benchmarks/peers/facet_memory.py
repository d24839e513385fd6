"""How much anonymous memory Facet's reader takes over ten epochs (Linux); mapped pages are cache and not counted."""

import re
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path

import h5py

from benchmarks.peers.job import BATCH, Job
from benchmarks.peers.serving import Answer, serve
from hdf5_helper.reading.generator import HDF5Generator

_EPOCHS = 10


def prepare(job: Job) -> Callable[[], Answer]:
    """Gives what opens the file and reads ten epochs; everything is imported before, and amounts are in MB."""
    h5py.get_config()

    def repeat() -> Answer:
        before = _anonymous()
        generator = HDF5Generator(job.work / f"{job.variant}.h5", "all", BATCH, "gender")
        batches = iter(generator)
        highest = [_highest(islice(batches, generator.steps_per_epoch)) - before for _epoch in range(_EPOCHS)]
        generator.close()
        return {"highest": max(highest), "growth": highest[-1] - highest[1]}

    return repeat


def _highest(batches: Iterable[object]) -> float:
    return max(_anonymous() for _batch in batches)


def _anonymous() -> float:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    found = re.search(r"RssAnon:\s+(\d+) kB", status)
    return int(found[1]) * 1024 / 1e6 if found else 0.0


if __name__ == "__main__":
    serve(prepare)
