"""Trains runs that die: killed at chosen events, at chosen calls that change their files, or after some seconds.

Run as a program it is a process that has imported everything once, and forks one process for each life of a run; with
`kill_shim.c` preloaded (see `kills.build_shim`) a life can end before, in or after any call that changes the run's
folder. Everything that a life does is written into its log, a line each, so nothing is lost by a kill.
"""

import contextlib
import ctypes
import gc
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import xxhash

from hdf5_helper.progress import Silent
from models.backbones.registry import BACKBONES, Backbone
from models.training.feeding import EvaluationFeed, TrainingFeed
from models.training.observers import Observer

ROOT = Path(__file__).resolve().parent.parent

BEFORE, TORN, AFTER = range(3)


@dataclass(frozen=True)
class End:
    """Where a life ends.

    Attributes:
        event: as the log has it, such as `end_step fine_tuning 1 3`; empty for the end of the training.
        call: of the calls that change the run's folder after that event, from 0; -1 for the event itself.
        moment: before the call, torn in its middle, or after it.
        seconds: after so many instead, whatever is being done.
        signal: that ends it.
    """

    event: str = ""
    call: int = -1
    moment: int = BEFORE
    seconds: float | None = None
    signal: int = signal.SIGKILL


@dataclass(frozen=True)
class Job:
    """One life of a run.

    Attributes:
        history: folder of runs.
        data: packed file.
        run: name.
        log: file that takes what happens.
        sets: settings by flat name; at a resume by name alone, those that are to change.
        end: where it ends.
        resume: go on by the run's name alone, as `--resume` does.
        start_from: checkpoint of another run that it begins from, as `--from` has it.
        cache_limit: bytes that kept activations may take.
    """

    history: str
    data: str
    run: str
    log: str
    sets: dict[str, Any]
    end: End = field(default_factory=End)
    resume: bool = False
    start_from: str | None = None
    cache_limit: int | None = None


@dataclass(frozen=True)
class Life:
    """What a life left in its log.

    Attributes:
        status: exit code, or minus the number of the signal that it died of.
        lines: of the log: `@EVENT` of ours, `CALL FILE` of the shim's.
        seconds: that it took.
    """

    status: int
    lines: tuple[str, ...]
    seconds: float

    @property
    def events(self) -> list[str]:
        return [line[1:] for line in self.lines if line.startswith("@")]

    def told(self, kind: str) -> list[str]:
        """Gives what follows a word in the events that begin with it."""
        return [event[len(kind) + 1 :] for event in self.events if event.startswith(f"{kind} ")]

    @property
    def began(self) -> str:
        """What it said that it began from: a checkpoint's name, `nothing`, or `no word`."""
        told = self.told("said")
        names = [text.rpartition(" ")[2] for text in told if text.startswith("resuming ")]
        anew = "start new" in self.events or any(text.endswith("beginning anew") for text in told)
        return names[0] if names else "nothing" if anew else "no word"


