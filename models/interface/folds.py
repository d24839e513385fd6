"""Cross-validation over a file's folds: one run each, tested on its own fold, and what they say together."""

import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hdf5_helper.atomic import write_text
from hdf5_helper.errors import FacetError
from hdf5_helper.progress import Progress, Say
from hdf5_helper.reading.reader import HDF5Reader
from models.interface.evaluation import evaluate
from models.interface.evaluation_files import write_evaluation
from models.interface.evaluation_place import evaluation_place
from models.interface.predictor import load_predictor
from models.interface.settling import Settled, TrainRequest, settle
from models.interface.targets import find_target
from models.model_data import open_for
from models.training.distribution.replicas import Replicas
from models.training.recipe_files import read_recipe
from models.training.runs import Run

#: Figures of a label that a table shows, as far as it has them; the JSON holds all.
_MAIN = ("accuracy", "one_off", "mae")


@dataclass(frozen=True)
class FoldRuns:
    """The runs of a cross-validation, and where it is written.

    Attributes:
        name: of it all; the runs are `NAME/fold-0` and so on.
        runs: settled, each with its `fold`, in the folds' order.
    """

    name: str
    runs: tuple[Settled, ...]

    @property
    def file(self) -> Path:
        """`history/NAME/folds.json`."""
        return Run(self.name).folder / "folds.json"

    @property
    def data(self) -> Path:
        """The HDF5 file."""
        return Path(self.runs[0].settings.data)


def settle_folds(request: TrainRequest) -> FoldRuns:
    """Decides which runs there are, without touching any file.

    Raises:
        FacetError: a mistake in the request, a file without folds, or runs of that name with other settings.
    """
    _refuse_others(request)
    if request.data is None:
        raise FacetError("--folds: no data given, expected a packed HDF5 file with folds")
    with HDF5Reader(request.data) as reader:
        reader.check_folds()
        folds = reader.fold_numbers
    name = request.run or _settled_fold(request, None, folds[0]).run.name
    if Run(name).exists():
        raise FacetError(f"run {name!r}: exists as a single run, expected another --run name for the runs of --folds")
    return FoldRuns(name, tuple(_settled_fold(request, f"{name}/fold-{fold}", fold) for fold in folds))


def _refuse_others(request: TrainRequest) -> None:
    """Refuses what names a run or a fold already; a start has seen the test folds of the others."""
    others = {
        "--resume": request.resume,
        "--from": request.start_from,
        "--fold": request.given.get("fold"),
        "--set fold": request.sets.get("fold"),
        f"fold of recipe {request.recipe}": read_recipe(request.recipe).values.get("fold") if request.recipe else None,
    }
    for option, value in others.items():
        if value is not None:
            raise FacetError(f"--folds and {option}: both given, expected one of them")


def _settled_fold(request: TrainRequest, run: str | None, fold: int) -> Settled:
    return settle(replace(request, run=run, given=request.given | {"fold": fold}))


def train_folds(
    runs: FoldRuns, train_one: Callable[[Settled], Run], *, replicas: Replicas, say: Say, progress: Progress
) -> dict[str, Any]:
    """Trains and measures what is not measured yet, fold by fold.

    After each fold `folds.json` holds what is known so far, so that the same again goes on from there.

    Args:
        runs: as settled.
        train_one: trains a run to its end, or from where it stopped.
        replicas: the devices to train on; with several workers, each of them calls this, and the chief measures.
        say: takes sentences for the user.
        progress: watches the measuring.

    Returns:
        The JSON of `folds.json`: run, data, folds (each with fold, run, checkpoint, count and metrics as `facet
        evaluate` gives them, and newest, the run's newest checkpoint) and metrics (by label and figure its mean and
        standard_deviation over the folds).
    """
    import keras

    measured = replicas.chiefs(measured_before(runs))
    if replicas.chief and not measured:
        runs.file.unlink(missing_ok=True)  # of runs that --overwrite begins anew
    for settled in runs.runs:
        fold = settled.settings.fold
        if str(fold) in measured:
            say(f"fold {fold} is measured already")
            continue
        say(f"fold {fold}, one of {len(runs.runs)}: run {settled.run.name}")
        train_one(settled)
        if replicas.chief:
            measured[str(fold)] = {"fold": fold, **measure(settled.run, progress)}
            write_text(runs.file, json.dumps(report(runs, measured), indent=2) + "\n")
        keras.utils.clear_session(free_memory=True)
    return report(runs, measured)


