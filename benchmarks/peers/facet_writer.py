"""Facet's packer and repacker, called in this process: from the survey of the tree to the renamed, fsynced file."""

from collections.abc import Callable
from pathlib import Path

from benchmarks.peers.job import Job
from benchmarks.peers.serving import serve_writing
from hdf5_helper.packing.options import PackOptions
from hdf5_helper.packing.packer import pack, write_pack
from hdf5_helper.packing.repack import RepackOptions, repack_plan


def prepare(job: Job) -> Callable[[Path], int]:
    """Gives what writes; the variant is the storage, or `repack`."""
    return _repack(job) if job.variant == "repack" else _pack(job)


def _pack(job: Job) -> Callable[[Path], int]:
    options = PackOptions(storage=job.variant, image_size=(150, 150) if job.variant == "raw" else None)

    def write(target: Path) -> int:
        return pack([job.work / "images"], target.with_suffix(".h5"), options).examples

    return write


def _repack(job: Job) -> Callable[[Path], int]:
    source = job.work / f"{job.task}.h5"

    def write(target: Path) -> int:
        with repack_plan([source], target.with_suffix(".h5"), RepackOptions()) as plan:
            return write_pack(plan).examples

    return write


if __name__ == "__main__":
    serve_writing(prepare)
