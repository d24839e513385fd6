"""`facet import-weights`: pretrained weights of another framework for a backbone of Facet."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hdf5_helper.errors import FacetError
from scripts.console import Console, shown

if TYPE_CHECKING:
    from models.preprocessing import Preprocessing
    from models.pretrained.importing import Import

_FILE = click.Path(path_type=Path)


@click.command()
@click.argument("source", metavar="FILE", type=_FILE)
@click.argument("out", metavar="[OUT.weights.h5]", type=_FILE, required=False)
@click.option("--architecture", metavar="NAME", help="The backbone that the weights are for, such as vggface.")
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="Argument of the backbone, such as alpha=0.5.")
@click.option("--color", metavar="RGB|BGR", help="Order of colours that the weights want.  [known by format]")
@click.option("--mean", metavar="M,M,M", help="What is subtracted, 0-255, in that order.  [known by format]")
@click.option("--scale", metavar="S|S,S,S", help="What it is divided by then.  [known by format]")
@click.option("--leave-out", multiple=True, metavar="PATTERN", help="Layers not to take, such as 'dense*'.")
@click.option("--licence", default="", metavar="TEXT", help="Licence of the weights, for the sidecar.")
@click.option("--trained-on", default="", metavar="TEXT", help="What the weights have seen, for model cards.")
@click.option("--list", "listed", is_flag=True, help="Show the arrays of FILE, and stop.")
@click.option("--overwrite", is_flag=True, help="Replace OUT.weights.h5 and its sidecar.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON value and nothing else.")
@click.option("--verbose", is_flag=True, help="Show TensorFlow's own log lines.")
def command(source: Path, out: Path | None, *, listed: bool, as_json: bool, verbose: bool, **values: Any) -> None:
    """Turn the pretrained weights FILE of another framework into Keras weights.

    Reads Torch7 (.t7), Caffe (.caffemodel), MatConvNet (.mat), Keras 1 and 2
    (.h5), PyTorch (.pth) and safetensors; nothing in a file is executed.
    OUT.weights.h5.json says what the weights are and what they want to see.
    What is missing, left over or of another shape is told, and nothing written.

    \b
    Example:
      facet import-weights vgg_face.mat --list
      facet import-weights VGG_FACE.t7 vggface.weights.h5 --architecture vggface
      facet train faces.h5 --recipe adience-vggface --weights vggface.weights.h5
    """
    with Console(as_json=as_json) as console:
        if listed:
            if out is not None:
                raise FacetError(f"{out}: given with --list, which writes nothing, expected one of the two")
            _list(source, console)
            return
        from models.pretrained.importing import import_weights
        from scripts.native_logs import quiet_native_logs

        quiet_native_logs(verbose=verbose)
        wanted = _wanted(source, out, values)
        sidecar = import_weights(wanted, console.say)
        if as_json:
            console.result({"weights": str(wanted.out), **sidecar})
        console.say(f"next: facet train FILE.h5 --backbone {wanted.architecture} --weights {shown(wanted.out)}")


def _wanted(source: Path, out: Path | None, values: dict[str, Any]) -> "Import":
    from models.backbones.registry import BACKBONES
    from models.pretrained.importing import Import
    from scripts.train_values import pairs

    if out is None:
        raise FacetError("OUT.weights.h5: none given, expected the file to write, or --list")
    if not values["architecture"]:
        raise FacetError(f"--architecture: none given, expected one of {', '.join(sorted(BACKBONES))}")
    preprocessing = _preprocessing(values["color"], values["mean"], values["scale"])
    told = {name: values[name] for name in ("licence", "trained_on", "leave_out", "overwrite")}
    return Import(source, out, values["architecture"], pairs(values["sets"]), preprocessing, **told)


def _preprocessing(color: str | None, mean: str | None, scale: str | None) -> "Preprocessing | None":
    """Gives what the options say that the weights want to see; None where they say nothing."""
    from models.preprocessing import Preprocessing

    if color is None and mean is None and scale is None:
        return None
    if color is None or mean is None:
        raise FacetError("--color, --mean, --scale: expected both color and mean, and scale where it is not 1")
    scales = _numbers("--scale", scale or "1", (1, 3))
    return Preprocessing.from_dict(
        {"color": color, "mean": _numbers("--mean", mean, (3,)), "scale": scales if len(scales) == 3 else scales[0]}
    )


def _numbers(option: str, text: str, counts: tuple[int, ...]) -> list[float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in counts:
        raise FacetError(f"{option} {text!r}: expected {' or '.join(map(str, counts))} numbers with commas")
    return numbers


def _list(source: Path, console: Console) -> None:
    from models.pretrained.reading import read_arrays

    _format, found = read_arrays(source)
    if console.as_json:
        shapes = [{"name": name, "dtype": str(a.dtype), "shape": list(a.shape)} for name, a in found.arrays.items()]
        console.result({"format": found.form, "arrays": shapes})
    width = max(map(len, found.arrays), default=0)
    for name, array in found.arrays.items():
        console.say(f"{name:<{width}}  {array.dtype!s:<8} {'x'.join(map(str, array.shape))}")
    values = sum(array.size for array in found.arrays.values())
    console.say(f"{source}: {found.form}, {len(found.arrays)} arrays with {values:,} values")
