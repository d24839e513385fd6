"""Facet in a schedule: the real `facet train`, and what it printed and wrote."""

import json
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.contenders import Contender
from benchmarks.schedules.preparing import Ready
from benchmarks.schedules.processes import Ended, run
from benchmarks.schedules.trials import Epoch, Trial
from hdf5_helper.errors import FacetError
from models.training.history import read_epochs

_ROOT = Path(__file__).resolve().parents[2]

#: `warm_up: 24 epochs of 15 steps, …` and `warm_up epoch 3/24: …`, as `facet train` says them.
_BEGINS = re.compile(r"(warm_up|fine_tuning): \d+ epochs? of ")
_EPOCH = re.compile(r"(warm_up|fine_tuning) epoch [1-9]\d*/\d+: .*images/s$")


@dataclass(frozen=True)
class Place:
    """Where processes run.

    Attributes:
        folder: existing; of runs, caches and logs.
        peers: folder of virtual environments, or None.
        keep_cache: whether a contender's cache is filled once and lies there from round to round; else every training
            begins with an empty one.
    """

    folder: Path
    peers: Path | None = None
    keep_cache: bool = False


def slug(contender: Contender) -> str:
    """Gives a contender's name as files and runs have it."""
    text = f"{contender.program} {contender.variant}".lower()
    return re.sub(r"[^a-z0-9]+", "-", text).strip("-")


def facet_trial(contender: Contender, ready: Ready, seed: int, place: Place) -> Trial:
    """Trains once by `facet train`, whose further options are the contender's variant.

    Raises:
        FacetError: it failed.
    """
    name = f"{ready.workload.name}-{slug(contender)}"
    words = ["train", ready.data, "--run", name, "--overwrite", *train_options(ready, seed)]
    words += [] if contender.variant == "-" else contender.variant.split()
    _fill(words, place, name)
    if contender.program == "facet_second_run":
        return _second_run(name, place)
    ended = _facet(words, place, name)
    trained = _trial(ended, name, place)
    if not (ready.folder / "test").is_dir():
        return trained
    return replace(trained, accuracy=_accuracy(name, "best", place, name))


def train_options(ready: Ready, seed: int) -> list[str]:
    """Gives what `facet train` is told of a workload, without the file and the run's name."""
    workload = ready.workload
    told = {
        "--label": "gender",
        "--backbone": workload.backbone,
        "--weights": ready.weights,
        "--image-size": workload.side,
        "--batch-size": workload.batch,
        "--warm-up-epochs": workload.epochs[0],
        "--fine-tuning-epochs": workload.epochs[1],
        "--trainable-layers": 4,
        "--augment": "mirror",
        "--seed": seed,
    }
    narrow = ["--set", f"backbone_arguments={{alpha: {workload.alpha}}}"] if workload.alpha != 1 else []
    return [*(str(part) for pair in told.items() for part in pair), *narrow]


def with_curve(trained: Trial, ready: Ready, seed: int, place: Place) -> Trial:
    """Gives a trial with each epoch's accuracy on the test images: trains again, with every checkpoint kept.

    It is the same training: checkpoints change nothing, and the same seed gives the same bits. Nothing is timed.
    """
    name = f"{ready.workload.name}-curve"
    keep = ["--keep", "all", "--checkpoint-every", "1"]
    _fill([], place, name)
    _facet(["train", ready.data, "--run", name, "--overwrite", *train_options(ready, seed), *keep], place, name)
    files = [f"{epoch.phase}-epoch-{epoch.number:04d}" for epoch in trained.epochs]
    return trained.with_accuracies([_accuracy(name, file, place, name) for file in files])


def _fill(words: Sequence[object], place: Place, name: str) -> None:
    """Empties a contender's cache, or fills it by the same training where it is to lie there and does not yet."""
    cache, filled = _cache(place, name), place.folder / f"filled-{name}"
    if not (place.keep_cache and filled.exists()):
        shutil.rmtree(cache, ignore_errors=True)
        cache.mkdir(parents=True)
    if place.keep_cache and not filled.exists():
        _facet(words, place, name)
        filled.touch()


def _cache(place: Place, name: str) -> Path:
    return place.folder / f"cache-{name}"


def _second_run(name: str, place: Place) -> Trial:
    """Gives the trial of a run with the settings and the cache of another, up to its first step."""
    ended = _python("the second run", ["-P", "-m", "benchmarks.peers.facet_second_run", name], place, name)
    figure = float(json.loads(ended.lines[-1][1])["figure"])
    return Trial(ended.seconds, ended.cpu, ended.memory, ended.elsewhere, figure=figure)


def _accuracy(run_name: str, checkpoint: str, place: Place, cache: str) -> float:
    ended = _facet(["evaluate", run_name, "--checkpoint", checkpoint, "--split", "test", "--json"], place, cache)
    values = json.loads("\n".join(text for _at, text in ended.lines))
    return float(values["metrics"]["gender"]["accuracy"])


def _facet(words: Sequence[object], place: Place, cache: str) -> Ended:
    return _python(f"facet {words[0]}", ["-m", "scripts", *words], place, cache)


def _python(what: str, words: Sequence[object], place: Place, cache: str) -> Ended:
    """Runs a program of Facet's, with its runs and its cache in the place's folder."""
    log = place.folder / f"log-{cache}.txt"
    surroundings = {
        "PYTHONPATH": str(_ROOT),
        "FACET_HISTORY": str(place.folder / "history"),
        "FACET_CACHE": str(_cache(place, cache)),
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    ended = run([sys.executable, *words], place.folder, log, surroundings)
    if ended.code:
        raise FacetError(f"{what} failed: {ended.last_words.removeprefix('facet: ')}, see {log}")
    return ended


def _trial(ended: Ended, name: str, place: Place) -> Trial:
    """Gives the trial of what `facet train` printed, with times, and what it wrote into `epochs.csv`."""
    said = [at for at, text in ended.lines if _EPOCH.match(text)]
    began = next((at for at, text in ended.lines if _BEGINS.match(text)), 0.0)
    rows = [row for row in read_epochs(place.folder / "history" / name / "epochs.csv") if row["epoch"]]
    if len(said) != len(rows) or not rows:
        raise FacetError(f"facet train: printed {len(said)} epochs, expected the {len(rows)} of epochs.csv")
    epochs = tuple(
        Epoch(row["phase"], row["epoch"], row["seconds"], round(row["seconds"] * row["images_per_second"]), at)
        for at, row in zip(said, rows, strict=True)
    )
    return Trial(ended.seconds, ended.cpu, ended.memory, ended.elsewhere, epochs, began)
