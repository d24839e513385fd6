"""`facet inspect`: say what is in a packed file."""

import shlex
from pathlib import Path
from typing import Any

import click

from hdf5_helper.wording import count_text
from scripts.console import Console

#: Classes of a label that are printed; --json has all of them.
_MOST_CLASSES = 20


@click.command()
@click.argument("file", metavar="FILE.h5", type=click.Path(path_type=Path))
@click.option("--grid", type=click.Path(path_type=Path), metavar="GRID.png", help="Draw examples into this file.")
@click.option("--duplicates", is_flag=True, help="List images that are in the file more than once.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON value and nothing else.")
def command(*, file: Path, grid: Path | None, duplicates: bool, as_json: bool) -> None:
    """Say what is in a packed file: splits, labels, groups, sizes, persons, copies.

    \b
    Example:
      facet inspect faces.h5 --grid faces.png
    """
    from hdf5_helper.inspecting.summary import duplicates as list_duplicates
    from hdf5_helper.inspecting.summary import leaking_subjects, summarize
    from hdf5_helper.reading.reader import HDF5Reader

    with Console(as_json=as_json) as console:
        with HDF5Reader(file) as reader:
            values = summarize(reader)
            if duplicates:
                values["duplicates"]["paths"] = list_duplicates(reader)
                values["subjects"]["names_in_several_splits"] = leaking_subjects(reader)
        if grid is not None:
            from hdf5_helper.inspecting.grid import write_grid

            values["grid"] = {"path": str(grid), "examples": write_grid(file, grid)}
        if as_json:
            console.result(values)
            return
        for line in _lines(values):
            console.say(line)
        console.say(f"next: facet train {shlex.quote(str(file))} --run NAME --backbone mobilenet --weights imagenet")


def _lines(values: dict[str, Any]) -> list[str]:
    """Gives the whole answer in words."""
    return [
        *_head(values),
        *_table(values),
        *(f"group {name}: {_counts(counts)}" for name, counts in values["groups"].items()),
        _persons(values["subjects"]),
        _copies(values["duplicates"]),
        *(" = ".join(paths) for paths in values["duplicates"].get("paths", ())),
        *(f"{name}: in several splits" for name in values["subjects"].get("names_in_several_splits", ())),
        *_grid(values),
    ]


def _head(values: dict[str, Any]) -> list[str]:
    sizes = values["image_sizes"]
    smallest, largest = ("×".join(map(str, sizes[which])) for which in ("smallest", "largest"))
    shapes = smallest if sizes["different"] == 1 else f"{smallest} to {largest} ({sizes['different']:,} sizes)"
    megabytes = values["bytes"] / 1e6
    return [
        f"{values['path']}: {values['examples']:,} examples, {values['storage']} storage, {megabytes:,.1f} MB",
        f"images {shapes}, digest {values['images_digest'][:16]}",
    ]


def _table(values: dict[str, Any]) -> list[str]:
    """Gives one row a split and class, with a column for each split and one for all."""
    columns = {**{name: split["labels"] for name, split in values["splits"].items()}, "all": values["labels"]}
    counts = {**{name: split["examples"] for name, split in values["splits"].items()}, "all": values["examples"]}
    rows = [("", list(columns)), ("examples", [f"{counts[name]:,}" for name in columns])]
    for label, kinds in values["labels"].items():
        named, more = _kinds(label, kinds)
        rows += [(f"{label} {kind}", [_cell(c[label], kind) for c in columns.values()]) for kind in named]
        rows += [(f"{label}: … {more:,} more", [])] if more else []
    return [f"{name:<24}" + "".join(f"{cell:>14}" for cell in cells) for name, cells in rows]


def _kinds(label: str, kinds: dict[str, Any]) -> tuple[list[str], int]:
    """Gives the rows of a label, and the number of classes left out: the largest classes, decades, attributes.

    There is a row `unknown` only where there is one.
    """
    more = 0
    if label == "age":
        named = ["youngest", "median", "oldest", *kinds["decades"]]
    else:
        named = [name for name in kinds if name != "unknown"]
        if label != "attributes":
            named, more = _largest(kinds, named)
    return [*named, *(["unknown"] if kinds.get("unknown") else [])], more


def _largest(counts: dict[str, int], named: list[str]) -> tuple[list[str], int]:
    """Gives the names with the largest counts, in their old order where none is left out, and how many were."""
    if len(named) <= _MOST_CLASSES:
        return named, 0
    return sorted(named, key=lambda name: -counts[name])[:_MOST_CLASSES], len(named) - _MOST_CLASSES


def _cell(kinds: dict[str, Any], kind: str) -> str:
    value = kinds.get(kind, kinds.get("decades", {}).get(kind, 0))
    if isinstance(value, dict):
        return f"{value['yes']:,} yes"
    return "-" if value is None else f"{value:,g}" if isinstance(value, float) else f"{value:,}"


def _counts(counts: dict[str, int]) -> str:
    named, more = _largest(counts, [name for name in counts if name != "unknown"])
    shown = [*named, *(["unknown"] if counts["unknown"] else [])]
    texts = [f"{name} {counts[name]:,}" for name in shown] + ([f"… {more:,} more"] if more else [])
    return ", ".join(texts)


def _persons(subjects: dict[str, int]) -> str:
    if not subjects["persons"]:
        return "persons unknown"
    without = subjects["examples_without"]
    unknown = f", {count_text(without, 'example')} of unknown persons" if without else ""
    return f"{count_text(subjects['persons'], 'person')}{unknown}; {subjects['in_several_splits']:,} in several splits"


def _copies(found: dict[str, int]) -> str:
    copies = count_text(found["copies"], "byte-identical copy", "byte-identical copies")
    return f"{copies}; {count_text(found['in_several_splits'], 'image')} in several splits"


def _grid(values: dict[str, Any]) -> list[str]:
    return (
        [f"{values['grid']['path']}: {count_text(values['grid']['examples'], 'example')}"] if "grid" in values else []
    )
