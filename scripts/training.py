"""Runs a settled training: on its devices, with the other workers there are, under the user's eyes."""

import os
from collections.abc import Callable
from typing import Any

from hdf5_helper.progress import Silent, no_words
from scripts.console import Console, shown
from scripts.native_logs import quiet_native_logs
from scripts.tensorflow_runtime import deterministic_tensorflow, trains_on_gpus


def run_training(settled: Any, console: Console, *, verbose: bool) -> int:
    """Trains, and gives the exit code: 0, or 128 and the signal that stopped it.

    Args:
        settled: a `models.interface.settling.Settled`.
        console: speaks in the chief alone; the other workers say that they are there.
        verbose: show TensorFlow's own log lines.
    """
    devices, cluster = _prepared(settled, verbose=verbose)
    again = f"facet train --resume {settled.run.name}"
    return _until_stopped(lambda: _train(settled, devices, cluster, console), console, again)


def run_folds(runs: Any, console: Console, *, verbose: bool) -> int:
    """Trains and measures the folds of a `models.interface.folds.FoldRuns`; the rest as for `run_training`."""
    devices, cluster = _prepared(runs.runs[0], verbose=verbose)
    return _until_stopped(lambda: _train_folds(runs, devices, cluster, console), console, "the same command")


def _prepared(settled: Any, *, verbose: bool) -> tuple[Any, Any]:
    """Gives the devices and the cluster, and sets what TensorFlow is to be told before it starts."""
    from models.training.distribution.cluster import cluster_from
    from models.training.distribution.devices import check_with_cluster, parse_devices

    devices, cluster = parse_devices(settled.options.devices), cluster_from(os.environ)
    check_with_cluster(devices, cluster)
    quiet_native_logs(verbose=verbose)
    # on GPUs it is slower, and the same bits are not promised: only where the user asks for it
    asked = settled.origins.get("deterministic", "built-in") != "built-in"
    if settled.settings.deterministic and (asked or not trains_on_gpus(devices.kind)):
        deterministic_tensorflow()
    return devices, cluster


def _until_stopped(work: Callable[[], None], console: Console, again: str) -> int:
    from models.training.stopping import Stopped

    try:
        work()
    except Stopped as stopped:
        console.say(f"{stopped}; go on with: {again}")
        return 128 + stopped.signal
    return 0


def _train(settled: Any, devices: Any, cluster: Any, console: Console) -> None:
    from models.interface.training import train
    from models.training.distribution.gathering import gathered

    with gathered(devices, cluster, settled.options.worker_timeout, console.say) as replicas:
        if replicas.chief:
            run = train(
                settled, replicas=replicas, observers=_observers(settled, console), say=console.say, progress=console
            )
            console.say(f"the run is in {run.folder}; next: facet evaluate {run.name} --split test")
        else:
            console.say("trains along; the chief writes the run and says how it goes")
            train(settled, replicas=replicas, say=no_words, progress=Silent())


def _train_folds(runs: Any, devices: Any, cluster: Any, console: Console) -> None:
    from models.interface.folds import folds_table, train_folds
    from models.interface.training import train
    from models.training.distribution.gathering import gathered

    with gathered(devices, cluster, runs.runs[0].options.worker_timeout, console.say) as replicas:
        say, progress = (console.say, console) if replicas.chief else (no_words, Silent())

        def train_one(settled: Any) -> Any:
            observers = _observers(settled, console) if replicas.chief else []
            return train(settled, replicas=replicas, observers=observers, say=say, progress=progress)

        values = train_folds(runs, train_one, replicas=replicas, say=say, progress=progress)
        if not replicas.chief:
            return
        console.stop()
        if console.as_json:
            console.result(values)
            return
        console.say(folds_table(values))
        console.say(f"all figures are in {shown(runs.file)}; next: facet evaluate {runs.runs[0].run.name}")


def _observers(settled: Any, console: Console) -> list[Any]:
    from models.training.settings import flat
    from models.training.tensorboard import TensorBoard
    from models.training.trackers import Tracking

    if not settled.options.tensorboard:
        return []
    folder = settled.run.folder / "tensorboard"
    return [Tracking(TensorBoard(folder), settled.run.name, flat(settled.settings), console.say)]