def measured_before(runs: FoldRuns) -> dict[str, dict[str, Any]]:
    """Gives, by fold, what `folds.json` holds of the runs that still are as they were asked for and measured.

    A run that was trained on meanwhile has another newest checkpoint, and perhaps another best one.
    """
    try:
        found = json.loads(runs.file.read_text(encoding="utf-8"))["folds"]
        values = {entry["run"]: entry for entry in found if {"count", "metrics"} <= entry.keys()}
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return {}  # none yet, or damaged: measuring again gives the same
    going_on = {settled.settings.fold: settled.run for settled in runs.runs if settled.resumed}
    return {str(fold): values[run.name] for fold, run in going_on.items() if _is_of(values.get(run.name, {}), run)}


def _is_of(entry: dict[str, Any], run: Run) -> bool:
    """Says whether an entry was measured on the checkpoints that the run has now."""
    found = entry.get("checkpoint"), entry.get("newest")
    return None not in found and found == (run.pointed("best"), run.pointed("latest"))


def measure(run: Run, progress: Progress) -> dict[str, Any]:
    """Measures a run's best checkpoint on its test split, as `facet evaluate RUN` does, and gives the main parts."""
    target = find_target(run.name)
    place = evaluation_place(target, None, "test", None)
    predictor = load_predictor(target)
    with open_for(predictor.description, place.data) as reader:
        found = evaluate(predictor, reader, "test", {"run": run.name, "checkpoint": predictor.source}, progress)
        write_evaluation(place.folder, found, reader)
    main = {name: found.values[name] for name in ("run", "checkpoint", "count", "metrics")}
    return main | {"newest": run.pointed("latest")}


def report(runs: FoldRuns, measured: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Gives the JSON of what is measured so far."""
    folds = [measured[str(one.settings.fold)] for one in runs.runs if str(one.settings.fold) in measured]
    metrics = mean_figures([fold["metrics"] for fold in folds])
    return {"run": runs.name, "data": str(runs.data), "folds": folds, "metrics": metrics}


def mean_figures(metrics: Sequence[dict[str, dict[str, Any]]]) -> dict[str, dict[str, dict[str, float | None]]]:
    """Gives mean and standard deviation of every figure that all folds have.

    Args:
        metrics: of each fold, figures by label and name; what is no float is no figure.

    Returns:
        By label and figure: mean, and standard_deviation of a sample (n - 1), None for a single fold.
    """
    labels = [label for label in metrics[0] if all(label in fold for fold in metrics)] if metrics else []
    by_label = {label: _common(label, metrics) for label in labels}
    return {label: {name: _spread(values) for name, values in figures.items()} for label, figures in by_label.items()}


def _common(label: str, metrics: Sequence[dict[str, dict[str, Any]]]) -> dict[str, list[float]]:
    figures = [{name: value for name, value in fold[label].items() if isinstance(value, float)} for fold in metrics]
    return {name: [fold[name] for fold in figures] for name in figures[0] if all(name in fold for fold in figures)}


def _spread(values: list[float]) -> dict[str, float | None]:
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return {"mean": statistics.fmean(values), "standard_deviation": deviation}


def folds_table(values: dict[str, Any]) -> str:
    """Gives the JSON of `folds.json` as a short table: a line a fold, then mean ± standard deviation."""
    figures = [(label, name) for label, by_name in values["metrics"].items() for name in _MAIN if name in by_name]
    rows = [["fold", "examples", *(f"{label} {name}" for label, name in figures)]]
    for fold in values["folds"]:
        found = [f"{fold['metrics'][label][name]:.4f}" for label, name in figures]
        rows.append([str(fold["fold"]), f"{fold['count']:,}", *found])
    spreads = [values["metrics"][label][name] for label, name in figures]
    rows.append(["mean", "", *(_spread_text(**spread) for spread in spreads)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join(lines)


def _spread_text(mean: float, standard_deviation: float | None) -> str:
    return f"{mean:.4f}" + ("" if standard_deviation is None else f" ± {standard_deviation:.4f}")
