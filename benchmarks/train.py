"""`facet benchmark train`: what determinism, reading, checkpoints and a stop cost a training, and whole schedules."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks import bars
from benchmarks import contenders as who
from benchmarks.contenders import Contender
from benchmarks.results import Result, absolute, compared
from benchmarks.rounds import Settings, measure
from benchmarks.schedules import names as schedule_names
from benchmarks.schedules.parts import measure_schedules, schedules
from benchmarks.workload import prepare
from hdf5_helper.errors import FacetError
from hdf5_helper.packing.options import PackOptions
from hdf5_helper.packing.packer import pack

_STEPS: tuple[tuple[str, tuple[Contender, ...]], ...] = (
    (bars.TRAIN_READING, (who.TRAIN_REAL, who.TRAIN_CONSTANT)),
    (bars.TRAIN_DETERMINISM, (who.TRAIN_DETERMINISTIC, who.TRAIN_FREE)),
)

#: Who is compared in each measure.
GROUPS = (*_STEPS, *schedule_names.GROUPS)

_COSTS = (*(name for name, _contenders in _STEPS), bars.SAVING, bars.STOPPING)
MEASURES = (*_COSTS, *schedule_names.MEASURES)

_STOPPED = (
    "--backbone",
    "vgg19",
    "--weights",
    "none",
    "--image-size",
    "150",
    "--batch-size",
    "64",
    "--label",
    "gender",
)
_PHASES = (("--fine-tuning-epochs", "0"), ("--warm-up-epochs", "0"))


def measure_training(settings: Settings) -> Iterator[list[Result]]:
    """Gives the results of training, measure by measure, as soon as they are there.

    Raises:
        FacetError: Facet failed, or there is no such measure.
    """
    settings.check_only(MEASURES)
    if settings.wants(*_COSTS):
        yield from _measure_costs(settings)
    # hours, so only where they are asked for
    if settings.only and settings.wants(*schedule_names.MEASURES):
        yield from measure_schedules(schedules(settings))


def _measure_costs(settings: Settings) -> Iterator[list[Result]]:
    """Gives what single costs of a training are, on drawn images."""
    prepare(settings.work, settings.count, settings.progress)
    for name, contenders in _STEPS:
        if settings.wants(name):
            yield compared(name, "images/s", measure(("decode", "tensor"), contenders, settings))
    if settings.wants(bars.SAVING):
        (saved,) = measure(("decode", "tensor"), (who.SAVE,), settings, lambda answer: 100 * answer["seconds"] / 60)
        yield [absolute(bars.SAVING, "%", saved.figures, saved.absent)]
    if settings.wants(bars.STOPPING):
        yield [absolute(bars.STOPPING, "s", list(_stops(settings)))]


def _stops(settings: Settings) -> Iterator[float]:
    """Gives seconds from SIGTERM to the end of a real training, in warm-up and fine-tuning in turn."""
    few = settings.work / "few.h5"
    pack([settings.work / "images"], few, PackOptions(limit=300, overwrite=True))
    settings.progress.start(bars.STOPPING, settings.repeats)
    for number in range(settings.repeats):
        yield _stopped(settings.work, [str(few), "--run", f"stopped-{number}", *_STOPPED, *_PHASES[number % 2]])
        settings.progress.advance(1)


def _stopped(work: Path, arguments: Sequence[str]) -> float:
    """Starts a training, stops it at an uneven moment of its second epoch, and times its end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "scripts", "train", *arguments, "--overwrite"],
        cwd=work,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent.parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    said = []
    for line in process.stdout or ():
        said.append(line)
        if " epoch 1/" in line and line.endswith("images/s\n"):
            break
    time.sleep(3)
    started = time.perf_counter()
    process.send_signal(signal.SIGTERM)
    rest, _none = process.communicate()
    seconds = time.perf_counter() - started
    if process.returncode != 128 + signal.SIGTERM:
        raise FacetError(f"facet train did not stop by SIGTERM: {(''.join(said) + rest).strip().splitlines()[-1]}")
    return seconds
