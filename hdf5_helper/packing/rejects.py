"""The list of images that are in the tree but not in the file: FILE.h5.rejects.csv."""

from collections.abc import Iterable
from pathlib import Path

from hdf5_helper.atomic import write_bytes
from hdf5_helper.sources.records import Rejects
from hdf5_helper.storage.file_format import path_bytes


def sorted_rejects(rejects: Iterable[tuple[str, str]]) -> Rejects:
    """Gives rejects in the order of their paths' bytes."""
    return tuple(sorted(rejects, key=lambda reject: tuple(map(path_bytes, reject))))


def rejects_path(target: Path) -> Path:
    """Gives the name of the list beside `target`."""
    return target.with_name(f"{target.name}.rejects.csv")


def write_rejects(target: Path, rejects: Rejects) -> None:
    """Writes the list with columns path and reason; without rejects there is no such file."""
    if not rejects:
        rejects_path(target).unlink(missing_ok=True)
        return
    lines = [",".join(map(_quoted, row)) + "\n" for row in (("path", "reason"), *rejects)]
    write_bytes(rejects_path(target), path_bytes("".join(lines)))


def _quoted(text: str) -> str:
    """Gives a field of a CSV file; Python's csv module up to 3.12 does not quote a carriage return."""
    return '"{}"'.format(text.replace('"', '""')) if any(mark in text for mark in ',"\r\n') else text


def nothing_left(rejects: Rejects) -> str:
    """Gives the end of the sentence about a source without a single good image."""
    first = f"; the first of {len(rejects)} rejects, {rejects[0][0]}, {rejects[0][1]}" if rejects else ""
    return f"holds no image that can be packed with a label{first}"
