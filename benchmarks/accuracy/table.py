"""Tables of the experiments: mean and standard deviation over seeds or folds, Facet beside its peer."""

from collections.abc import Sequence
from itertools import groupby
from statistics import mean, stdev
from typing import Any

from benchmarks.accuracy.experiments import Experiment
from benchmarks.accuracy.plan import EXPERIMENTS

Found = dict[str, Any]
Columns = dict[str, list[float]]

_NAMES = {"facet": "Facet", "keras": "plain Keras `fit`"}

#: How far below its peer's an accuracy of Facet may be on the mean.
_ALLOWED = 0.003


def tables(found: Sequence[Found]) -> str:
    """Gives the Markdown of all experiments that have been run, in the plan's order."""
    parts = []
    for experiment in EXPERIMENTS:
        mine = [one for one in found if one["experiment"] == experiment.name]
        if mine:
            parts.append(_table(experiment, mine))
    return "\n".join(parts) if parts else "Not measured yet.\n"


def figures(one: Found) -> dict[str, float]:
    """Gives the figures of one measurement, by the titles of their columns, the main one first."""
    found: dict[str, float] = {}
    place = "test" if one.get("split", "test") == "test" else one["measured_on"]
    for label, metrics in one["metrics"].items():
        shown = ("accuracy", "one_off", "mae", *(["majority"] if label == "attributes" else []))
        found |= {f"{label} {name.replace('_', '-')}, {place}": metrics[name] for name in shown if name in metrics}
        found |= _parts(label, one.get("groups", {})) if place == "test" else {}
    return found


def _parts(label: str, groups: dict[str, Any]) -> dict[str, float]:
    """Gives the figures of the persons who are not in train, and those of age on IMDB and WIKI together."""
    found = {}
    stranger = groups.get("person", {}).get("not in train", {}).get(label, {})
    name = "mae" if label == "age" else "accuracy"
    if name in stranger:
        found[f"{label} {name}, persons not in train"] = stranger[name]
    origins = [groups.get("origin", {}).get(origin, {}).get("age", {}) for origin in ("imdb", "wiki")]
    if label == "age" and all("mae" in origin for origin in origins):
        count = sum(origin["count"] for origin in origins)
        found["age mae, IMDB-WIKI alone"] = sum(origin["mae"] * origin["count"] for origin in origins) / count
    return found


def _table(experiment: Experiment, found: list[Found]) -> str:
    ordered = sorted(found, key=lambda one: (one["who"] != "facet", one["who"], one["seed"]))
    by_who = {who: _columns(list(mine)) for who, mine in groupby(ordered, lambda one: one["who"])}
    titles = list(by_who["facet"])
    lines = [f"| {experiment.name} | {' | '.join(titles)} |", f"|---|{'---|' * len(titles)}"]
    for who, columns in by_who.items():
        lines.append(f"| {_NAMES[who]} | {' | '.join(_spread(columns.get(title, [])) for title in titles)} |")
    return "\n".join([*lines, "", *_verdicts(experiment, by_who, titles[0])])


def _columns(found: list[Found]) -> Columns:
    columns: Columns = {}
    for one in found:
        for title, figure in figures(one).items():
            columns.setdefault(title, []).append(figure)
    return columns


def _spread(values: list[float]) -> str:
    if not values:
        return ""
    digits = 2 if max(values) > 1 else 4
    spread = f" ± {stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{mean(values):.{digits}f}{spread} ({len(values)})"


def _verdicts(experiment: Experiment, by_who: dict[str, Columns], title: str) -> list[str]:
    """Says which bars hold, by the figure that stands first."""
    ours, said = mean(by_who["facet"][title]), []
    if experiment.bar:
        sign, limit = experiment.bar
        holds = ours >= limit if sign == "≥" else ours <= limit
        said.append(f"Asked: {title} {sign} {limit:g}: {'holds' if holds else '**missed**'}.")
    if "keras" in by_who:
        difference = ours - mean(by_who["keras"][title])
        said.append(_beside(difference, is_age=" mae" in title))
    return [" ".join(said), ""] if said else []


def _beside(difference: float, *, is_age: bool) -> str:
    if is_age:
        return f"Facet less plain Keras on the mean: {difference:+.2f} years."
    holds = "holds" if difference >= -_ALLOWED else "**missed**"
    return f"Facet less plain Keras on the mean: {100 * difference:+.2f} points, asked ≥ {-100 * _ALLOWED:g}: {holds}."
