"""What earlier trials of precisions have found, remembered in one JSON file for all runs."""

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from hdf5_helper.atomic import write_text
from hdf5_helper.locking import try_lock
from hdf5_helper.machine import cpu
from hdf5_helper.progress import Say
from models.training.activations.place import cache_folder
from models.training.precision_choice import Trial
from models.training.settings import Settings
from models.training.surroundings import surroundings

_FORMAT, _VERSION = "facet-precision", 1

#: Answers kept, the newest: a few hundred bytes each.
_KEPT = 500

#: Seconds that another process is waited for; it holds the file for milliseconds.
_PATIENCE = 5.0

#: What a step's speed hangs on beside the network.
_OF_SPEED = ("tensorflow", "keras", "inter-op threads", "intra-op threads", "op determinism", "oneDNN", "CPU")


@dataclass(frozen=True)
class Answer:
    """A trial, and what it holds for.

    Attributes:
        circumstances: as `circumstances` gives them.
        trial: its figures.
    """

    circumstances: dict[str, str]
    trial: Trial


def circumstances(settings: Settings, rows: int, replicas: int) -> dict[str, str]:
    """Gives everything that decides which precision is faster, as text by name: processor, versions, network, batch.

    Args:
        settings: of the run.
        rows: that a replica computes at once.
        replicas: of this process, which share its processor.
    """
    now = surroundings(replicas)
    features = [name for name, present in cpu()["features"].items() if present]
    phase = settings.fine_tuning
    return {
        **{name: now[name] for name in _OF_SPEED},
        "instruction sets": " ".join(features),
        "oneDNN instruction sets": os.environ.get("ONEDNN_MAX_CPU_ISA", "default"),
        "replicas": str(replicas),
        "backbone": settings.backbone,
        "backbone_arguments": json.dumps(settings.backbone_arguments, sort_keys=True),
        "window": "x".join(map(str, settings.window)),
        "rows": str(rows),
        "trains": phase.trainable_layers if phase.epochs else "the head",
        "optimizer": (phase if phase.epochs else settings.warm_up).optimizer,
        "batch_normalization": settings.batch_normalization,
        "head": f"{', '.join(settings.label)} {settings.heads} {settings.head_shape}",
    }


def answers_file() -> Path:
    """Gives the file of all answers, which need not exist."""
    return cache_folder() / "precision.json"


def remembered(path: Path, now: Mapping[str, str]) -> Trial | None:
    """Gives what a trial under these very circumstances has found, None where there was none or the file is damaged."""
    fitting = [answer.trial for answer in _read(path) or [] if answer.circumstances == now]
    return fitting[-1] if fitting else None


def remember(path: Path, answer: Answer, say: Say) -> str:
    """Adds an answer to the file, in the place of an earlier one under the same circumstances.

    A file that is damaged or another's is replaced, which is said. Other processes may do the same at the same time.

    Returns:
        Where it is remembered, the end of a sentence, or why it is not.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _alone(path):
            before = _read(path)
            if before is None:
                say(f"{path}: is damaged or no list of Facet's precisions, begun anew")
            others = [one for one in before or [] if one.circumstances != answer.circumstances]
            kept = [asdict(one) for one in [*others, answer][-_KEPT:]]
            write_text(path, json.dumps({"format": _FORMAT, "version": _VERSION, "answers": kept}, indent=1) + "\n")
    except OSError as error:
        return f"not remembered ({path}: {error.strerror or error})"
    return f"remembered in {path}"


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Keeps other processes from reading, adding and writing at the same time."""
    until = time.monotonic() + _PATIENCE
    with open(path.with_name(f".{path.stem}.lock"), "a", encoding="utf-8") as file:
        while not try_lock(file):
            if time.monotonic() > until:
                raise TimeoutError(f"another process has held it for {_PATIENCE:g} s")
            time.sleep(0.01)
        yield


def _read(path: Path) -> list[Answer] | None:
    """Gives the answers of a file, none where there is no file, None where it is damaged or another's."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if (values["format"], values["version"]) != (_FORMAT, _VERSION):
            return None
        return [_answer(**value) for value in values["answers"]]
    except FileNotFoundError:
        return []
    except (ValueError, TypeError, KeyError, AttributeError, OSError, RecursionError):
        return None


def _answer(circumstances: dict[str, Any], trial: dict[str, Any]) -> Answer:
    """Makes an answer of JSON values; raises TypeError or ValueError for what cannot be one."""
    found = Trial(float(trial["gain"]), trial["agrees"], float(trial["seconds"]))
    fits = isfinite(found.gain) and found.gain > 0 and isfinite(found.seconds) and isinstance(found.agrees, bool)
    if not fits or not all(isinstance(value, str) for value in circumstances.values()):
        raise ValueError(f"expected an answer, found {trial}")
    return Answer(circumstances, found)
