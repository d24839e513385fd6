"""How soon a second run trains on what a first one has cached: seconds from opening the data to its first step.

It takes the settings of a run that is there, under another name. Prints one JSON line; everything is imported before,
and the training ends where its first step would begin.

    python -m benchmarks.peers.facet_second_run first
"""

import argparse
import json
import time

import keras
import tensorflow as tf

from hdf5_helper.progress import Silent, no_words
from models.interface.settling import Settled
from models.interface.training import train
from models.training.distribution.replicas import Replicas
from models.training.observers import Observer
from models.training.runs import Run
from models.training.settings_file import load_settings


class _BegunError(Exception):
    """The first step is about to begin."""


class _FirstStep(Observer):
    name = "first step"

    def begin_step(self, step: int) -> None:  # noqa: ARG002
        raise _BegunError


def seconds(name: str) -> float:
    """Gives the time from the call that opens the data to the first step; building the network is in it."""
    settings = load_settings(Run(name).config)
    if settings.deterministic:  # as `facet train` does
        tf.config.threading.set_inter_op_parallelism_threads(1)
        tf.config.experimental.enable_op_determinism()
    again = Settled(Run(f"{name}-again"), settings, {}, resumed=False, overwrite=True)
    replicas = Replicas()
    keras.config.floatx()
    started = time.perf_counter()
    try:
        train(again, replicas=replicas, observers=(_FirstStep(),), say=no_words, progress=Silent())
    except _BegunError:
        return time.perf_counter() - started
    raise RuntimeError(f"run {name}: trained no step, expected an epoch at least")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    print(json.dumps({"figure": seconds(parser.parse_args().name)}), flush=True)  # noqa: T201
