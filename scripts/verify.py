"""`facet verify`: read a whole packed file and compare it with its checksums."""

import shlex
from dataclasses import asdict
from pathlib import Path

import click

from hdf5_helper.errors import FacetError
from hdf5_helper.wording import bytes_text, count_text
from scripts.console import Console


@click.command()
@click.argument("file", metavar="FILE.h5", type=click.Path(path_type=Path))
@click.option("--workers", type=click.IntRange(1), metavar="N", help="Threads that read; one a core if not given.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON value and nothing else.")
def command(*, file: Path, workers: int | None, as_json: bool) -> None:
    """Read a whole packed file and name every example that is not as it was packed.

    Exits with 1 where anything is damaged.

    \b
    Example:
      facet verify faces.h5
    """
    from hdf5_helper.inspecting.verify import verify

    with Console(as_json=as_json) as console:
        found = verify(file, workers=workers, progress=console)
        if as_json:
            console.result({**asdict(found), "path": str(found.path)})
        for damage in () if as_json else found.damaged:
            console.say(f"example {damage.example} ({damage.path}): damaged")
        if found.damaged:
            first, count = found.damaged[0], len(found.damaged)
            raise FacetError(
                f"{file}: {count:,} of {count_text(found.examples, 'example')} damaged, the first is example"
                f" {first.example} ({first.path}), expected none; pack it again or restore it from a copy"
            )
        if not as_json:
            console.say(f"{file}: {count_text(found.examples, 'example')}, {bytes_text(found.size)}: all as packed")
            console.say(f"next: facet inspect {shlex.quote(str(file))}")
