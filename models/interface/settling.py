"""Which run a `facet train` means, and with which settings: a new one, the same again, or a resume."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hdf5_helper.errors import FacetError
from hdf5_helper.reading.reader import HDF5Reader
from models.training.phases import FINE_TUNING
from models.training.resolve import resolve, typed_changes
from models.training.runs import Run, new_run_name
from models.training.settings import EXTENDABLE, NEUTRAL, Settings, load_origins, load_settings


@dataclass(frozen=True)
class TrainRequest:
    """What the user asked for.

    Attributes:
        data: the HDF5 file, None to take the run's own.
        run: name of the run, None for a made one.
        resume: name of the run to go on with, instead of `run`.
        given: options given, by setting name.
        sets: `--set` pairs.
        overwrite: begin anew under an existing name.
    """

    data: Path | None = None
    run: str | None = None
    resume: str | None = None
    given: dict[str, Any] = field(default_factory=dict)
    sets: dict[str, Any] = field(default_factory=dict)
    overwrite: bool = False


@dataclass(frozen=True)
class Settled:
    """A run and its settings.

    Attributes:
        resumed: the run exists and is gone on with.
        origins: where each setting came from, by name.
        overwrite: an existing run of that name may go.
    """

    run: Run
    settings: Settings
    origins: dict[str, str]
    resumed: bool
    overwrite: bool = False


def settle(request: TrainRequest) -> Settled:
    """Decides what to train, without touching any file.

    Raises:
        FacetError: a mistake in the request, or a run of that name with other settings (both sides shown).
    """
    if request.resume is not None:
        return _settle_resume(request)
    if request.data is None:
        raise FacetError("facet train: no data given, expected a packed HDF5 file, or --resume NAME")
    with HDF5Reader(request.data) as reader:
        resolved = resolve(request.given, request.sets, reader)
    settings = resolved.settings
    run = Run(request.run or new_run_name(f"{'-'.join(settings.label)}-{settings.backbone}"))
    if not run.exists() or request.overwrite:
        return Settled(run, settings, resolved.origins, resumed=False, overwrite=request.overwrite)
    differences = load_settings(run.config).differences(settings)
    if differences:
        raise FacetError(
            f"run {run.name!r} exists with other settings ({'; '.join(differences)}): expected the same ones to go on,"
            " another --run name, or --overwrite to begin anew"
        )
    return Settled(run, settings, resolved.origins, resumed=True)


def _settle_resume(request: TrainRequest) -> Settled:
    """Takes everything from the run, but for what the user gives anew."""
    run = Run.open(str(request.resume))
    before = load_settings(run.config)
    data = Path(request.data or before.data).absolute()
    if not data.exists():
        raise FacetError(
            f"run {run.name!r}: its data {data} is gone, expected `facet train FILE.h5 --resume {run.name}`"
        )
    with HDF5Reader(data) as reader:
        found = {"data": str(data), "images_digest": reader.images_digest, "index_digest": reader.index_digest}
    asked = typed_changes(request.sets | request.given, before.label) | found
    changes = {name: value for name, value in asked.items() if getattr(before, name) != value}
    settings = dataclasses.replace(before, **changes)
    _refuse_other_results(run, before, settings)
    origins = load_origins(run.config) | dict.fromkeys(changes, "option at resume")
    return Settled(run, settings, origins, resumed=not request.overwrite, overwrite=request.overwrite)


def _refuse_other_results(run: Run, before: Settings, after: Settings) -> None:
    """Lets a resume change what changes no result, and raise the number of epochs; refuses all else."""
    for name in dataclasses.asdict(before):
        old, new = getattr(before, name), getattr(after, name)
        if name in NEUTRAL or old == new:
            continue
        if name not in EXTENDABLE:
            raise FacetError(
                f"{name}: run {run.name!r} was trained with {old}, found {new}; expected the same, or a new --run"
            )
        if new < old:
            raise FacetError(f"{name}: run {run.name!r} has {old}, found {new}; expected no fewer")
        if name == "warm_up_epochs" and (run.pointed("latest") or "").startswith(FINE_TUNING):
            raise FacetError(f"{name}: run {run.name!r} is already in fine-tuning, expected {old}, found {new}")
