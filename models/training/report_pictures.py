"""The pictures of an evaluation: a confusion matrix for classes, predicted against true years for age."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdf5_helper.atomic import written_whole


def _figure(width: float, height: float) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def draw_confusion(path: Path, matrix: list[list[int]], names: tuple[str, ...], title: str) -> None:
    """Draws a confusion matrix: rows are true classes, columns predicted ones; counts, and shares of each row."""
    counts = np.asarray(matrix)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = _figure(4.6, 4.2)
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(counts.shape):
        color = "white" if shares[row, column] > 0.5 else "black"
        text = f"{counts[row, column]:,}\n{shares[row, column]:.1%}"
        axes.text(column, row, text, ha="center", va="center", color=color)
    axes.set(xticks=range(len(names)), yticks=range(len(names)), xticklabels=names, yticklabels=names)
    axes.set(xlabel="predicted", ylabel="true", title=title)
    with written_whole(path) as part:
        figure.savefig(part, dpi=110)


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
    with written_whole(path) as part:
        figure.savefig(part, dpi=110)


def confusion_text(matrix: list[list[int]], names: tuple[str, ...]) -> str:
    """Gives a confusion matrix as lines of text."""
    width = max(len(name) for name in names) + 2
    head = " " * (width + 6) + "".join(f"{name:>{width + 4}}" for name in names) + "   (predicted)"
    rows = [
        f"true {names[i]:<{width}} " + "".join(f"{count:>{width + 4},}" for count in row)
        for i, row in enumerate(matrix)
    ]
    return "\n".join([head, *rows])
