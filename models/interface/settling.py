"""Which run a `facet train` means, and with which settings: a new one, the same again, or a resume."""

import json
import shlex
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hdf5_helper.errors import FacetError
from hdf5_helper.reading.reader import HDF5Reader
from models.training.distribution.watch import check_limit
from models.training.early_stopping import patience_over
from models.training.history import read_epochs
from models.training.phase import FINE_TUNING
from models.training.recipe_files import read_recipe
from models.training.resolve import from_recipe, laid_over, resolve, typed_changes, typed_sets
from models.training.runs import Run, new_run_name
from models.training.schedule import parse_schedule
from models.training.setting_names import EXTENDABLE, PHASE_FIELDS, SHAPING, changes_result, for_both_phases
from models.training.settings import Settings, flat, make_settings
from models.training.settings_file import load_origins, load_settings
from models.training.starting import Start, find_start


@dataclass(frozen=True)
class RunOptions:
    """How a training is run: what a run does not remember.

    Attributes:
        devices: `auto`, `cpu:2` or such as `gpu:0,1`.
        tensorboard: whether to write for TensorBoard.
        worker_timeout: seconds that a silent worker is waited for, at least 1.
        cache_limit: bytes that kept activations may take at most, None for half of the free space.
    """

    devices: str = "auto"
    tensorboard: bool = False
    worker_timeout: float = 60.0
    cache_limit: int | None = None

    def __post_init__(self) -> None:
        """Refuses a timeout that is too short; devices are judged by who opens them."""
        check_limit(self.worker_timeout)


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
        start_from: checkpoint of another run, `RUN[@best|last|NAME]`, to start from with that run's settings.
        options: how to run.
        recipe: name or file of a recipe.
    """

    data: Path | None = None
    run: str | None = None
    resume: str | None = None
    given: dict[str, Any] = field(default_factory=dict)
    sets: dict[str, Any] = field(default_factory=dict)
    overwrite: bool = False
    start_from: str | None = None
    options: RunOptions = field(default_factory=RunOptions)
    recipe: str | None = None


@dataclass(frozen=True)
class Settled:
    """A run and its settings.

    Attributes:
        resumed: the run exists and is gone on with.
        origins: where each setting came from, by name.
        overwrite: an existing run of that name may go.
        options: how to run.
    """

    run: Run
    settings: Settings
    origins: dict[str, str]
    resumed: bool
    overwrite: bool = False
    options: RunOptions = field(default_factory=RunOptions)


def settle(request: TrainRequest) -> Settled:
    """Decides what to train, without touching any file.

    Raises:
        FacetError: a mistake in the request, or a run of that name with other settings (both sides shown).
    """
    if request.resume is not None:
        _check_resume(request)
        return _settle_resume(request)
    if _begun_from_there(request):
        return _settle_resume(replace(request, resume=request.run, run=None))
    start = find_start(request.start_from) if request.start_from is not None else None
    recipe = read_recipe(request.recipe) if request.recipe is not None else None
    with HDF5Reader(_data_of(request, start)) as reader:
        resolved = resolve(request.given, request.sets, reader, start, recipe)
    settings = resolved.settings
    run = Run(request.run or new_run_name(f"{'-'.join(settings.label)}-{settings.backbone}"))
    if start is not None and run.name == start.run.name:
        raise FacetError(f"--run {run.name}: is the run that --from names, expected another name for the new one")
    begun = Settled(run, settings, resolved.origins, False, request.overwrite, request.options)
    if not run.exists() or request.overwrite:
        return begun
    before = load_settings(run.config)
    if settings.precision == "auto":
        settings = replace(settings, precision=before.precision)
    differences = before.differences(settings)
    if differences:
        raise FacetError(
            f"run {run.name!r} exists with other settings ({'; '.join(differences)}): expected the same ones to go on,"
            " another --run name, or --overwrite to begin anew"
        )
    return replace(begun, settings=settings, resumed=True)


def _begun_from_there(request: TrainRequest) -> bool:
    """Says whether `--from` asks again for a run that began so and has checkpoints: it needs its source no more."""
    run = Run(request.run) if request.run and request.start_from and not request.overwrite else None
    if run is None or not run.exists() or run.pointed("latest") is None:
        return False
    source, _at, which = str(request.start_from).partition("@")
    began_from, _at, name = load_settings(run.config).start.partition("@")
    return source == began_from and which in ("", "best", "last", name, f"{name}.keras")


def _data_of(request: TrainRequest, start: Start | None) -> Path:
    """Gives the file to train on: the one given, else that of the run that a checkpoint belongs to."""
    if request.data is not None:
        return request.data
    if start is None:
        raise FacetError("facet train: no data given, expected a packed HDF5 file, --resume NAME or --from RUN")
    data = Path(start.settings.data)
    if not data.exists():
        raise FacetError(
            f"run {start.run.name!r}: its data {data} is gone, expected `facet train FILE.h5 --from {start.text}`"
        )
    return data


def _check_resume(request: TrainRequest) -> None:
    if request.start_from is not None:
        raise FacetError("--from and --resume: both given, expected one of them; a resume starts from its own run")
    if request.recipe is not None:
        raise FacetError("--recipe and --resume: both given, expected one of them; a resume keeps its run's settings")


def _settle_resume(request: TrainRequest) -> Settled:
    """Takes everything from the run, but for what the user gives anew; a recipe must ask for what the run has."""
    run = Run.open(str(request.resume))
    before = load_settings(run.config)
    data = Path(request.data or before.data).absolute()
    if not data.exists():
        raise FacetError(
            f"run {run.name!r}: its data {data} is gone, expected `facet train FILE.h5 --resume {run.name}`"
        )
    with HDF5Reader(data) as reader:
        found = {"data": str(data), "images_digest": reader.images_digest, "index_digest": reader.index_digest}
        asked = typed_changes(_asked_at_resume(request), before, reader) | found
    if asked.get("precision") == "auto":  # chosen once, when the run began
        del asked["precision"]
    values = flat(before)
    wanted = laid_over(values, asked)
    changes = {name: wanted[name] for name in asked if values[name] != wanted[name]}
    refuse_other_results(run, before, changes, new_run_command(request, run))
    settings = make_settings(values | changes)
    origins = load_origins(run.config) | dict.fromkeys(changes, "option at resume")
    return Settled(run, settings, origins, not request.overwrite, request.overwrite, request.options)


def _asked_at_resume(request: TrainRequest) -> dict[str, Any]:
    """Gives what a resume asks for: options over --set over the recipe that the run began with, as far as it counts."""
    asked = laid_over(typed_sets(request.sets), request.given)
    if request.recipe is None:
        return asked
    advised = from_recipe(read_recipe(request.recipe), asked, starts=request.start_from is not None)
    return laid_over(advised, for_both_phases(asked))


def refuse_other_results(run: Run, before: Settings, changes: dict[str, Any], command: str) -> None:
    """Lets a resume change what changes no result, and raise the number of epochs; refuses all else.

    Args:
        run: to go on with.
        before: its settings.
        changes: other values, by setting name.
        command: what begins a new run with them.
    """
    values, instead = flat(before), f"or a new run: {command}"
    for name, new in changes.items():
        old = values[name]
        if not changes_result(name, old, new):
            continue
        if name not in EXTENDABLE:
            instead = "or a new --run" if name in SHAPING else instead
            raise FacetError(
                f"{name}: run {run.name!r} was trained with {old}, found {new}; expected the same, {instead}"
            )
        if new < old:
            raise FacetError(f"{name}: run {run.name!r} has {old}, found {new}; expected no fewer")
        phase = getattr(before, PHASE_FIELDS[name][0])
        if patience_over(phase, read_epochs(run.folder / "epochs.csv"), before.best_metric):
            raise FacetError(
                f"{name}: early stopping has ended {phase.name} of run {run.name!r}, found {new}; expected {old},"
                f" {instead} --early-stopping MORE"
            )
        schedule = phase.schedule
        if parse_schedule(schedule).needs_epochs:
            raise FacetError(
                f"{name}: run {run.name!r} has {old}, found {new}; its {schedule} schedule depends on their number,"
                f" expected the same, {instead}"
            )
        if name == "warm_up_epochs" and (run.pointed("latest") or "").startswith(FINE_TUNING):
            raise FacetError(f"{name}: run {run.name!r} is already in fine-tuning, expected {old}, found {new}")


def new_run_command(request: TrainRequest, run: Run) -> str:
    """Gives the command that starts a new run from this one, with what a resume asked for."""
    words = ["facet", "train", *([str(request.data)] if request.data else []), "--from", run.name, "--run", "NEW"]
    words += ["--recipe", request.recipe] if request.recipe else []
    for name, value in request.sets.items():
        words += ["--set", f"{name}={value if isinstance(value, str) else json.dumps(value)}"]
    for name, value in request.given.items():
        words += _option(name, value)
    return shlex.join(words)


def _option(name: str, value: Any) -> list[str]:
    """Gives a setting as the words of its option."""
    if name == "heads":
        return [word for label, form in value.items() for word in ("--head", f"{label}={form}")]
    option = f"--{name.replace('_', '-')}"
    if isinstance(value, dict):
        return [option, ",".join(f"{key}={item:g}" for key, item in value.items())]
    if isinstance(value, tuple):
        return [option, ("," if name == "label" else "x").join(map(str, value))]
    return [option, f"{value:g}" if isinstance(value, float) else str(value)]