class Trainings:
    """A process that forks lives: `with Trainings(shim) as trainings: trainings.live(job)`."""

    def __init__(self, shim: Path | None = None) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            env=_environment(shim),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def live(self, job: Job) -> Life:
        self._process.stdin.write(json.dumps(asdict(job)) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        return Life(answer["status"], _lines(Path(job.log)), answer["seconds"])


def live_alone(job: Job) -> Life:
    """Does the same in a new process that forks nothing, as `facet train` does."""
    started = time.monotonic()
    command = [sys.executable, __file__, json.dumps(asdict(job))]
    done = subprocess.run(command, env=_environment(None), stderr=subprocess.DEVNULL, check=False)
    return Life(done.returncode, _lines(Path(job.log)), time.monotonic() - started)


def _environment(shim: Path | None) -> dict[str, str]:
    preload = {"LD_PRELOAD": str(shim)} if shim else {}
    return {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3", **preload}


def _lines(log: Path) -> tuple[str, ...]:
    return tuple(log.read_text(encoding="utf-8").splitlines())


# ---- a life, in its own process


class _Watcher(Observer):
    """Writes down what happens, and ends the life where it is to end."""

    name = "watcher"

    def __init__(self, job: Job) -> None:
        self._end, self._folder = job.end, Path(job.history) / job.run
        self._log = os.open(job.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._phase, self._epoch = "", 0
        self._arm(-1, BEFORE)

    def happens(self, *words: object) -> None:
        event = " ".join(map(str, words))
        os.write(self._log, f"@{event}\n".encode())
        if event == self._end.event:
            if self._end.call < 0:
                os.kill(os.getpid(), self._end.signal)
            else:
                self._arm(self._end.call, self._end.moment)

    def _arm(self, call: int, moment: int) -> None:
        with contextlib.suppress(AttributeError):  # the shim is not there
            arm = ctypes.CDLL(None).kill_shim_arm
            arm(os.fsencode(self._folder), ctypes.c_long(call), moment, self._log)

    def begin_phase(self, model: Any, phase: str, epochs: int, steps: int, epoch: int) -> None:  # noqa: ARG002
        self._phase, self._epoch = phase, epoch
        self.happens("begin_phase", phase, epoch)

    def begin_epoch(self, epoch: int) -> None:
        self._epoch = epoch

    def begin_step(self, step: int) -> None:
        self.happens("begin_step", self._phase, self._epoch, step)

    def end_step(self, step: int, figures: dict[str, float]) -> None:  # noqa: ARG002
        self.happens("end_step", self._phase, self._epoch, step)

    def end_epoch(self, row: dict[str, Any]) -> None:
        self.happens("end_epoch", self._phase, row["epoch"])

    def watch_batches(self) -> None:
        """Writes down every batch that is read: training by (numbered epoch, step) with a digest of all its bytes."""
        train, measure = TrainingFeed.batch, EvaluationFeed.batch

        def batch(feed: TrainingFeed, epoch: int, step: int) -> Any:
            made = train(feed, epoch, step)
            rows = feed._generator.indices(epoch, step)
            self.happens("batch", epoch, step, _bytes_of(made), *rows)
            return made

        def measured(feed: EvaluationFeed, step: int) -> Any:
            self.happens("validate", self._phase, self._epoch, step)
            return measure(feed, step)

        TrainingFeed.batch, EvaluationFeed.batch = batch, measured


def _bytes_of(batch: Any) -> str:
    hasher = xxhash.xxh3_64(np.ascontiguousarray(batch.inputs).tobytes())
    for values in (batch.targets, batch.weights, batch.counted):
        for name in sorted(values):
            hasher.update(values[name].tobytes())
    return hasher.hexdigest()


def _live(job: Job) -> int:
    """Trains as `facet train` does; gives the exit code."""
    from hdf5_helper.errors import FacetError
    from models.interface.agreeing import agreed
    from models.interface.settling import settle
    from models.interface.training import train
    from models.training.distribution.devices import parse_devices
    from models.training.distribution.gathering import gathered
    from models.training.stopping import Stopped
    from scripts.tensorflow_runtime import deterministic_tensorflow

    os.environ["FACET_HISTORY"] = job.history
    os.environ.pop("FACET_CACHE", None)  # activations are kept beside the runs
    watcher = _Watcher(job)
    watcher.watch_batches()

    def say(text: str) -> None:
        watcher.happens("said", text)

    try:
        settled = settle(_request(job))
        watcher.happens("start", "again" if settled.resumed else "new")
        deterministic_tensorflow()
        with gathered(parse_devices("cpu"), None, 60.0, say) as replicas:
            train(agreed(settled, replicas), replicas=replicas, observers=[watcher], say=say, progress=Silent())
    except (FacetError, Stopped) as error:
        say(str(error))
        return 128 + error.signal if isinstance(error, Stopped) else 1
    watcher.happens("complete")
    return 0


def _request(job: Job) -> Any:
    from models.interface.settling import RunOptions, TrainRequest

    options = RunOptions(cache_limit=job.cache_limit)
    names = {"resume": job.run} if job.resume else {"run": job.run}
    return TrainRequest(
        Path(job.data) if job.data else None, **names, sets=job.sets, start_from=job.start_from, options=options
    )


def _serve() -> None:
    import matplotlib.backends.backend_agg
    import matplotlib.figure  # noqa: F401
    import tensorflow as tf  # noqa: F401

    import models.interface.training  # noqa: F401

    _register_narrow()
    gc.freeze()
    for line in sys.stdin:
        job, started = _job_of(line), time.monotonic()
        Path(job.log).unlink(missing_ok=True)
        child = os.fork()
        if not child:
            _live_and_exit(job)
        if job.end.seconds is not None:
            time.sleep(job.end.seconds)
            os.kill(child, job.end.signal)
        _pid, status = os.waitpid(child, 0)
        answer = {"status": os.waitstatus_to_exitcode(status), "seconds": time.monotonic() - started}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _register_narrow() -> None:
    """Makes a backbone of two convolutions that train in no time one of the registry: `narrow`."""
    import keras
    from small_models import small_base

    def narrow(*, include_top: bool, weights: None, input_shape: tuple[int, int, int], name: str) -> Any:
        assert (include_top, weights, name) == (False, None, "backbone")
        return small_base(input_shape[0])

    keras.applications.Narrow = narrow
    BACKBONES["narrow"] = Backbone("narrow", "Narrow", "narrow_", BACKBONES["mobilenet"].preprocessing)


def _live_and_exit(job: Job) -> None:
    code = 2
    try:
        code = _live(job)
    except BaseException:  # noqa: BLE001 - a child never returns
        with open(job.log, "a", encoding="utf-8") as log:
            log.write("".join(f"@trace {line}\n" for line in traceback.format_exc().splitlines()))
    finally:
        os._exit(code)


def _job_of(text: str) -> Job:
    given = json.loads(text)
    return Job(**{**given, "end": End(**given["end"])})


if __name__ == "__main__":
    if len(sys.argv) > 1:
        _register_narrow()
        _live_and_exit(_job_of(sys.argv[1]))
    _serve()
