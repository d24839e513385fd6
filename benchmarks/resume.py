"""`facet benchmark resume`: trainings that are killed and started again, and whether they end as the unbroken one."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from benchmarks import bars
from benchmarks.peers.dying import Death, Training
from benchmarks.peers.job import made
from benchmarks.results import Result, absolute, machine
from hdf5_helper.cores import available_cores
from hdf5_helper.errors import FacetError
from hdf5_helper.hashing import hash_integer
from hdf5_helper.packing.packer import PackOptions, pack
from hdf5_helper.progress import Progress, Say, Silent, no_words
from hdf5_helper.reading.generator import HDF5Generator
from hdf5_helper.sample import SampleOptions, write_sample

_ROOT = Path(__file__).resolve().parent.parent
_IMAGES = 180
_LATEST = 0.05  # seconds after the beginning of a save: it lasts about so long

#: Program and form by name; Facet's own first.
CONTENDERS = {
    "Facet": ("facet_resume", "-"),
    "fit + BackupAndRestore, every epoch": ("keras_backup", "epoch"),
    "fit + BackupAndRestore, every 3 steps": ("keras_backup", "steps"),
    "fit + BackupAndRestore, every epoch, without dropout": ("keras_backup", "plain"),
}

#: Kinds of kills, in turn.
_KINDS = ("step", "save", "step", "validation", "step", "epoch", "step", "save", "begin")


@dataclass(frozen=True)
class Resuming:
    """How to measure.

    Attributes:
        work: folder of the packed file and of all runs.
        kills: how many each contender takes, at least 1.
        seed: chooses them.
        say, progress: what the user sees.
    """

    work: Path
    kills: int = 25
    seed: int = 0
    say: Say = no_words
    progress: Progress = field(default_factory=Silent)

    def __post_init__(self) -> None:
        """Refuses what gives no figure."""
        if self.kills < 1:
            raise FacetError(f"--kills {self.kills}: expected at least 1")


MEASURES = (bars.RESUMED, bars.KILLS)


def measure_resuming(resuming: Resuming) -> Iterator[list[Result]]:
    """Gives all results at once: how many kills each contender survived bit by bit, in all and by kind of moment.

    Raises:
        FacetError: an unbroken training failed.
    """
    job = Training(resuming.work, made(resuming.work / "faces.h5", _write_faces))
    deaths = chosen(job, resuming.kills, resuming.seed)
    resuming.say("kills: " + "; ".join(_told(death) for death in deaths))
    resuming.progress.start("kills", len(CONTENDERS) * len(deaths))
    survived = {name: _survived(name, job, deaths, resuming) for name in CONTENDERS}
    resuming.progress.stop()
    share = 100 * len(survived["Facet"]) / len(deaths)
    yield [replace(absolute(bars.RESUMED, "%", (share,)), repeats=len(deaths)), *_counted(survived, deaths)]


def chosen(job: Training, kills: int, seed: int) -> list[Death]:
    """Chooses different moments by a seed, their kinds in turn, over both phases."""
    with HDF5Generator(job.data, "train", job.batch, "gender", seed=job.seed) as images:
        steps = images.steps_per_epoch
    deaths: list[Death] = []
    number = 0
    while len(deaths) < kills:
        death = _death(_KINDS[len(deaths) % len(_KINDS)], job.epochs, steps, hash_integer(seed, number))
        number += 1
        if number > 1000 * kills or death not in deaths:  # of some kinds there are only two
            deaths.append(death)
    return deaths


def _death(kind: str, epochs: int, steps: int, chance: int) -> Death:
    phase, epoch, step = ("warm_up", "fine_tuning")[chance & 1], 1 + (chance >> 8) % epochs, 1 + (chance >> 16) % steps
    if kind == "begin":
        return Death(f"begin {phase}")
    if kind == "step":
        return Death(f"step {phase} {epoch} {step}")
    after = _LATEST * (chance >> 32) / 2**32 if kind == "save" else 0.0
    return Death(f"{kind} {phase} {epoch}", round(after, 3))


def _survived(name: str, job: Training, deaths: Sequence[Death], resuming: Resuming) -> set[Death]:
    """Gives the kills after which a contender ended with the weights of its own unbroken training."""
    program, form = CONTENDERS[name]
    place = resuming.work / f"{program}-{form}"
    shutil.rmtree(place, ignore_errors=True)
    job = replace(job, form=form)
    unbroken = _weights(program, replace(job, folder=place / "unbroken"))
    if not unbroken.startswith("digest "):
        raise FacetError(f"{name}: the training that nobody kills {unbroken}")

    def again(number: int) -> str:
        folder = place / str(number)
        found = _weights(program, replace(job, folder=folder, death=deaths[number]))
        killed = found == f"died of {signal.SIGKILL.value}"
        found = _weights(program, replace(job, folder=folder)) if killed else f"was not killed: {found}"
        resuming.progress.advance(1)
        return found

    with ThreadPoolExecutor(available_cores()) as pool:
        found = list(pool.map(again, range(len(deaths))))
    for death, ending in zip(deaths, found, strict=True):
        if ending != unbroken:
            other = "other weights" if ending.startswith("digest ") else ending
            resuming.say(f"{name}, killed at {_told(death)}: {other}")
    return {death for death, ending in zip(deaths, found, strict=True) if ending == unbroken}


def _weights(program: str, job: Training) -> str:
    """Trains in a process of its own; gives `digest HEX`, `died of SIGNAL` or `failed: …`."""
    job.folder.mkdir(parents=True, exist_ok=True)
    given = json.dumps(asdict(job), default=str)
    done = subprocess.run(
        [sys.executable, "-P", "-m", f"benchmarks.peers.{program}", given],
        cwd=job.folder,
        env={**os.environ, "PYTHONPATH": str(_ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode < 0:
        return f"died of {-done.returncode}"
    if done.returncode:
        said = done.stderr.strip().splitlines()
        return f"failed: {said[-1] if said else f'exit code {done.returncode}'}"
    return f"digest {json.loads(done.stdout.splitlines()[-1])['digest']}"


def _counted(survived: dict[str, set[Death]], deaths: Sequence[Death]) -> Iterator[Result]:
    """Gives one result a peer for all kills, and for those of each kind."""
    yield from _beside(bars.KILLS, survived, deaths)
    for kind in dict.fromkeys(_KINDS):
        of_kind = [death for death in deaths if death.event.startswith(kind)]
        if of_kind:
            where = "; ".join(_told(death).removeprefix(f"{kind} ") for death in of_kind)
            yield from _beside(f"{_WORDS[kind]}: {where}", survived, of_kind)


_WORDS = {
    "step": "killed after a step (phase, epoch, step)",
    "save": "killed in a save (phase, epoch, seconds after it began)",
    "validation": "killed in validation (phase, epoch)",
    "epoch": "killed between validation and checkpoint (phase, epoch)",
    "begin": "killed before a phase's first step",
}


def _beside(name: str, survived: dict[str, set[Death]], deaths: Sequence[Death]) -> Iterator[Result]:
    counts = {contender: len(found.intersection(deaths)) for contender, found in survived.items()}
    facet = counts.pop("Facet")
    for peer, count in counts.items():
        yield Result(name, facet, "kills", peer, count, None, None, None, None, len(deaths), {}, machine())


def _told(death: Death) -> str:
    return f"{death.event} + {death.after:g} s" if death.after else death.event


def _write_faces(part: Path) -> None:
    tree = part.with_name("tree")
    write_sample(tree, SampleOptions("agegender", _IMAGES, 0, 64))
    file = part.with_name("packed.h5")
    pack([tree], file, PackOptions())
    file.rename(part)
