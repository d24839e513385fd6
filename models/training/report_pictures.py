"""The pictures of an evaluation: confusion of classes, predicted against true years for age, bars for attributes."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdf5_helper.atomic import written_whole
from models.training.attribute_metrics import by_gain

#: Classes of a confusion matrix at most that have text in their cells, and names at its sides.
_LARGEST_WITH_TEXT, _MOST_NAMED = 20, 60


def _figure(width: float, height: float) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _save(figure: Any, path: Path) -> None:
    with written_whole(path) as part:
        figure.savefig(part, dpi=110)


def draw_confusion(path: Path, matrix: list[list[int]], names: tuple[str, ...], title: str) -> None:
    """Draws a confusion matrix: rows are true classes, columns predicted ones; counts, and shares of each row.

    Up to 20 classes have both as text in their cells; more have colours alone, with a scale beside them.
    """
    counts = np.asarray(matrix)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = max(4.2, min(0.62 * len(names), 0.62 * _LARGEST_WITH_TEXT) + 1.6)
    figure = _figure(side + 0.4, side)
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if len(names) > _LARGEST_WITH_TEXT:
        figure.colorbar(image, label="share of the true class", shrink=0.8)
    else:
        _write_cells(axes, counts, shares)
    if len(names) <= _MOST_NAMED:
        axes.set(xticks=range(len(names)), yticks=range(len(names)), yticklabels=names)
        long = sum(map(len, names)) > 40  # such names would run into each other side by side
        axes.set_xticklabels(names, rotation=90 if long else 0)
    axes.set(xlabel="predicted", ylabel="true", title=title)
    _save(figure, path)


def _write_cells(axes: Any, counts: NDArray[np.integer[Any]], shares: NDArray[np.floating[Any]]) -> None:
    few = len(counts) <= 4
    for row, column in np.ndindex(counts.shape):
        if not (few or counts[row, column]):
            continue  # many zeros would hide the rest
        color = "white" if shares[row, column] > 0.5 else "black"
        text = f"{counts[row, column]:,}\n{shares[row, column]:.1%}"
        axes.text(column, row, text, ha="center", va="center", color=color, fontsize=10 if few else 7)


def draw_attributes(path: Path, by_attribute: dict[str, dict[str, Any]], title: str) -> None:
    """Draws the accuracy of each attribute as a bar, with a mark at that of always saying the larger class.

    Those farthest above it come first; see `models.training.attribute_metrics.attribute_metrics`.
    """
    listed = by_gain(by_attribute)
    places = np.arange(len(listed))
    figure = _figure(7, 1.4 + 0.2 * len(listed))
    axes = figure.subplots()
    accuracy = [metrics["accuracy"] for _, metrics in listed]
    axes.barh(places, accuracy, height=0.7, color="tab:blue", alpha=0.6, label="accuracy")
    majority = [metrics["majority"] for _, metrics in listed]
    axes.plot(majority, places, "|", color="black", markersize=9, markeredgewidth=1.6, label="always the larger class")
    axes.set_yticks(places, [name for name, _ in listed], fontsize=8)
    axes.set(xlim=(0, 1), ylim=(len(places) - 0.4, -0.6), xlabel="accuracy", title=title)
    axes.grid(axis="x", alpha=0.3)
    figure.legend(loc="outside lower center", ncols=2, fontsize=8)
    _save(figure, path)


def draw_ages(path: Path, targets: NDArray[np.floating[Any]], years: NDArray[np.floating[Any]], title: str) -> None:
    """Draws predicted over true age, with the line of no error and the band of 5 years."""
    figure = _figure(5.2, 5)
    axes = figure.subplots()
    top = float(max(targets.max(), years.max())) + 3
    axes.fill_between([0, top], [-5, top - 5], [5, top + 5], color="tab:green", alpha=0.15, label="within 5 years")
    axes.plot([0, top], [0, top], color="grey", linewidth=1)
    axes.scatter(targets, years, s=8, alpha=0.5)
    axes.set(xlim=(0, top), ylim=(0, top), xlabel="true age (years)", ylabel="predicted age (years)", title=title)
    axes.legend(loc="upper left")
    _save(figure, path)


def confusion_text(matrix: list[list[int]], names: tuple[str, ...]) -> str:
    """Gives a confusion matrix as lines of text."""
    width = max(len(name) for name in names) + 2
    head = " " * (width + 6) + "".join(f"{name:>{width + 4}}" for name in names) + "   (predicted)"
    rows = [
        f"true {names[i]:<{width}} " + "".join(f"{count:>{width + 4},}" for count in row)
        for i, row in enumerate(matrix)
    ]
    return "\n".join([head, *rows])


def attribute_text(by_attribute: dict[str, dict[str, Any]]) -> str:
    """Gives the figures of attributes as lines of text, those farthest above the majority first."""
    listed = by_gain(by_attribute)
    width = max([len("attribute"), *(len(name) for name, _ in listed)]) + 2
    lines = [f"  {'attribute':<{width}}accuracy  majority      gain"]
    for name, metrics in listed:
        accuracy, majority = metrics["accuracy"], metrics["majority"]
        lines.append(f"  {name:<{width}}{accuracy:>8.4f}  {majority:>8.4f}  {accuracy - majority:>+8.4f}")
    return "\n".join(lines)
