"""`--from RUN@CHECKPOINT`: the checkpoint of another run that a new run starts from."""

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hdf5_helper.errors import FacetError
from models.training.checkpoints import STATE_MEMBER, check_whole
from models.training.runs import Run
from models.training.setting_names import SHAPING
from models.training.settings import Settings, flat
from models.training.settings_file import load_settings
from models.weights import WeightsFile


@dataclass(frozen=True)
class Start:
    """A checkpoint to start from.

    Attributes:
        run: that it belongs to.
        path: of the `.keras` file.
        phase: `warm_up` or `fine_tuning`, where it was written.
        digest: XXH3-128 of the file, hex.
        settings: of its run.
    """

    run: Run
    path: Path
    phase: str
    digest: str
    settings: Settings

    @property
    def text(self) -> str:
        """Gives `RUN@NAME`, which holds wherever the history lies, and when the best or last one has become another."""
        return f"{self.run.name}@{self.path.stem}"

    def check_shape(self, chosen: dict[str, Any]) -> None:
        """Refuses what would give the model another shape; `chosen` are settings that the user gave."""
        before = flat(self.settings)
        for name in SHAPING:
            value = chosen.get(name, before[name])
            if name == "weights" and value not in ("none", "imagenet", before[name]):
                value = str(Path(value).absolute())
            if value != before[name]:
                raise FacetError(
                    f"{name}: the checkpoint of run {self.run.name!r} was made with {before[name]}, found {value};"
                    " expected the same"
                )


def find_start(text: str) -> Start:
    """Finds `RUN`, `RUN@best`, `RUN@last` or `RUN@NAME`, and makes sure that the file is whole.

    Raises:
        FacetError: no such run or checkpoint, or a damaged one.
    """
    name, _at, which = text.partition("@")
    run = Run.open(name)
    path = _checkpoint(run, which or "best")
    check_whole(path)
    return Start(run, path, _phase_of(path), WeightsFile(path).digest(), load_settings(run.config))


def start_checkpoint(settings: Settings) -> Path:
    """Gives the file of `settings.start`.

    Raises:
        FacetError: it is gone, or is not the one that the run was begun with.
    """
    try:
        start = find_start(settings.start)
    except FacetError as error:
        raise FacetError(f"the run begins from {settings.start}, and has no checkpoint of its own: {error}") from None
    if start.digest != settings.start_digest:
        raise FacetError(
            f"{start.path}: has changed since the run began from it, expected digest {settings.start_digest},"
            f" found {start.digest}"
        )
    return start.path


def _checkpoint(run: Run, which: str) -> Path:
    if which == "best" and run.pointed("best") is None and run.pointed("latest") is not None:
        raise FacetError(f"run {run.name!r}: has no best checkpoint yet, expected --from {run.name}@last")
    path = run.checkpoint(which)
    if path.parent != run.checkpoints:
        raise FacetError(f"--from {run.name}@{which}: expected best, last or the name of a checkpoint of this run")
    return path


def _phase_of(path: Path) -> str:
    """Gives the phase that a checkpoint was written in."""
    with zipfile.ZipFile(path) as archive:
        return str(json.loads(archive.read(STATE_MEMBER))["phase"])
