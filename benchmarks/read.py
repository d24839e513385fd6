"""`facet benchmark read`: every way of reading the same faces, side by side."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import h5py
import numpy as np

from benchmarks import bars
from benchmarks import contenders as who
from benchmarks.contenders import Contender
from benchmarks.processes import Answer, Process
from benchmarks.results import Result, absolute, compared
from benchmarks.rounds import Settings, measure
from benchmarks.workload import RAW_SIDE, originals_folder, prepare, prepare_many, prepare_originals
from hdf5_helper.reading.reader import HDF5Reader

_LOADERS = (who.TORCH, who.TORCH_PIL, who.WEBDATASET, who.GRAIN)
_TENSORFLOW_JPEG = (who.TF_BATCH, who.TF_MAP, who.KERAS)
# the last one looks worse than the bar asks of Facet, and is shown beside
_TENSORFLOW_LARGE = (who.TF_REDUCED, who.TF_AREA, who.TF_RESIZE, who.TF_RATIO_2)
_H5PY = (who.H5PY_LOW, who.H5PY_INDEX, who.H5PY_DIRECT, who.H5PY_LISTS, who.SLICES)


@dataclass(frozen=True)
class Group:
    """Contenders at one task; Facet first, then the machine's limits, then the others."""

    measure: str
    task: tuple[str, str]
    limits: tuple[Contender, ...]
    peers: tuple[Contender, ...]


GROUPS = (
    Group(
        bars.RAW_NUMPY, ("raw", "numpy"), (who.TAKE, who.COPY), (who.FFCV, who.MEMMAP, *_H5PY, who.GRAIN, who.ALWAYS)
    ),
    Group(
        bars.RAW_TENSOR,
        ("raw", "tensor"),
        (who.GATHER,),
        (who.FIXED_LENGTH, who.TFRECORD, who.FFCV, who.MEMMAP, who.TAKE, *_H5PY, who.GRAIN),
    ),
    Group(bars.DECODE_NUMPY, ("decode", "numpy"), (who.DECODING,), (who.FFCV, *_LOADERS, who.ALWAYS)),
    Group(bars.DECODE_TENSOR, ("decode", "tensor"), (who.DECODING,), (*_TENSORFLOW_JPEG, who.FFCV, *_LOADERS)),
    Group(bars.RESIZE_NUMPY, ("resize", "numpy"), (who.RESIZING,), (who.FFCV, *_LOADERS)),
    Group(bars.RESIZE_TENSOR, ("resize", "tensor"), (who.RESIZING,), (*_TENSORFLOW_JPEG, who.FFCV, *_LOADERS)),
    Group(bars.RAW_ORDER, ("raw", "numpy"), (), (who.SEQUENTIAL,)),
    Group(bars.DECODE_ORDER, ("decode", "numpy"), (), (who.SEQUENTIAL,)),
)
ORIGINALS = Group(bars.ORIGINALS, ("originals", "tensor"), (who.RESIZING,), _TENSORFLOW_LARGE)


def measure_reading(settings: Settings) -> Iterator[list[Result]]:
    """Gives the results of reading, group by group, as soon as they are there.

    Raises:
        FacetError: Facet failed, a contender's images are not those of the others, or there is no such measure.
    """
    settings.check_only(MEASURES)
    prepare(settings.work, settings.count, settings.progress)
    for group in GROUPS:
        if settings.wants(group.measure):
            yield _compared(group, settings)
    for names, more in _FURTHER:
        if settings.wants(*names):
            yield [result for result in more(settings) if settings.wants(result.name)]


def _compared(group: Group, settings: Settings) -> list[Result]:
    measured = measure(group.task, (who.FACET, *group.limits, *group.peers), settings)
    return compared(group.measure, "images/s", measured, [limit.name for limit in group.limits])


def _originals(settings: Settings) -> Iterator[Result]:
    folder = originals_folder()
    if folder is None:
        why = "absent: no large faces in FACET_DATA or ../shared/data"
        yield absolute(bars.ORIGINALS, "images/s", (), why)
        yield absolute(bars.PSNR, "dB", (), why)
        return
    prepare_originals(settings.work, folder)
    yield from _compared(ORIGINALS, settings)
    yield absolute(bars.PSNR, "dB", (_lowest_psnr(settings),))


def _lowest_psnr(settings: Settings) -> float:
    """Compares what the reader gives with OpenCV's full decode and area resize, image by image."""
    import cv2

    path, size = settings.work / "originals.h5", (RAW_SIDE, RAW_SIDE)
    with h5py.File(path) as file:
        names = [name.decode() for name in file["path"][...]]
    lowest = np.inf
    with HDF5Reader(path, image_size=size) as reader:
        for row, name in enumerate(names):
            whole = cv2.imread(str(settings.work / "originals" / name), cv2.IMREAD_COLOR_RGB)
            expected = cv2.resize(whole, size, interpolation=cv2.INTER_AREA)
            error = np.square(reader.read([row])[0].astype(np.float64) - expected).mean()
            lowest = min(lowest, 10 * np.log10(255**2 / max(error, 1e-9)))
    return float(lowest)


def _cold(settings: Settings) -> Iterator[Result]:
    amplifications = []

    def figure(answer: Answer) -> float:
        if answer["variant"] == who.FACET_COLD.variant:
            amplifications.append(answer["amplification"])
        return float(answer["amount"] / answer["seconds"])

    measured = measure(("raw", "file"), (who.FACET_COLD, who.DD), settings, figure)
    yield from compared(bars.COLD, "MB/s", measured, [who.DD.name])
    yield absolute(bars.AMPLIFICATION, "×", amplifications, measured[0].absent)


def _opening(settings: Settings) -> Iterator[Result]:
    prepare_many(settings.work, settings.progress)
    answers = _fresh(Contender("Facet", "facet_opening"), settings)
    for name, key in ((bars.OPEN, "open"), (bars.FIRST_BATCH, "first_batch"), (bars.SEEK, "seek")):
        yield absolute(name, "ms", [answer[key] for answer in answers])


def _memory(settings: Settings) -> Iterator[Result]:
    names = {
        "raw": (bars.MEMORY_RAW, bars.GROWTH_RAW),
        "encoded": (bars.MEMORY_ENCODED, bars.GROWTH_ENCODED),
    }
    for storage, (highest, growth) in names.items():
        answers = _fresh(Contender("Facet", "facet_memory", storage), settings)
        yield absolute(highest, "MB", [answer["highest"] for answer in answers])
        yield absolute(growth, "MB", [answer["growth"] for answer in answers])


def _fresh(contender: Contender, settings: Settings) -> list[Answer]:
    """Gives the answers of new processes, one a repeat: each is the first thing that its process does."""
    answers = []
    for _repeat in range(settings.repeats):
        with Process(contender, ("raw", "file"), settings.work, peers=None, seconds=0) as process:
            answers.append(process.warm_up)
    return answers


_FURTHER: tuple[tuple[tuple[str, ...], Callable[[Settings], Iterator[Result]]], ...] = (
    ((bars.ORIGINALS, bars.PSNR), _originals),
    ((bars.COLD, bars.AMPLIFICATION), _cold),
    ((bars.OPEN, bars.FIRST_BATCH, bars.SEEK), _opening),
    ((bars.MEMORY_RAW, bars.MEMORY_ENCODED, bars.GROWTH_RAW, bars.GROWTH_ENCODED), _memory),
)

MEASURES = tuple(group.measure for group in GROUPS) + tuple(name for names, _more in _FURTHER for name in names)
