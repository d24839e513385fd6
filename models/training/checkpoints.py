"""A checkpoint is one `.keras` file that plain Keras opens, with the training's state in members of its own.

Keras writes weights and optimizer variables by position; Facet adds the state, the description, the surroundings and a
digest of all variables, so that nothing that Keras leaves out in silence (an optimizer of another phase) goes unseen.
"""

import json
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from hdf5_helper.errors import FacetError
from models.backbones.grouped import group_natively
from models.description import ModelDescription
from models.model_file import DESCRIPTION_MEMBER, save_model_file
from models.training.phase import FINE_TUNING, WARM_UP
from models.training.state import TrainingState

STATE_MEMBER = "facet/state.json"

_NAME = re.compile(rf"(?P<phase>{WARM_UP}|{FINE_TUNING})-epoch-(?P<epoch>\d+)(-step-(?P<step>\d+))?\.keras")


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint file gives back.

    Attributes:
        model: keras.Model, compiled with its optimizer and no loss.
        description: what the model is for.
        state: the place of the training.
        surroundings: what the bits depended on when it was written, see `models.training.surroundings`.
    """

    model: Any
    description: ModelDescription
    state: TrainingState
    surroundings: dict[str, str]


def checkpoint_name(phase: str, epoch: int, step: int = 0) -> str:
    """Gives `warm_up-epoch-0002.keras`, or `warm_up-epoch-0003-step-000300.keras` within the third epoch."""
    return f"{phase}-epoch-{epoch:04d}.keras" if not step else f"{phase}-epoch-{epoch + 1:04d}-step-{step:06d}.keras"


def checkpoint_place(name: str) -> tuple[int, int, int]:
    """Gives a sort key of a checkpoint's file name: phase, epochs done, steps of the next; other names come first."""
    found = _NAME.fullmatch(name)
    if found is None:
        return (-1, 0, 0)
    step = int(found["step"] or 0)
    return ((WARM_UP, FINE_TUNING).index(found["phase"]), int(found["epoch"]) - bool(step), step)


def save_checkpoint(
    path: Path, model: Any, description: ModelDescription, state: TrainingState, surroundings: dict[str, str]
) -> None:
    """Writes a checkpoint, whole or not at all.

    Raises:
        FacetError: it could not be written, or a variable is not finite; earlier checkpoints are untouched.
    """
    if not all(np.isfinite(variable.numpy()).all() for variable in _variables(model)):
        raise FacetError(f"{path}: not written, since weights are no longer finite; try a lower learning rate")
    values = state.to_dict() | {"variables_digest": variables_digest(model), "surroundings": surroundings}
    try:
        save_model_file(model, description, path, members={STATE_MEMBER: values})
    except (OSError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:160]
        raise FacetError(
            f"{path}: the checkpoint could not be written ({reason}), earlier ones are untouched"
        ) from error


def load_checkpoint(path: Path) -> Checkpoint:
    """Reads a checkpoint back, and makes sure that every variable is the one that was saved.

    Raises:
        FacetError: the file is missing, damaged, or no checkpoint of Facet.
    """
    import keras

    with _damage_explained(path):
        with zipfile.ZipFile(path) as archive:
            values = json.loads(archive.read(STATE_MEMBER))
            description = ModelDescription.from_dict(json.loads(archive.read(DESCRIPTION_MEMBER)))
        model = group_natively(keras.models.load_model(path))
    digest, surroundings = values.pop("variables_digest"), values.pop("surroundings")
    if variables_digest(model) != digest:
        raise FacetError(f"{path}: its variables are not the ones that were saved, expected digest {digest}")
    return Checkpoint(model, description, TrainingState.from_dict(values), surroundings)


def check_whole(path: Path) -> None:
    """Makes sure that a checkpoint has all its bytes, without building its model.

    Raises:
        FacetError: the file is missing, damaged, or no checkpoint of Facet.
    """
    with _damage_explained(path), zipfile.ZipFile(path) as archive:
        archive.getinfo(STATE_MEMBER), archive.getinfo(DESCRIPTION_MEMBER)
        damaged = archive.testzip()
        if damaged is not None:
            raise ValueError(f"checksum of {damaged}")


@contextmanager
def _damage_explained(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise FacetError(f"{path}: no such checkpoint") from None
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, KeyError, ValueError, OSError) as error:
        reason = " ".join(str(error).split())[:160]
        raise FacetError(f"{path}: damaged, or not a checkpoint that Facet wrote ({reason})") from None


def variables_digest(model: Any) -> str:
    """Gives the XXH3-128 (hex) of all weights and optimizer variables of a compiled model, in order."""
    hasher = xxhash.xxh3_128()
    for variable in _variables(model):
        hasher.update(np.ascontiguousarray(variable.numpy()).tobytes())
    return hasher.hexdigest()


def _variables(model: Any) -> tuple[Any, ...]:
    return (*model.weights, *(model.optimizer.variables if model.optimizer else ()))
