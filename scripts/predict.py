"""`facet predict`: says what a model makes of pictures."""

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hdf5_helper.errors import FacetError
from hdf5_helper.wording import count_text
from scripts.console import Console, shown

if TYPE_CHECKING:
    from models.interface.prediction import Prediction

_REMINDER = (
    "Estimates from pixels, not facts about a person: they are wrong more often for some people than for others."
)

#: Rows shown where a CSV file holds them all.
_SHOWN_BESIDE_CSV = 10


@click.command()
@click.argument("target", metavar="RUN|MODEL.pb|FILE.keras")
@click.argument("pictures", nargs=-1, required=True, metavar="IMAGE_OR_DIR...")
@click.option("--csv", "csv_file", type=click.Path(path_type=Path), metavar="OUT.csv", help="Write every row there.")
@click.option("--checkpoint", default="best", show_default=True, metavar="best|last|FILE", help="Of a run.")
@click.option("--batch-size", type=click.IntRange(min=1), default=64, show_default=True, help="Pictures at once.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON value and nothing else.")
@click.option("--verbose", is_flag=True, help="Show TensorFlow's own log lines.")
def command(
    target: str,
    pictures: tuple[str, ...],
    csv_file: Path | None,
    checkpoint: str,
    batch_size: int,
    *,
    as_json: bool,
    verbose: bool,
) -> None:
    """Estimate what TARGET was trained for on pictures, and on all pictures in folders.

    \b
    Example:
      facet predict first portrait.jpg
      facet predict first.pb pictures --csv estimates.csv
    """
    from models.interface.prediction import find_pictures, predict_pictures, prediction_csv
    from models.interface.targets import find_target

    found = find_target(target, checkpoint)
    if csv_file is not None and not csv_file.parent.is_dir():
        raise FacetError(f"{csv_file}: the folder {csv_file.parent} does not exist")
    paths = find_pictures(pictures)

    from scripts.native_logs import quiet_native_logs

    with Console(as_json=as_json) as console:
        console.say(_REMINDER)
        quiet_native_logs(verbose=verbose)
        from models.interface.predictor import load_predictor

        predictor = load_predictor(found)
        table = _Table(console, paths, shown=_SHOWN_BESIDE_CSV if csv_file else len(paths))
        with prediction_csv(csv_file) if csv_file else nullcontext(_nowhere) as add:
            for prediction in predict_pictures(predictor, paths, batch_size=batch_size, progress=console):
                add(prediction)
                table.add(prediction)
            table.end(csv_file)
        if as_json:
            console.result({"model": str(found.path), **table.to_dict()})
        console.say(_next(target, csv_file))


def _nowhere(_prediction: "Prediction") -> None:
    """Takes the place of a CSV file."""


def _next(target: str, csv_file: Path | None) -> str:
    if csv_file is None:
        return f"next: facet predict {target} PICTURES --csv OUT.csv"
    return f"{shown(csv_file)} holds every row; next: facet evaluate {target} --data FILE.h5"


class _Table:
    """Prints predictions as they come and keeps what the end needs.

    Args:
        console: where lines go.
        paths: of all pictures, for the first column's width.
        shown: how many rows to print.
    """

    def __init__(self, console: Console, paths: list[Path], shown: int) -> None:
        self._say = console.say
        self._keep = console.as_json
        self._width = max(len(click.format_filename(path)) for path in paths[:shown])
        self._shown, self._count = shown, 0
        self._kept: list[dict[str, Any]] = []
        self._unreadable: list[Prediction] = []

    def add(self, prediction: "Prediction") -> None:
        """Takes one picture's prediction."""
        if prediction.reason:
            self._unreadable.append(prediction)
            return
        self._count += 1
        if self._keep:
            self._kept.append(prediction.to_dict())
            return
        if self._count == 1:
            self._line("path", list(prediction.answers))
        if self._count <= self._shown:
            self._line(click.format_filename(prediction.path), [a.text for a in prediction.answers.values()])

    def _line(self, path: str, cells: list[str]) -> None:
        self._say(f"{path:<{self._width}}  " + "  ".join(f"{cell:<12}" for cell in cells).rstrip())

    def end(self, csv_file: Path | None) -> None:
        """Says what was left out, and what could not be read; refuses where nothing could."""
        if csv_file and self._count > self._shown and not self._keep:
            self._say(f"... and {self._count - self._shown:,} more in {shown(csv_file)}")
        for prediction in self._unreadable:
            self._say(f"not read: {click.format_filename(prediction.path)}: {prediction.reason}")
        if not self._count:
            raise FacetError(f"none of the {len(self._unreadable):,} pictures could be read, expected at least one")
        self._say(f"{count_text(self._count, 'picture')}, {len(self._unreadable):,} not read")

    def to_dict(self) -> dict[str, Any]:
        """Gives the JSON form."""
        unreadable = [{"path": str(p.path), "reason": p.reason} for p in self._unreadable]
        return {"count": self._count, "predictions": self._kept, "not_read": unreadable}
