"""Trainings that are to be killed: what they do, and how each ends itself at a chosen moment."""

import os
import signal
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Death:
    """Where a training ends.

    Attributes:
        event: empty for never, else one of these; epochs and done steps count from 1:
            `begin PHASE`, before its first step; `step PHASE EPOCH STEP`, when it is done; `validation PHASE EPOCH` and
            `save PHASE EPOCH`, as they begin, the first save of that epoch; `epoch PHASE EPOCH`, when it is measured.
        after: seconds from there; 0 is that very moment.
    """

    event: str = ""
    after: float = 0.0

    def happens(self, event: str) -> None:
        """Kills this process with SIGKILL where this is its moment, or soon after it."""
        if event != self.event:
            return
        if self.after:
            threading.Thread(target=self._later, daemon=True).start()
        else:
            os.kill(os.getpid(), signal.SIGKILL)

    def _later(self) -> None:
        time.sleep(self.after)
        os.kill(os.getpid(), signal.SIGKILL)


def deterministic() -> None:
    """Makes the same operations give the same bits again, as `facet train` does; before anything is computed."""
    import tensorflow as tf

    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.experimental.enable_op_determinism()


@dataclass(frozen=True)
class Training:
    """What Facet and its peers train alike.

    Attributes:
        folder: of what a run leaves, its own.
        data: packed file.
        form: which of its forms a program shall take.
        death: where it ends.
        epochs: of each phase.
        every_steps: between two checkpoints.
        side: of the images, in pixels; alpha: MobileNet's width.
        batch, units, dropout, trained_layers, seed, rates: as Facet's settings; `rates` by phase.
    """

    folder: Path
    data: Path
    form: str = "-"
    death: Death = field(default_factory=Death)
    epochs: int = 2
    every_steps: int = 3
    side: int = 64
    alpha: float = 0.25
    batch: int = 16
    units: int = 16
    dropout: float = 0.4
    trained_layers: int = 8
    seed: int = 0
    rates: dict[str, float] = field(default_factory=lambda: {"warm_up": 1e-3, "fine_tuning": 1e-4})

    @classmethod
    def of(cls, given: dict[str, Any]) -> "Training":
        """Reads it from JSON's values, `folder`, `data`, `form` and `death` among them."""
        paths = {name: Path(given[name]) for name in ("folder", "data")}
        return cls(**(given | paths | {"death": Death(**given["death"])}))
