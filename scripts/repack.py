"""`facet repack`: packed files into one new one."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scripts.console import Console
from scripts.native_logs import quiet_native_logs
from scripts.packing import carry_out

if TYPE_CHECKING:
    from hdf5_helper.packing.repack import RepackOptions

_FILE = click.Path(path_type=Path)


@click.command()
@click.argument("sources", metavar="IN.h5", nargs=-1, required=True, type=_FILE)
@click.argument("target", metavar="OUT.h5", type=_FILE)
@click.option("--where", metavar='"age >= 16"', help="Keep the examples for which this holds.")
@click.option("--labels", type=_FILE, metavar="FIXES.csv", help="Corrected labels, groups and subjects by path.")
@click.option("--storage", metavar="encoded|raw", help="Image files (PNG of pixels), or pixels.  [as it is]")
@click.option("--image-size", metavar="150|218x178", help="Raw: size of the pixels.  Encoded: readers' default.")
@click.option("--fit", metavar="stretch|crop|pad", help="How other shapes come to the size.  [as it is]")
@click.option(
    "--max-size", type=int, metavar="512", help="Shrink to a JPEG what has a longer side, where that is shorter."
)
@click.option("--split", metavar="official|0.64,0.16,0.2", help="Split anew into train, validation, test.  [as it is]")
@click.option("--split-by", default="subject", metavar="subject|image", help="What stays on one side of a new split.")
@click.option("--fold", type=int, metavar="K", help="Test on fold K, validate on the one before.")
@click.option("--fraction", type=float, default=1.0, metavar="0.1", help="Keep this share of the examples.")
@click.option("--limit", type=int, metavar="N", help="Keep at most N examples.")
@click.option("--seed", type=int, metavar="N", help="Chooses split, fraction and row order.  [as it is]")
@click.option("--workers", type=int, metavar="N", help="How many work at a time.  [one a core and one more]")
@click.option(
    "--executor", default="threads", metavar="processes|threads|dask://HOST:PORT", help="Where the work is done."
)
@click.option("--overwrite", is_flag=True, help="Replace OUT.h5.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and stop.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON value.")
def command(*, sources: tuple[Path, ...], target: Path, dry_run: bool, as_json: bool, **values: Any) -> None:
    """Make one new packed file of one or several: merged, filtered, relabelled, split or stored in another way.

    The packed files stay as they are. Where images stay as they are stored, their bytes are checked and copied, not
    decoded; damaged ones are left out and listed in OUT.h5.rejects.csv. With --max-size an image stays as it is where
    the smaller JPEG would not be shorter.

    --where compares labels, groups, split, fold, subject and path with numbers, words or quoted text by == != < <= > >=
    and in (a, b), joined by and, or, not and brackets. Words are of letters, digits, _ . and -; what else there is in a
    name is quoted, and so are and, in, is, not, or. It sees labels as they are before --labels corrects them.

    FIXES.csv has a column path, and columns named after labels or groups, or subject. Empty values change nothing,
    unknown makes unknown.

    \b
    Example:
      facet repack faces.h5 adults.h5 --where "age >= 16 and gender != unknown"
      facet repack faces.h5 corrected.h5 --labels fixes.csv --split 0.7,0.1,0.2
      facet repack afad.h5 celeba.h5 both.h5 --storage raw --image-size 150
    """
    quiet_native_logs()
    from hdf5_helper.packing.repack import repack_plan

    with Console(as_json=as_json) as console, repack_plan(sources, target, _options(**values)) as plan:
        corrected = sum(origin.listing.corrected for origin in plan.survey.origins)
        carry_out(console, plan, dry_run=dry_run, corrected=corrected)


def _options(*, image_size: str | None, **values: Any) -> "RepackOptions":
    from hdf5_helper.images.fit import parse_size
    from hdf5_helper.packing.repack import RepackOptions

    return RepackOptions(image_size=None if image_size is None else parse_size(image_size), **values)
