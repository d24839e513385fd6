"""Experiment trackers: one interface for all of them, and the observer that drives one without ever failing by it."""

import sys
from collections.abc import Sequence
from typing import Any, Protocol

from hdf5_helper.progress import Say, no_words
from models.training.observers import Observer
from models.training.state import Row
from models.training.stopping import Stopped


class Tracker(Protocol):
    """Takes a training's epochs somewhere else: a database, a server, files."""

    def begin(self, run: str, settings: dict[str, Any]) -> None:
        """Is called once a process, before the first row.

        Args:
            run: name of the run; a resumed one has the same.
            settings: as `config.yaml` has them.
        """

    def log(self, row: dict[str, Any]) -> None:
        """Takes a finished epoch.

        Args:
            row: as in `epochs.csv`, and `total_epochs`: epochs done over all phases, 0 for the validation before the
                first step. After a kill the epochs behind the last checkpoint come again, with equal values.
        """

    def end(self, status: str) -> None:
        """Is called last with `complete`, `stopped` (by a signal, to be resumed) or `failed`."""


class Tracking(Observer):
    """Drives one tracker. One that raises is warned of in a line and left alone from then on: no training ends by it.

    Args:
        tracker: to drive.
        run, settings: what `Tracker.begin` takes.
        say: takes the warning.
    """

    def __init__(self, tracker: Tracker, run: str, settings: dict[str, Any], say: Say = no_words) -> None:
        self.name = type(tracker).__name__
        self._tracker, self._run, self._settings, self._say = tracker, run, settings, say
        self._epochs, self._begun, self._failed = 0, False, False
        self._outer = sys.exception()  # a training inside somebody's `except` has not failed by that

    def catch_up(self, rows: Sequence[Row]) -> None:
        """Counts the epochs that are done."""
        self._epochs = sum(row["epoch"] > 0 for row in rows)

    def begin_epoch(self, epoch: int) -> None:  # noqa: ARG002  # a tracker sees finished epochs alone
        """Begins the tracking; not earlier, since only here it is known what a checkpoint gave back."""
        self._begin()

    def end_epoch(self, row: Row) -> None:
        """Gives the row to the tracker."""
        self._begin()
        self._epochs += row["epoch"] > 0
        self._try("log", dict(row) | {"total_epochs": self._epochs})

    def end(self) -> None:
        """Ends the tracking; how, follows from the exception that is under way."""
        error = sys.exception()
        status = "complete" if error is self._outer else "stopped" if isinstance(error, Stopped) else "failed"
        if self._begun:
            self._begun = False
            self._try("end", status)

    def _begin(self) -> None:
        if not self._begun:
            self._begun = True
            self._try("begin", self._run, self._settings)

    def _try(self, method: str, *arguments: Any) -> None:
        if self._failed:
            return
        try:
            getattr(self._tracker, method)(*arguments)
        except Exception as error:  # noqa: BLE001  # whatever a server does: the training is worth more
            self._failed = True
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:160]
            self._say(f"warning: {self.name} failed in {method} ({reason}), the training goes on without it")
