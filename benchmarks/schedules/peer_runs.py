"""A peer in a schedule: its program in its own Python, and the lines that it prints."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.contenders import Contender
from benchmarks.peers.schedule_job import ScheduleJob
from benchmarks.processes import AbsentError, python_of
from benchmarks.schedules.facet_runs import Place, slug
from benchmarks.schedules.preparing import Ready
from benchmarks.schedules.processes import Ended, run
from benchmarks.schedules.trials import Epoch, Trial

_ROOT = Path(__file__).resolve().parents[2]


def peer_trial(contender: Contender, ready: Ready, seed: int, place: Place) -> Trial:
    """Trains once.

    Raises:
        AbsentError: the peer's environment or a package is not there, or it failed.
    """
    job = told(contender.variant, ready.job(seed))
    log = place.folder / f"log-{ready.workload.name}-{slug(contender)}.txt"
    python = python_of(contender, place.peers)
    surroundings = {"PYTHONPATH": str(_ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    ended = run(
        [python, "-P", "-m", f"benchmarks.peers.{contender.program}", job.to_text()], place.folder, log, surroundings
    )
    if ended.code:
        absent = ended.last_words.startswith("ModuleNotFoundError")
        raise AbsentError(f"{'absent' if absent else 'failed'}: {ended.last_words}")
    return of_lines(ended)


def told(variant: str, job: ScheduleJob) -> ScheduleJob:
    """Gives a job with what a contender's variant says: words such as `precision=mixed_bfloat16 augmentation=off`."""
    pairs = [word.partition("=")[::2] for word in variant.split() if word != "-"]
    values: dict[str, Any] = {name: value != "off" if name == "augmentation" else value for name, value in pairs}
    return replace(job, **values)


def of_lines(ended: Ended) -> Trial:
    """Gives the trial of what a peer printed, see `benchmarks.peers.schedule_job`; pauses are taken away."""
    lines = [(at, json.loads(text)) for at, text in ended.lines if text.startswith("{")]
    if not lines:
        raise AbsentError(f"failed: it told nothing; {ended.last_words}")
    epochs = tuple(
        Epoch(line["phase"], line["epoch"], line["seconds"], line["images"], at - line["paused"], line["accuracy"])
        for at, line in lines
        if "epoch" in line
    )
    last: dict[str, Any] = lines[-1][1]
    return Trial(
        seconds=ended.seconds - last.get("paused", 0.0),
        cpu=ended.cpu - last.get("paused_cpu", 0.0),
        memory=ended.memory,
        elsewhere=ended.elsewhere,
        epochs=epochs,
        began=epochs[0].at - epochs[0].seconds if epochs else 0.0,
        accuracy=last.get("accuracy"),
        figure=last.get("figure"),
    )
