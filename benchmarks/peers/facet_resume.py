"""Facet's own training for the same: one `models.interface.training.train`, started again as `facet train` would be."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from benchmarks.peers.dying import Death, Training, deterministic
from hdf5_helper.progress import Silent, no_words
from models.training.keeper import CheckpointKeeper
from models.training.observers import Observer
from models.training.state import TrainingState


def train(job: Training) -> str:
    """Trains from the beginning or from the newest checkpoint to the end; gives the digest of all weights (hex)."""
    from models.interface.agreeing import agreed
    from models.interface.settling import TrainRequest, settle
    from models.interface.training import train as train_run
    from models.training.checkpoints import load_checkpoint
    from models.training.distribution.devices import parse_devices
    from models.training.distribution.gathering import gathered

    os.environ["FACET_HISTORY"] = str(job.folder)
    settled = settle(TrainRequest(Path(job.data), "run", sets=_settings(job)))
    deterministic()
    watcher = _Watcher(job.death)
    watcher.watch_saves()
    with gathered(parse_devices("cpu"), None, 60.0, no_words) as replicas:
        train_run(agreed(settled, replicas), replicas=replicas, observers=[watcher], say=no_words, progress=Silent())
    hasher = xxhash.xxh3_128()
    for weight in load_checkpoint(settled.run.checkpoint("last")).model.get_weights():
        hasher.update(np.ascontiguousarray(weight).tobytes())
    return hasher.hexdigest()


def _settings(job: Training) -> dict[str, Any]:
    return {
        "backbone": "mobilenet",
        "backbone_arguments": {"alpha": job.alpha},
        "weights": "none",
        "label": "gender",
        "image_size": str(job.side),
        "batch_size": job.batch,
        "units": [job.units],
        "dropout": job.dropout,
        "augment": "mirror",
        "schedule": "cosine",
        "optimizer": "adam",
        "warm_up_epochs": job.epochs,
        "fine_tuning_epochs": job.epochs,
        "warm_up_learning_rate": job.rates["warm_up"],
        "fine_tuning_learning_rate": job.rates["fine_tuning"],
        "trainable_layers": str(job.trained_layers),
        "fine_tuning_from": "last",
        "seed": job.seed,
        "checkpoint_every": 1,
        "checkpoint_every_steps": job.every_steps,
        "checkpoint_every_minutes": 0,
    }


class _Watcher(Observer):
    """Says what happens, in the words of `Death`."""

    name = "watcher"

    def __init__(self, death: Death) -> None:
        self._death, self._phase, self._epoch = death, "", 0

    def begin_phase(self, model: Any, phase: str, epochs: int, steps: int, epoch: int) -> None:  # noqa: ARG002
        self._phase, self._epoch, self._steps = phase, epoch, steps
        self._death.happens(f"begin {phase}")

    def begin_epoch(self, epoch: int) -> None:
        self._epoch = epoch

    def end_step(self, step: int, figures: dict[str, float]) -> None:  # noqa: ARG002
        self._death.happens(f"step {self._phase} {self._epoch} {step + 1}")
        if step + 1 == self._steps:
            self._death.happens(f"validation {self._phase} {self._epoch}")

    def end_epoch(self, row: dict[str, Any]) -> None:
        self._death.happens(f"epoch {self._phase} {row['epoch']}")

    def watch_saves(self) -> None:
        """Lets every save say that it begins."""
        save = CheckpointKeeper.save

        def saving(keeper: CheckpointKeeper, model: Any, state: TrainingState) -> str:
            self._death.happens(f"save {self._phase} {self._epoch}")
            return save(keeper, model, state)

        CheckpointKeeper.save = saving  # type: ignore[method-assign, assignment]


if __name__ == "__main__":
    print(json.dumps({"digest": train(Training.of(json.loads(sys.argv[1])))}))  # noqa: T201
