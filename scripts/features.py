"""`facet features`: writes what a backbone makes of every image of a packed file."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hdf5_helper.errors import FacetError
from scripts.console import Console, shown
from scripts.train_values import pairs

if TYPE_CHECKING:
    from models.interface.features import Extraction


@click.command()
@click.argument("source", metavar="RUN|FILE.keras|BACKBONE")
@click.argument("data", type=click.Path(path_type=Path), metavar="FILE.h5")
@click.argument("out", type=click.Path(path_type=Path), metavar="OUT.h5")
@click.option("--weights", metavar="FILE|imagenet|none", help="Of a backbone, which needs them.")
@click.option("--image-size", metavar="150|218x178", help="Of a backbone; else the file's own, else the backbone's.")
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="backbone_arguments, value as YAML.")
@click.option("--checkpoint", default="best", show_default=True, metavar="best|last|FILE", help="Of a run.")
@click.option("--layer", metavar="NAME", help="Of the backbone; its last one without it.")
@click.option(
    "--pooling", default="average", show_default=True, metavar="average|flatten", help="Feature map to vector."
)
@click.option("--split", default="all", show_default=True, metavar="train|validation|test|all")
@click.option("--overwrite", is_flag=True, help="Replace OUT.h5.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and stop.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON value and nothing else.")
@click.option("--verbose", is_flag=True, help="Show TensorFlow's own log lines.")
def command(
    *, image_size: str | None, sets: tuple[str, ...], dry_run: bool, as_json: bool, verbose: bool, **options: Any
) -> None:
    """Write a vector for every image of FILE.h5 to OUT.h5, with the file's labels beside them.

    They are what the backbone of a run, or a backbone with pretrained
    weights, makes of the images: for scikit-learn and the like.

    \b
    Example:
      facet features first faces.h5 features.h5
      facet features mobilenet faces.h5 features.h5 --weights imagenet
      facet features vggface faces.h5 fc7.h5 --weights vggface.weights.h5 --set backbone_arguments={output: fc7}
    """
    from models.interface.features import FeatureRequest, open_extraction
    from models.training.settings import typed

    size = None if image_size is None else typed("image_size", image_size)
    request = FeatureRequest(image_size=size, arguments=_arguments(sets), **options)
    source = request.find()
    with Console(as_json=as_json) as console:
        _prepare_tensorflow(verbose=verbose)
        with open_extraction(request, source, console.say) as extraction:
            console.say(_plan(extraction))
            if not dry_run:
                extraction.write(console)
                console.stop()
                console.say(f"next: {_next(request.out)}")
            if as_json:
                console.result(extraction.values())


def _arguments(sets: tuple[str, ...]) -> dict[str, Any] | None:
    from models.training.settings import typed

    given = pairs(sets)
    for name in given:
        if name != "backbone_arguments":
            raise FacetError(f"--set {name}: expected backbone_arguments, which is all that features can set")
    return dict(typed("backbone_arguments", given["backbone_arguments"])) if given else None


def _prepare_tensorflow(*, verbose: bool) -> None:
    """Makes it quiet, repeatable and exact."""
    from scripts.native_logs import quiet_native_logs
    from scripts.tensorflow_runtime import deterministic_tensorflow

    quiet_native_logs(verbose=verbose)
    deterministic_tensorflow()
    import tensorflow as tf

    # newer GPUs would round what goes into float32 convolutions to 10 bits
    tf.config.experimental.enable_tensor_float_32_execution(False)


def _plan(extraction: "Extraction") -> str:
    from hdf5_helper.disk import free_bytes
    from hdf5_helper.wording import bytes_text, count_text

    table, values = extraction.table, extraction.table.attributes
    height, width = values["image_size"]
    free = bytes_text(free_bytes(extraction.out.absolute()))
    split = "" if values["split"] == "all" else f" of {values['split']}"
    return (
        f"{count_text(len(table.rows), 'example')}{split} in {shown(table.data)}: {values['backbone']} with weights"
        f" {values['weights']}, images {height}x{width}, layer {values['layer']}, {count_text(table.width, 'number')}"
        f" each, {bytes_text(table.nbytes)}, {free} free"
    )


def _next(out: Path) -> str:
    return f"""python -c "import h5py; print(h5py.File('{shown(out)}')['features'][:3])" """.strip()
