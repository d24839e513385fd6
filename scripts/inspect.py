"""`facet inspect`: say what is in a packed file."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hdf5_helper.errors import FacetError
from scripts.console import Console

if TYPE_CHECKING:
    from models.augmentation.recipe import Augmentation


@click.command()
@click.argument("file", metavar="FILE.h5", type=click.Path(path_type=Path))
@click.option("--grid", type=click.Path(path_type=Path), metavar="GRID.png", help="Draw examples into this file.")
@click.option("--augment", metavar="RECIPE", help="Let --grid show what this augmentation makes of training examples.")
@click.option("--seed", default=0, show_default=True, help="Of --augment, as that of a run.")
@click.option("--duplicates", is_flag=True, help="Look at every image and name what is on two sides of the split.")
@click.option(
    "--pairs",
    type=click.Path(path_type=Path),
    metavar="PAIRS.png",
    help="Where --duplicates draws them; FILE.h5.duplicates.png if not given.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON value and nothing else.")
def command(
    *,
    file: Path,
    grid: Path | None,
    augment: str | None,
    seed: int,
    duplicates: bool,
    pairs: Path | None,
    as_json: bool,
) -> None:
    """Say what is in a packed file: splits, labels, groups, sizes, persons, copies.

    \b
    Example:
      facet inspect faces.h5 --grid faces.png
      facet inspect faces.h5 --augment afad --grid views.png
      facet inspect faces.h5 --duplicates --pairs pairs.png
    """
    from hdf5_helper.inspecting.sentences import sentences
    from hdf5_helper.inspecting.summary import summarize
    from hdf5_helper.reading.reader import HDF5Reader

    augmentation = None if augment is None else _parsed(augment, grid)
    if grid is not None or pairs is not None:
        from hdf5_helper.inspecting.grid import check_picture

        for option, picture in (("--grid", grid), ("--pairs", pairs)):
            if picture is not None:
                check_picture(picture, option)
    with Console(as_json=as_json) as console:
        with HDF5Reader(file) as reader:
            values = summarize(reader)
            if duplicates or pairs is not None:
                from hdf5_helper.inspecting.leaks import name_leaks

                name_leaks(reader, values, pairs, console)
        if grid is not None:
            values["grid"] = {"path": str(grid), "examples": _draw(file, grid, augmentation, seed)}
        if as_json:
            console.result(values)
            return
        for line in sentences(values):
            console.say(line)
        console.say(f"next: facet train {shlex.quote(str(file))} --run NAME --backbone mobilenet --weights imagenet")


def _parsed(augment: str, grid: Path | None) -> "Augmentation":
    from models.augmentation.recipe import parse_augmentation

    if grid is None:
        raise FacetError(f"--augment {augment}: shows nothing without --grid GRID.png")
    return parse_augmentation(augment)


def _draw(file: Path, grid: Path, augmentation: "Augmentation | None", seed: int) -> int:
    """Draws examples, or what augmentation makes of some; gives how many."""
    if augmentation is None:
        from hdf5_helper.inspecting.grid import write_grid

        return write_grid(file, grid)
    from models.interface.augmentation_grid import write_augmented_grid

    return write_augmented_grid(file, grid, augmentation, seed)
