"""Runs a settled training: on its devices, with the other workers there are, under the user's eyes."""

import os
from typing import Any

from hdf5_helper.progress import Silent, no_words
from scripts.console import Console
from scripts.native_logs import quiet_native_logs
from scripts.tensorflow_runtime import deterministic_tensorflow, trains_on_gpus


def run_training(settled: Any, console: Console, *, verbose: bool) -> int:
    """Trains, and gives the exit code: 0, or 128 and the signal that stopped it.

    Args:
        settled: a `models.interface.settling.Settled`.
        console: speaks in the chief alone; the other workers say that they are there.
        verbose: show TensorFlow's own log lines.
    """
    from models.training.distribution.cluster import cluster_from
    from models.training.distribution.devices import check_with_cluster, parse_devices
    from models.training.stopping import Stopped

    devices, cluster = parse_devices(settled.options.devices), cluster_from(os.environ)
    check_with_cluster(devices, cluster)
    quiet_native_logs(verbose=verbose)
    # on GPUs it is slower, and the same bits are not promised: only where the user asks for it
    asked = settled.origins.get("deterministic", "built-in") != "built-in"
    if settled.settings.deterministic and (asked or not trains_on_gpus(devices.kind)):
        deterministic_tensorflow()
    try:
        _train(settled, devices, cluster, console)
    except Stopped as stopped:
        console.say(f"{stopped}; go on with: facet train --resume {settled.run.name}")
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


def _observers(settled: Any, console: Console) -> list[Any]:
    from models.training.settings import flat
    from models.training.tensorboard import TensorBoard
    from models.training.trackers import Tracking

    if not settled.options.tensorboard:
        return []
    folder = settled.run.folder / "tensorboard"
    return [Tracking(TensorBoard(folder), settled.run.name, flat(settled.settings), console.say)]
