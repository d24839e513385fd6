"""`facet verify-export`: runs an exported file in every runtime, compares them, and measures each."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hdf5_helper.errors import FacetError
from scripts.console import Console, shown

if TYPE_CHECKING:
    from models.interface.verification import RuntimeResult

#: The figure of each label that tells accuracy, in the order of preference.
_FIGURES = ("accuracy", "mae")


@click.command()
@click.argument("out", type=click.Path(path_type=Path), metavar="OUT")
@click.option("--data", required=True, type=click.Path(path_type=Path), metavar="FILE.h5", help="A packed file.")
@click.option("--split", default="test", show_default=True, metavar="test|validation|train|all")
@click.option("--verify-with", metavar="KEY,KEY", help="Runtimes to run it in.  [default: all that are installed]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON value and nothing else.")
@click.option("--verbose", is_flag=True, help="Show TensorFlow's own log lines.")
def command(out: Path, data: Path, split: str, verify_with: str | None, *, as_json: bool, verbose: bool) -> None:
    """Run the exported file OUT in every runtime on labelled images.

    Tells accuracy and error through each, how far each is from the first, and
    how long images take. Fails where two runtimes disagree.

    \b
    Example:
      facet verify-export first.pb --data faces.h5
      facet verify-export first.tflite --data faces.h5 --split all
    """
    from models.export.formats import format_of
    from models.export.loading import read_exported
    from models.export.options import runtime_keys
    from models.export.parity import chosen_runtimes
    from models.interface.evaluation_place import check_split

    check_split(split)
    if not data.is_file():
        raise FacetError(f"--data {data}: no such file, expected a packed HDF5 file")

    from scripts.native_logs import quiet_native_logs

    with Console(as_json=as_json) as console:
        quiet_native_logs(verbose=verbose)
        from models.interface.verification import refuse_disagreement, verify_export

        exported = read_exported(out)
        runtimes = chosen_runtimes(format_of(exported.path), runtime_keys(verify_with))
        results = verify_export(exported, data, split, runtimes, console)
        console.stop()
        if as_json:
            console.result([asdict(result) for result in results])
        for line in _table(results):
            console.say(line)
        refuse_disagreement(out, results)
        console.say(f"next: give {shown(out)} to the program that uses it")


def _table(results: list["RuntimeResult"]) -> list[str]:
    """Gives the lines: runtime, a figure a label, difference from the first, time of one image, images a second."""
    labels = next((list(result.metrics) for result in results if result.metrics), [])
    lines = [f"{'runtime':<20}" + "".join(f" {label:>16}" for label in labels) + "  from first    1 image   images/s"]
    for result in results:
        if result.metrics is None or result.seconds_one is None:
            lines.append(f"{result.runtime:<20} {result.reason}")
            continue
        told = "".join(f" {_figure(result.metrics[label]):>16}" for label in labels)
        times = f"{result.seconds_one * 1000:>7.1f} ms {result.images_per_second:>10.0f}"
        lines.append(f"{result.runtime:<20}{told} {result.difference:>11.1e} {times}")
    return lines


def _figure(metrics: dict[str, object]) -> str:
    name = next((name for name in _FIGURES if name in metrics), "")
    return f"{name} {metrics[name]:.4f}" if name else "unknown"
