"""`facet sample`: draw a tree of simple faces."""

import shlex
from pathlib import Path

import click

from scripts.console import Console

_LAYOUTS = "afad|agegender|adience|celeba|utkface|folders|manifest"


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--layout", metavar=_LAYOUTS, required=True, help="How labels are written in the tree.")
@click.option("--count", type=int, default=2000, show_default=True, help="Number of pictures.")
@click.option("--seed", type=int, default=0, show_default=True, help="Another seed draws other persons.")
@click.option("--image-size", type=int, default=128, show_default=True, help="Side of the pictures in pixels.")
@click.option("--mess", is_flag=True, help="Add what real trees have: damaged, odd and wrongly labelled files.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON value.")
def command(*, folder: Path, layout: str, count: int, seed: int, image_size: int, mess: bool, as_json: bool) -> None:
    """Draw a tree of simple faces into DIR.

    Nobody real is shown, and nothing is downloaded. Gender, age and some attributes can be seen in the drawings and
    learned from them. The same options give the same bytes; a larger count adds pictures.

    \b
    Example:
      facet sample faces --layout agegender
      facet sample faces --layout adience --count 500 --mess
    """
    from dataclasses import asdict

    from hdf5_helper.sample import SampleOptions, write_sample

    with Console(as_json=as_json) as console:
        options = SampleOptions(layout, count, seed, image_size, mess)
        report = write_sample(folder, options, console)
        if as_json:
            console.result(asdict(report))
            return
        console.say(f"{report.images:,} pictures of {report.persons:,} drawn persons in {folder}, layout {layout}")
        men, (youngest, oldest) = report.images - report.women, report.ages
        console.say(f"women on {report.women:,}, men on {men:,}; ages {youngest} to {oldest}")
        for place, what in report.mess.items():
            console.say(f"mess: {place}: {what}")
        console.say(f"next: facet pack {shlex.quote(str(folder))} {shlex.quote(f'{folder.resolve().name}.h5')}")
