"""`facet pack`: a tree of labelled images into one HDF5 file."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scripts.console import Console
from scripts.native_logs import quiet_native_logs
from scripts.packing import carry_out

if TYPE_CHECKING:
    from hdf5_helper.packing.packer import PackOptions

_SOURCE = click.Path(path_type=Path)


@click.command()
@click.argument("sources", metavar="SOURCE", nargs=-1, required=True, type=_SOURCE)
@click.argument("target", metavar="FILE.h5", type=_SOURCE)
@click.option(
    "--layout",
    default="auto",
    metavar="NAME",
    help="afad, agegender, adience, celeba, utkface, folders or manifest.  [auto]",
)
@click.option("--storage", default="encoded", metavar="encoded|raw", help="Image files as they are, or pixels.")
@click.option("--image-size", metavar="150|218x178", help="Raw: size of the pixels.  [150]  Encoded: readers' default.")
@click.option("--fit", default="stretch", metavar="stretch|crop|pad", help="How other shapes come to the size.")
@click.option(
    "--split", metavar="official|0.64,0.16,0.2", help="Train, validation, test.  [official, else these parts]"
)
@click.option("--split-by", default="subject", metavar="subject|image", help="What stays on one side of the split.")
@click.option("--fold", type=int, metavar="K", help="Test on fold K, validate on the one before.")
@click.option("--fraction", type=float, default=1.0, metavar="0.1", help="Keep this share of the images.")
@click.option("--seed", type=int, default=0, show_default=True, help="Chooses split, fraction and row order.")
@click.option("--limit", type=int, metavar="N", help="Keep at most N images.")
@click.option("--label-name", metavar="NAME", help="Label that folders are.  [gender, else class]")
@click.option("--map", "maps", multiple=True, metavar="gender:W=female,M=male", help="What written labels mean.")
@click.option("--columns", metavar="path=file,age=AGE", help="Columns of a manifest by role or label.")
@click.option("--groups", metavar="race,camera", help="Columns of a manifest for evaluation by group, never targets.")
@click.option("--faces", metavar="aligned|coarse", help="Which faces of Adience.  [aligned where they are there]")
@click.option(
    "--max-size",
    type=int,
    metavar="512",
    help="Encoded: shrink to a JPEG what has a longer side, where that is shorter.",
)
@click.option("--workers", type=int, metavar="N", help="How many work at a time.  [one a core and one more]")
@click.option(
    "--executor", default="threads", metavar="processes|threads|dask://HOST:PORT", help="Where the work is done."
)
@click.option("--overwrite", is_flag=True, help="Replace FILE.h5.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and stop.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON value.")
def command(*, sources: tuple[Path, ...], target: Path, dry_run: bool, as_json: bool, **values: Any) -> None:
    """Pack the labelled images under SOURCE, a folder or a table of images, into FILE.h5.

    The layout of the tree is recognised, or named by --layout. Images that cannot be packed are listed in
    FILE.h5.rejects.csv. FILE.h5 is complete or does not exist; where packing was interrupted, the same command goes on.
    Several sources become one file, in which paths begin with the source's name; options hold for those that have a use
    for them.

    \b
    Example:
      facet pack faces faces.h5
      facet pack AFAD-Full afad.h5 --storage raw --image-size 150 --split 0.7,0.1,0.2
      facet pack AFAD-Full celeba both.h5 --max-size 512
      facet pack faces.csv faces.h5 --columns path=file,gender=sex --map gender:W=female,M=male --groups camera
    """
    quiet_native_logs()  # libjpeg and libpng print about every damaged image
    from hdf5_helper.packing.packer import plan_pack

    with Console(as_json=as_json) as console:
        plan = plan_pack(sources, target, _options(**values), progress=console)
        carry_out(console, plan, dry_run=dry_run)


def _options(
    *, image_size: str | None, maps: tuple[str, ...], columns: str | None, groups: str | None, **values: Any
) -> "PackOptions":
    from hdf5_helper.images.fit import parse_size
    from hdf5_helper.packing.options import parse_columns, parse_groups, parse_maps
    from hdf5_helper.packing.packer import PackOptions

    return PackOptions(
        image_size=None if image_size is None else parse_size(image_size),
        value_map=parse_maps(maps),
        columns=parse_columns(columns),
        groups=parse_groups(groups),
        **values,
    )
