"""`facet export`: writes a frozen .pb graph and its sidecar."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hdf5_helper.errors import FacetError
from scripts.console import Console, shown

if TYPE_CHECKING:
    from models.export import Exported


@click.command()
@click.argument("target", metavar="RUN|FILE.keras|FILE.h5")
@click.argument("out", type=click.Path(path_type=Path), metavar="OUT.pb")
@click.option("--checkpoint", default="best", show_default=True, metavar="best|last|FILE", help="Of a run.")
@click.option(
    "--preprocessing",
    default="inside",
    show_default=True,
    metavar="inside|outside",
    help="inside: the graph takes RGB 0-255; outside: the caller does what the sidecar says.",
)
@click.option("--data", type=click.Path(path_type=Path), metavar="FILE.h5", help="Images to compare on; else the run's")
@click.option("--overwrite", is_flag=True, help="Replace OUT.pb and OUT.json.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON value and nothing else.")
@click.option("--verbose", is_flag=True, help="Show TensorFlow's own log lines.")
def command(
    target: str,
    out: Path,
    checkpoint: str,
    preprocessing: str,
    data: Path | None,
    *,
    overwrite: bool,
    as_json: bool,
    verbose: bool,
) -> None:
    """Write TARGET as a frozen graph OUT.pb, with OUT.json beside it.

    The graph is run in TensorFlow and OpenCV before it is kept, and must give what the model gives.

    \b
    Example:
      facet export first first.pb
      facet export first first-outside.pb --preprocessing outside
    """
    from models.export.exporting import check_export_path
    from models.export.signature import check_preprocessing
    from models.interface.targets import find_target

    found = find_target(target, checkpoint)
    if found.is_frozen_graph:
        raise FacetError(f"{target}: is a frozen graph already, expected a run, a .keras or a .h5")
    check_export_path(out, overwrite=overwrite)
    check_preprocessing(preprocessing)
    if data is not None and not data.is_file():
        raise FacetError(f"--data {data}: no such file, expected a packed HDF5 file")

    from scripts.native_logs import quiet_native_logs

    with Console(as_json=as_json) as console:
        quiet_native_logs(verbose=verbose)
        from models.export import export_frozen_graph
        from models.model_file import load_model_file

        model, description = load_model_file(found.path)
        examples = _examples(data, found.data, description, console)
        console.say(f"exporting {shown(found.path)}, compared on {examples.source if examples else 'made-up images'}")
        exported = export_frozen_graph(
            model, description, out, preprocessing=preprocessing, examples=examples, overwrite=overwrite
        )
        if as_json:
            console.result(exported.to_dict())
        _tell(exported, console)


def _examples(given: Path | None, runs: Path | None, description: Any, console: Console) -> Any:
    """Gives real images from --data or the run's own file; None where there are none."""
    from models.export.examples import examples_from

    if given is not None:
        return examples_from(given, description.image_size, description.fit)
    if runs is None:
        return None
    try:
        return examples_from(runs, description.image_size, description.fit)
    except (FacetError, OSError) as error:
        console.say(f"note: the run's own data cannot be read ({error}); --data FILE.h5 gives other images")
        return None


def _tell(exported: "Exported", console: Console) -> None:
    from models.export.parity import parity_table
    from models.export.sidecar import sidecar_path

    signature = exported.sidecar.signature
    console.say(f"input  {signature.input.name} float32 {_shape(signature.input.shape)} {_colours(signature.input)}")
    for output in signature.outputs:
        console.say(f"output {output.name} float32 {_shape((None, output.width))} {output.polarity}")
    for line in parity_table(exported.comparison.runtimes):
        console.say(line)
    if not exported.comparison.tells_apart:
        console.say("note: the model gives all these images the same values, so that their agreement says little")
    for note in exported.sidecar.description.notes:
        console.say(f"note: {note}")
    path = shown(exported.path)
    console.say(f"{path} ({exported.size:,} bytes) and {sidecar_path(path).name} beside it")
    console.say(f"next: facet predict {path} PICTURES")


def _shape(shape: tuple[int | None, ...]) -> str:
    return "(" + ", ".join("N" if side is None else str(side) for side in shape) + ")"


def _colours(graph_input: Any) -> str:
    wanted = graph_input.preprocessing
    if not any(wanted.mean) and wanted.scale == 1.0:
        return f"{wanted.color} 0-255"
    return f"{wanted.color}, (x - {list(wanted.mean)}) / {wanted.scale:g}"
