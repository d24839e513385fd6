"""`facet cache`: what trainings keep to be faster, and clearing it."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from scripts.console import Console, shown

if TYPE_CHECKING:
    from models.training.activations.listing import CachedFile

_HEAD = ("digest", "cut", "images", "view", "precision", "kept as", "stored", "on disk", "last used")


@click.group()
def command() -> None:
    """List or clear what trainings keep to be faster: activations below the layers that are trained.

    Nothing here is needed: a training computes again what it lacks. It lies in history/.cache, or in $FACET_CACHE.

    \b
    Example:
      facet cache list
      facet cache clear --unused-for 30
    """


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON value and nothing else.")
def list_files(*, as_json: bool) -> None:
    """List the files of activations, the last used first.

    \b
    Example:
      facet cache list
      facet cache list --json
    """
    from hdf5_helper.wording import bytes_text, count_text
    from models.training.activations.listing import cached_files
    from models.training.activations.place import activations_folder

    folder = activations_folder()
    with Console(as_json=as_json) as console:
        files = cached_files(folder)
        taken = sum(file.bytes for file in files)
        if as_json:
            console.result({"folder": str(folder), "bytes": taken, "files": [_values(file) for file in files]})
            return
        if not files:
            console.say(f"no activations in {shown(folder)}")
            return
        for line in _table([_HEAD, *map(_row, files)]):
            console.say(line)
        console.say(f"{count_text(len(files), 'file')} in {shown(folder)}, {bytes_text(taken)}")
        console.say("next: facet cache clear --unused-for 30")


@command.command("clear")
@click.argument("digests", nargs=-1, metavar="[DIGEST]...")
@click.option("--unused-for", type=click.FloatRange(min=0), metavar="DAYS", help="Only what was not used for so long.")
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and stop.")
def clear_files(*, digests: Sequence[str], unused_for: float | None, dry_run: bool) -> None:
    """Remove files of activations: all, or those whose DIGEST begins as given; the first digits do.

    Files that a training has open are left. The next training computes again what it lacks.

    \b
    Example:
      facet cache clear --dry-run
      facet cache clear 1f83a6c0
      facet cache clear --unused-for 30
    """
    from hdf5_helper.wording import bytes_text, count_text
    from models.training.activations.listing import cached_files, chosen, clear
    from models.training.activations.place import activations_folder

    folder = activations_folder()
    with Console() as console:
        cleared = clear(folder, chosen(cached_files(folder), digests, unused_for), dry_run=dry_run)
        for file in cleared.removed:
            console.say(f"{'would remove' if dry_run else 'removed'} {_named(file)}")
        for file in cleared.in_use:
            console.say(f"left {_named(file)}: a process has it open")
        what = count_text(len(cleared.removed), "file")
        freed = bytes_text(sum(file.bytes for file in cleared.removed))
        verbs = ("would be removed", "would be freed") if dry_run else ("removed", "freed")
        console.say(f"{what} {verbs[0]} from {shown(folder)}, {freed} {verbs[1]}")


def _named(file: "CachedFile") -> str:
    from hdf5_helper.wording import bytes_text

    cut = f", {file.key.cut}, {file.key.view}" if file.key else ", damaged"
    return f"{_short(file)}{cut}, {bytes_text(file.bytes)}"


def _short(file: "CachedFile") -> str:
    from models.training.activations.listing import SHOWN_DIGITS

    return file.digest[:SHOWN_DIGITS]


def _row(file: "CachedFile") -> tuple[str, ...]:
    """Gives a file's line of the table; see _HEAD."""
    from hdf5_helper.wording import bytes_text

    used = time.strftime("%Y-%m-%d", time.localtime(file.last_used))
    if file.key is None:
        return (_short(file), f"damaged: {file.damage}", "", "", "", "", "", bytes_text(file.bytes), used)
    size = "×".join(map(str, file.key.image_size))
    stored = f"{file.stored:,} of {file.key.rows:,}"
    kept = (file.key.precision, file.key.dtype, stored, bytes_text(file.bytes), used)
    return (_short(file), file.key.cut, size, file.key.view, *kept)


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    padded = ("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)) for row in rows)
    return [line.rstrip() for line in padded]


def _values(file: "CachedFile") -> dict[str, Any]:
    """Gives what --json says of a file; `key` is null where it is damaged."""
    return {
        "digest": file.digest,
        "path": str(file.path),
        "damage": file.damage or None,
        "key": file.key.to_json() if file.key else None,
        "stored": file.stored,
        "bytes": file.bytes,
        "last_used": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(file.last_used)),
    }
