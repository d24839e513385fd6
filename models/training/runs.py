"""A run is a folder: `history/NAME/`. Where its files lie, who may write, which checkpoint is meant."""

import json
import math
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hdf5_helper.atomic import write_text
from hdf5_helper.errors import FacetError, did_you_mean
from hdf5_helper.locking import try_lock
from models.training.checkpoints import checkpoint_place
from models.training.state import Best

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*(/[A-Za-z0-9][A-Za-z0-9._+-]*)*")


def history_folder() -> Path:
    """Gives the folder of all runs: `$FACET_HISTORY`, else `history` under the current folder."""
    return Path(os.environ.get("FACET_HISTORY", "history"))


#: What a training leaves in its run's folder; exports are the user's.
_OWN = ("config.yaml", "epochs.csv", "confusion.csv", "curves.png", "evaluation", "checkpoints", "tensorboard")


class Run:
    """The folder of one training.

    Attributes:
        name: such as `gender-mobilenet-1`.
        folder: `history/NAME`.
    """

    def __init__(self, name: str) -> None:
        if not _NAME.fullmatch(name):
            raise FacetError(
                f"run name {name!r}: expected letters, digits, '.', '_', '+', '-', not starting with '.' or '-'"
            )
        self.name, self.folder = name, history_folder() / name

    @classmethod
    def open(cls, name: str) -> "Run":
        """Gives an existing run; raises FacetError with the nearest name otherwise."""
        run = cls(name)
        if not run.exists():
            names = run_names()
            hint = did_you_mean(name, names) if names else "there are no runs yet"
            raise FacetError(f"run {name!r}: not in {history_folder()}, {hint}")
        return run

    def exists(self) -> bool:
        """Says whether a training has begun under this name."""
        return (self.folder / "config.yaml").is_file()

    @property
    def config(self) -> Path:
        """The resolved configuration."""
        return self.folder / "config.yaml"

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints."""
        return self.folder / "checkpoints"

    def create(self) -> None:
        """Makes the run's folder."""
        self.checkpoints.mkdir(parents=True, exist_ok=True)

    def clear(self) -> None:
        """Takes away what an earlier training of this name left, but for exports."""
        for name in _OWN:
            path = self.folder / name
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def point(self, which: str, checkpoint: str, **more: Any) -> None:
        """Makes `latest` or `best` mean a checkpoint file."""
        write_text(self.checkpoints / f"{which}.json", json.dumps({"checkpoint": checkpoint, **more}, indent=2) + "\n")

    def pointed(self, which: str) -> str | None:
        """Gives the file name that `latest` or `best` means, None before the first."""
        values = self._pointer(which)
        return str(values["checkpoint"]) if values else None

    def best(self) -> Best | None:
        """Gives the best epoch as `best.json` has it, None before the first or where its checkpoint is gone."""
        values = self._pointer("best")
        if values is None or not {"value", "phase", "epoch"} <= values.keys():
            return None
        if not (self.checkpoints / values["checkpoint"]).is_file():
            return None
        value = math.nan if values["value"] is None else values["value"]
        return Best(value, values["phase"], values["epoch"], values["checkpoint"])

    def _pointer(self, which: str) -> dict[str, Any] | None:
        """Gives what a pointer says, None where there is none or it is damaged: the names of the files tell as much."""
        try:
            values = json.loads((self.checkpoints / f"{which}.json").read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return None
        return values if isinstance(values, dict) and "checkpoint" in values else None

    def checkpoint_names(self) -> list[str]:
        """Gives the names of all checkpoint files, in the order of the training."""
        return sorted((path.name for path in self.checkpoints.glob("[!.]*.keras")), key=checkpoint_place)

    def checkpoint(self, which: str = "best") -> Path:
        """Gives the path of a checkpoint.

        Args:
            which: `best`, `last`, a file name or stem in `checkpoints/`, or a path.
        """
        if which in ("best", "last"):
            name = self.pointed("best" if which == "best" else "latest")
            if name is None:
                only = "only a last one, expected --checkpoint last" if self.pointed("latest") else "none yet"
                raise FacetError(f"run {self.name!r}: has no {which} checkpoint, {only}")
            return self.checkpoints / name
        for path in (self.checkpoints / which, self.checkpoints / f"{which}.keras", Path(which)):
            if path.is_file():
                return path
        stems = [Path(name).stem for name in self.checkpoint_names()]
        raise FacetError(f"checkpoint {which!r} of run {self.name!r}: {did_you_mean(which, ['best', 'last', *stems])}")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps a second training off this run while it lasts.

        Raises:
            FacetError: another process trains it now.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.folder / ".lock", "a", encoding="utf-8") as file:
            if not try_lock(file):
                raise FacetError(f"run {self.name!r}: another process is training it now")
            for part in self.checkpoints.glob(".*.part.keras"):  # what a kill in the middle of a save left
                part.unlink()
            yield


def run_names() -> list[str]:
    """Gives the names of all runs, sorted."""
    root = history_folder()
    return sorted(path.parent.relative_to(root).as_posix() for path in root.rglob("config.yaml"))


def new_run_name(stem: str) -> str:
    """Gives the first free name of the form `STEM-1`, `STEM-2` and so on."""
    number = 1
    while (history_folder() / f"{stem}-{number}").exists():
        number += 1
    return f"{stem}-{number}"
