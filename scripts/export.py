"""`facet export`: writes a model as a file for other programs, with its sidecar."""

import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hdf5_helper.errors import FacetError
from scripts.console import Console, shown

if TYPE_CHECKING:
    from models.description import ModelDescription
    from models.export import Exported
    from models.export.examples import Examples
    from models.export.options import ExportOptions
    from models.interface.targets import Target

#: Images of the train split that int8 finds the ranges of values on.
_CALIBRATION = 200


@click.command()
@click.argument("target", metavar="RUN|FILE.keras|FILE.h5")
@click.argument("out", type=click.Path(path_type=Path), metavar="OUT")
@click.option("--format", "file_format", metavar="pb|saved_model|onnx|litert", help="By the suffix of OUT otherwise.")
@click.option("--checkpoint", default="best", show_default=True, metavar="best|last|FILE", help="Of a run.")
@click.option(
    "--preprocessing",
    metavar="inside|outside",
    help="inside: it takes RGB 0-255; outside: the caller does what the sidecar says.  [default: inside]",
)
@click.option("--preset", default="", metavar="age-estimator-sharp", help="Names and input that this program wants.")
@click.option("--input-type", default="float32", show_default=True, metavar="float32|uint8", help="Of its input.")
@click.option(
    "--quantize", default="none", show_default=True, metavar="none|float16|int8", help="Weights of a .tflite file."
)
@click.option("--verify-with", metavar="KEY,KEY", help="Runtimes that must agree.  [default: all that are installed]")
@click.option("--data", type=click.Path(path_type=Path), metavar="FILE.h5", help="Images to compare on; else the run's")
@click.option("--overwrite", is_flag=True, help="Replace OUT and its sidecar.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON value and nothing else.")
@click.option("--verbose", is_flag=True, help="Show TensorFlow's own log lines.")
def command(
    target: str,
    out: Path,
    *,
    file_format: str | None,
    checkpoint: str,
    preprocessing: str | None,
    preset: str,
    input_type: str,
    quantize: str,
    verify_with: str | None,
    data: Path | None,
    overwrite: bool,
    as_json: bool,
    verbose: bool,
) -> None:
    """Write TARGET for other programs as OUT, with a sidecar beside it.

    OUT.pb is a frozen graph, OUT.onnx and OUT.tflite are what ONNX Runtime and
    LiteRT read, a name without suffix becomes a SavedModel's folder. The file
    is run in every installed runtime; one that computes something else than
    the model is not kept. Runtimes: tensorflow, tensorflow1, opencv, onnxruntime, litert.

    \b
    Example:
      facet export first first.pb
      facet export first first.tflite --quantize float16
      facet export first sharp.pb --preset age-estimator-sharp
    """
    from models.export.formats import file_format_for
    from models.export.options import ExportOptions, runtime_keys
    from models.interface.targets import find_target

    found = find_target(target, checkpoint)
    if found.is_frozen_graph:
        raise FacetError(f"{target}: is a frozen graph already, expected a run, a .keras or a .h5")
    options = ExportOptions(
        file_format or file_format_for(out.name),
        preprocessing or ("outside" if preset else "inside"),
        input_type,
        quantize,
        preset,
        runtime_keys(verify_with),
    )
    _check(out, options, data, overwrite=overwrite)

    from scripts.native_logs import quiet_native_logs

    with Console(as_json=as_json) as console:
        quiet_native_logs(verbose=verbose)
        exported = _export(found, out, options, data, console, overwrite=overwrite)
        if as_json:
            console.result(exported.to_dict())
        _tell(exported, console)


def _check(out: Path, options: "ExportOptions", data: Path | None, *, overwrite: bool) -> None:
    """Refuses what cannot be done, before any work."""
    from models.export.exporting import check_export_path
    from models.export.parity import chosen_runtimes

    check_export_path(out, options, overwrite=overwrite)
    chosen_runtimes(options.file_format, options.verify_with)
    if data is not None and not data.is_file():
        raise FacetError(f"--data {data}: no such file, expected a packed HDF5 file")


def _export(
    found: "Target", out: Path, options: "ExportOptions", data: Path | None, console: Console, *, overwrite: bool
) -> "Exported":
    from models.export import export_model
    from models.model_file import load_model_file

    model, description = load_model_file(found.path)
    wanted = replace(description, image_size=options.image_size(description))
    examples = _examples(data, found.data, wanted, console)
    calibration = _calibration(data or found.data, wanted) if options.quantization == "int8" else None
    console.say(f"exporting {shown(found.path)}, compared on {examples.source if examples else 'made-up images'}")
    if calibration:
        console.say(f"int8 finds its ranges on {calibration.source}")
    return export_model(
        model, description, out, options, examples=examples, calibration=calibration, overwrite=overwrite
    )


def _examples(given: Path | None, runs: Path | None, wanted: "ModelDescription", console: Console) -> "Examples | None":
    """Gives real images from --data or the run's own file; None where there are none."""
    from models.export.examples import examples_from

    if given is not None:
        return examples_from(given, wanted)
    if runs is None:
        return None
    try:
        return examples_from(runs, wanted)
    except (FacetError, OSError) as error:
        console.say(f"note: the run's own data cannot be read ({error}); --data FILE.h5 gives other images")
        return None


def _calibration(data: Path | None, wanted: "ModelDescription") -> "Examples":
    """Gives images of the train split; made-up ones would give int8 the wrong ranges."""
    from models.export.examples import examples_from

    if data is None:
        raise FacetError("--quantize int8: no images to find its ranges on, expected --data FILE.h5")
    return examples_from(data, wanted, _CALIBRATION, ("train", "validation", "test"))


def _tell(exported: "Exported", console: Console) -> None:
    from models.export.parity_table import parity_table
    from models.export.sidecar import sidecar_path

    signature, sidecar = exported.sidecar.signature, exported.sidecar
    graph_input = signature.input
    colours = graph_input.preprocessing.in_words()
    console.say(f"input  {graph_input.name} {graph_input.dtype} {_shape(graph_input.shape)} {colours}")
    for output in signature.outputs:
        console.say(f"output {output.name} float32 {_shape((None, output.width))} {output.polarity}")
    for line in parity_table(exported.comparison.runtimes):
        console.say(line)
    if not exported.comparison.tells_apart:
        console.say("note: the model gives all these images the same values, so that their agreement says little")
    for note in sidecar.description.notes:
        console.say(f"note: {note}")
    path = shown(exported.path)
    more = " and mean.json" if sidecar.options.preset else ""
    console.say(f"{path} ({exported.size:,} bytes), {sidecar_path(path).name}{more} beside it")
    name = shlex.quote(str(path))
    told = f"predict {name} PICTURES" if sidecar.options.file_format == "pb" else f"verify-export {name} --data FILE.h5"
    console.say(f"next: facet {told}")


def _shape(shape: tuple[int | None, ...]) -> str:
    return "(" + ", ".join("N" if side is None else str(side) for side in shape) + ")"
