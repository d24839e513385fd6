"""Runs experiments, each in processes of its own; what is there is not made again, so it goes on where it stopped."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.accuracy.experiments import WEIGHTS, Experiment
from hdf5_helper.progress import Say

#: What is kept of an evaluation: nothing that names this machine.
_KEPT = ("count", "metrics", "groups")

#: One measured run: experiment, who (`facet` or `keras`), seed, where it was measured, and what `facet evaluate` said.
Found = dict[str, Any]


@dataclass(frozen=True)
class Place:
    """Where everything lies.

    Attributes:
        work: packed files, runs and results.
        data, weights: folders of images and of pretrained weights.
        say: takes a sentence a run.
    """

    work: Path
    data: Path
    weights: Path
    say: Say


def run_all(experiments: Sequence[Experiment], place: Place, known: Sequence[Found]) -> Iterator[list[Found]]:
    """Gives what every run shows, seed by seed, so that the contenders take turns.

    Args:
        experiments: to run.
        place: where everything lies.
        known: what earlier calls have found; it is not made again.
    """
    made = {(one["experiment"], one["who"], one["seed"]) for one in known}
    for experiment in experiments:
        for seed in experiment.seeds:
            for who in experiment.contenders():
                if (experiment.name, who, seed) not in made:
                    place.say(f"{experiment.name}, {who}, seed {seed}")
                    told = {"experiment": experiment.name, "who": who, "seed": seed}
                    yield [told | one for one in _run(experiment, who, seed, place)]


def _run(experiment: Experiment, who: str, seed: int, place: Place) -> list[Found]:
    if who == "keras":
        return _keras_run(experiment, seed, place)
    return _facet_run(experiment, who, seed, place)


def _facet_run(experiment: Experiment, who: str, seed: int, place: Place) -> list[Found]:
    run = f"{experiment.name}-{experiment.contenders().index(who)}-{seed}"
    data = _packed(experiment.tree, experiment.packing, place)
    files = {name: place.weights / file for name, file in WEIGHTS.items()}
    told = [option.format(**files) for option in experiment.variants.get(who, ())]
    options, weights = [*experiment.schedule.options(), *experiment.more, *told], files[experiment.weights]
    common = ["--run", run, "--label", experiment.label, "--weights", weights, "--seed", seed, *options]
    if experiment.folds:
        folds = json.loads(_facet(place, "train", data, "--folds", *common, "--json"))["folds"]
        kept = [{name: fold[name] for name in ("fold", "count", "metrics")} for fold in folds]
        return [{"measured_on": experiment.tree} | fold for fold in kept]
    _facet(place, "train", data, *common)
    return _measured(run, experiment, data, place)


def _keras_run(experiment: Experiment, seed: int, place: Place) -> list[Found]:
    data = _packed(experiment.tree, experiment.packing, place)
    model = place.work / f"{experiment.name}-keras-{seed}.keras"
    weights = place.weights / WEIGHTS[experiment.weights]
    options = experiment.schedule.options()
    whom = ["--label", experiment.label, "--seed", str(seed)]
    _process(place, [sys.executable, "-m", "benchmarks.accuracy.plain_fit", data, weights, model, *whom, *options])
    return _measured(str(model), experiment, data, place)


def _measured(target: str, experiment: Experiment, data: Path, place: Place) -> list[Found]:
    """Measures a model on the test split of its own data, and on all of every further tree."""
    found = [(experiment.tree, data, "test")]
    found += [(tree, _packed(tree, (), place), "all") for tree in experiment.elsewhere]
    results = []
    for tree, file, split in found:
        told = json.loads(_facet(place, "evaluate", target, "--data", file, "--split", split, "--json"))
        results.append({"measured_on": tree, "split": split} | {name: told[name] for name in _KEPT})
    return results


def _packed(tree: str, options: tuple[str, ...], place: Place) -> Path:
    file = place.work / f"{'-'.join([tree.replace('/', '-'), *options]).replace(' ', '')}.h5"
    if not file.exists():
        _facet(place, "pack", place.data / tree, file, *options)
    return file


def _facet(place: Place, *arguments: object) -> str:
    return _process(place, [sys.executable, "-m", "scripts", *arguments])


def _process(place: Place, command: Sequence[object]) -> str:
    """Runs a command from the repository with its runs in the work folder; gives what it prints."""
    root = Path(__file__).resolve().parents[2]
    surroundings = os.environ | {"FACET_HISTORY": str(place.work / "history"), "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [str(part) for part in command], cwd=root, env=surroundings, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}: {done.stderr.strip()[-2000:]}")
    return done.stdout
