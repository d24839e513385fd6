"""The files of a folder tree, listed once; links are followed, and each real folder is entered once."""

import os
from collections import deque
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from hdf5_helper.decode import IMAGE_SUFFIXES
from hdf5_helper.errors import FacetError


@dataclass(frozen=True)
class Tree:
    """A folder tree, or one file given in its place.

    Attributes:
        root: the folder.
        files: all files below it, sorted, relative to it with POSIX separators.
        given: name of the file that the user named instead of a folder, or None.
    """

    root: Path
    files: tuple[str, ...]
    given: str | None = None

    @cached_property
    def images(self) -> tuple[str, ...]:
        """The files that an image suffix calls images."""
        return tuple(name for name in self.files if name.lower().endswith(IMAGE_SUFFIXES))

    @property
    def ignored(self) -> int:
        """Number of files without an image suffix."""
        return len(self.files) - len(self.images)


def list_tree(source: Path) -> Tree:
    """Lists the files under `source`, or takes `source` itself where it is a file.

    Raises:
        FacetError: `source` does not exist.
    """
    if source.is_file():
        return Tree(source.parent, (source.name,), source.name)
    if not source.is_dir():
        raise FacetError(f"{source}: no such folder, expected a tree of labelled images")
    return Tree(source, tuple(sorted(_walk(source), key=os.fsencode)))


def _walk(root: Path) -> list[str]:
    found: list[str] = []
    entered = {_identity(root.stat())}
    folders = deque([""])
    while folders:
        below = folders.popleft()
        for entry in sorted(os.scandir(root / below), key=lambda item: os.fsencode(item.name)):
            name = f"{below}/{entry.name}" if below else entry.name
            if not entry.is_dir():
                found.append(name)
            elif (identity := _identity(entry.stat())) not in entered:
                entered.add(identity)
                folders.append(name)
    return found


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
