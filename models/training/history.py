"""What a run shows of its epochs: `epochs.csv` and `curves.png`."""

import csv
import io
from pathlib import Path
from typing import Any

from hdf5_helper.atomic import write_text, written_whole
from models.training.state import Row

_FIRST = ("phase", "epoch", "step", "learning_rate")
_LAST = ("seconds", "images_per_second")
_ELSEWHERE = ("confusion",)  # has a file of its own


def columns(rows: list[Row]) -> list[str]:
    """Gives the columns of `epochs.csv`: place, training, validation, time."""
    names = [name for row in rows for name in row if name not in (*_FIRST, *_LAST, *_ELSEWHERE)]
    order = sorted(dict.fromkeys(names), key=column_place)
    return [*_FIRST, *order, *_LAST]


def column_place(column: str) -> tuple[bool, bool, bool]:
    """Gives a sort key: training before validation, then the loss, the losses of labels, the metrics."""
    name = column.removeprefix("val_")
    return column != name, name != "loss", not name.endswith("loss")


def write_epochs(path: Path, rows: list[Row]) -> None:
    """Writes `epochs.csv`, one row an epoch; figures that an epoch does not have (training at epoch 0) are empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns(rows), restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _plain(name, value) for name, value in row.items()} for row in rows)
    write_text(path, text.getvalue())


def read_epochs(path: Path) -> list[Row]:
    """Reads `epochs.csv` back; empty cells are left out. No file gives no rows."""
    if not path.is_file():
        return []
    with open(path, encoding="utf-8", newline="") as file:
        return [{name: _value(name, text) for name, text in row.items() if text} for row in csv.DictReader(file)]


def _value(name: str, text: str) -> Any:
    if name == "phase":
        return text
    return int(text) if name in ("epoch", "step") else float(text)


def _plain(name: str, value: Any) -> Any:
    """Gives a cell: figures to the last digit of their float32, learning rates as they were asked for."""
    if not isinstance(value, float):
        return value
    return f"{value:.6g}" if name == "learning_rate" else f"{value:.9g}"


def draw_curves(path: Path, rows: list[Row]) -> None:
    """Draws losses and metrics over all epochs, training and validation, with a line where fine-tuning begins."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = [name for name in columns(rows) if name not in (*_FIRST, *_LAST) and not name.startswith("val_")]
    names = names or ["loss"]
    figure = Figure(figsize=(5.5 * len(names), 4), layout="constrained")
    FigureCanvasAgg(figure)
    boundary = next((place for place in range(1, len(rows)) if rows[place]["phase"] != rows[place - 1]["phase"]), None)
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        for column, label in ((name, "train"), (f"val_{name}", "validation")):
            points = [(place, row[column]) for place, row in enumerate(rows) if column in row]
            axes.plot(*zip(*points, strict=True) if points else ((), ()), marker="o", markersize=3, label=label)
        if boundary is not None:
            axes.axvline(boundary - 0.5, color="grey", linestyle="--", linewidth=1, label="fine-tuning begins")
        axes.set(title=name.replace("_", " "), xlabel="epoch (both phases)")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(visible=True, alpha=0.3)
        axes.legend()
    with written_whole(path) as part:
        figure.savefig(part, dpi=110)
