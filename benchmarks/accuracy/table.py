"""Tables of the experiments: mean and standard deviation over seeds or folds, Facet beside its peer."""

from collections.abc import Sequence
from math import sqrt
from statistics import mean, stdev, variance
from typing import Any

from benchmarks.accuracy.experiments import Experiment
from benchmarks.accuracy.plan import EXPERIMENTS

Found = dict[str, Any]
Columns = dict[str, list[float]]

_NAMES = {"facet": "Facet", "keras": "plain Keras `fit`"}

#: How far below its peer's an accuracy of Facet may be on the mean, where weights know faces.
_ALLOWED = {"faces": 0.003}


def tables(found: Sequence[Found]) -> str:
    """Gives the Markdown of all experiments that have been run, in the plan's order."""
    parts = []
    for experiment in EXPERIMENTS:
        mine = [one for one in found if one["experiment"] == experiment.name]
        if mine:
            parts.append(_table(experiment, mine))
    return "\n".join(parts) if parts else "Not measured yet.\n"


def figures(one: Found, groups_by: str = "") -> dict[str, float]:
    """Gives the figures of one measurement, by the titles of their columns.

    Args:
        one: the measurement.
        groups_by: a label whose classes get columns of their own; empty for none.
    """
    found: dict[str, float] = {}
    groups = one.get("groups", {}) if one.get("split", "test") == "test" else {}
    place = "test" if one.get("split", "test") == "test" else one["measured_on"]
    for label, metrics in one["metrics"].items():
        shown = ("accuracy", "one_off", "mae", *(["majority"] if label == "attributes" else []))
        found |= {f"{label} {name.replace('_', '-')}, {place}": metrics[name] for name in shown if name in metrics}
        found |= _strangers(label, groups) | _film_stars(label, groups)
        found |= _by_class(label, groups.get(groups_by, {}))
    return found


def _main(label: str) -> str:
    return "mae" if label == "age" else "accuracy"


def _strangers(label: str, groups: dict[str, Any]) -> dict[str, float]:
    """Gives the figure of the persons who are not in train."""
    name, metrics = _main(label), groups.get("person", {}).get("not in train", {}).get(label, {})
    return {f"{label} {name}, persons not in train": metrics[name]} if name in metrics else {}


def _film_stars(label: str, groups: dict[str, Any]) -> dict[str, float]:
    """Gives the figure of age on IMDB and WIKI together."""
    origins = [groups.get("origin", {}).get(origin, {}).get("age", {}) for origin in ("imdb", "wiki")]
    if label != "age" or not all("mae" in origin for origin in origins):
        return {}
    count = sum(origin["count"] for origin in origins)
    return {"age mae, IMDB-WIKI alone": sum(origin["mae"] * origin["count"] for origin in origins) / count}


def _by_class(label: str, classes: dict[str, Any]) -> dict[str, float]:
    name = _main(label)
    return {f"{label} {name}, {which}": told[label][name] for which, told in classes.items() if name in told[label]}


def _table(experiment: Experiment, found: list[Found]) -> str:
    rows = {}
    for who in experiment.contenders():
        if mine := [figures(one, experiment.groups_by) for one in found if one["who"] == who]:
            rows[who] = _columns(mine)
    titles = list(next(iter(rows.values())))
    lines = [f"**{experiment.name}**: `{experiment.command()}`", ""]
    lines += [f"| | {' | '.join(titles)} |", f"|---|{'---|' * len(titles)}"]
    for who, columns in rows.items():
        lines.append(f"| {_NAMES.get(who, who)} | {' | '.join(_spread(columns.get(title, [])) for title in titles)} |")
    return "\n".join([*lines, "", *_verdicts(experiment, rows)])


def _columns(found: list[dict[str, float]]) -> Columns:
    columns: Columns = {}
    for one in found:
        for title, figure in one.items():
            columns.setdefault(title, []).append(figure)
    return columns


def _spread(values: list[float]) -> str:
    if not values:
        return ""
    digits = 2 if max(values) > 1 else 4
    spread = f" ± {stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{mean(values):.{digits}f}{spread} ({len(values)})"


def _verdicts(experiment: Experiment, rows: dict[str, Columns]) -> list[str]:
    """Says which bars hold, and how far Facet is from its peer by the figure that stands first."""
    ours = next(iter(rows.values()))
    said = [
        f"Asked: {bar.figure} {bar.sign} {bar.limit:g}: {_holds(bar.holds(mean(ours[bar.figure])))}."
        for bar in experiment.bars
    ]
    if "keras" in rows:
        title = next(iter(ours))
        said.append(
            _beside(ours[title], rows["keras"][title], _ALLOWED.get(experiment.weights), is_age=" mae" in title)
        )
    return [" ".join(said), ""] if said else []


def _holds(kept: bool) -> str:
    return "holds" if kept else "**missed**"


def _beside(ours: list[float], theirs: list[float], allowed: float | None, *, is_age: bool) -> str:
    """Says how far Facet is from its peer, with the standard error of that difference."""
    difference = mean(ours) - mean(theirs)
    error = sqrt(sum(variance(values) / len(values) for values in (ours, theirs) if len(values) > 1))
    if is_age:
        return f"Facet less plain Keras on the mean: {difference:+.2f} ± {error:.2f} years."
    said = f"Facet less plain Keras on the mean: {100 * difference:+.2f} ± {100 * error:.2f} points"
    if allowed is None:
        return f"{said}."
    return f"{said}, asked ≥ {-100 * allowed:g}: {_holds(difference >= -allowed)}."
