"""`facet benchmark pack`: every way of packing the same faces, side by side."""

from collections.abc import Iterator
from pathlib import Path

import h5py

from benchmarks import bars
from benchmarks import contenders as who
from benchmarks.contenders import Contender
from benchmarks.results import Result, absolute, compared
from benchmarks.rounds import Settings, measure
from benchmarks.workload import prepare, read_list
from hdf5_helper.packing.options import PackOptions
from hdf5_helper.packing.packer import pack

_FEW = 20
_ALLOWANCE = 64 * 1024  # HDF5's own tables weigh more in a small file

GROUPS: tuple[tuple[str, tuple[str, str], tuple[Contender, ...], tuple[Contender, ...]], ...] = (
    (
        bars.PACK_ENCODED,
        ("decode", "file"),
        (who.DECODING, who.WRITE_IMAGES),
        (who.PACK_ENCODED, who.FFCV_ENCODED, who.TFRECORD_WRITER, who.CP_TREE),
    ),
    (
        bars.PACK_RAW,
        ("resize", "file"),
        (who.RESIZING, who.WRITE_PIXELS),
        (who.PACK_RAW, who.FFCV_RAW, who.FLOAT_WRITER),
    ),
    (bars.REPACK_ENCODED, ("encoded", "file"), (), (who.REPACK, who.CP_FILE)),
    (bars.REPACK_RAW, ("raw", "file"), (), (who.REPACK, who.CP_FILE)),
)


MEASURES = (*(name for name, *_rest in GROUPS), bars.SIZE, bars.SIZE_OF_20, bars.RESTORED)


def measure_packing(settings: Settings) -> Iterator[list[Result]]:
    """Gives the results of packing, group by group, as soon as they are there.

    Raises:
        FacetError: Facet failed, or there is no such measure.
    """
    settings.check_only(MEASURES)
    prepare(settings.work, settings.count, settings.progress)
    for name, task, limits, (facet, *peers) in GROUPS:
        if not settings.wants(name):
            continue
        measured = measure(task, (facet, *limits, *peers), settings)
        yield compared(name, "images/s", measured, [limit.name for limit in limits], all_bind=True)
    if settings.wants(bars.SIZE, bars.SIZE_OF_20, bars.RESTORED):
        yield [result for result in _sizes(settings.work) if settings.wants(result.name)]


def _sizes(work: Path) -> Iterator[Result]:
    paths, _labels = read_list(work, "images.json")
    images = sum(path.stat().st_size for path in paths)
    yield absolute(bars.SIZE, "×", ((work / "encoded.h5").stat().st_size / images,))
    yield absolute(bars.SIZE_OF_20, "×", (_size_of_few(work),))
    yield absolute(bars.RESTORED, "images", (_not_restored(work),))


def _size_of_few(work: Path) -> float:
    few = work / "few.h5"
    pack([work / "images"], few, PackOptions(limit=_FEW, overwrite=True))
    with h5py.File(few) as file:
        return float((few.stat().st_size - _ALLOWANCE) / file["encoded/bytes"].size)


def _not_restored(work: Path) -> float:
    """Takes every image out of the packed file with h5py, and compares it with the image file."""
    different = 0
    with h5py.File(work / "encoded.h5") as file:
        rows = zip(file["path"][...], file["encoded/offset"][...], file["encoded/length"][...], strict=True)
        stored = file["encoded/bytes"][...].tobytes()
        for path, start, length in rows:
            original = (work / "images" / path.decode()).read_bytes()
            different += stored[int(start) : int(start + length)] != original
    return float(different)
