"""The files of a folder tree, listed once; links are followed, and each real folder is entered once."""

import os
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from hdf5_helper.errors import FacetError
from hdf5_helper.images.decode import IMAGE_SUFFIXES
from hdf5_helper.sources.tables import TABLE_SUFFIXES

_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True)
class Tree:
    """A folder tree, or one table given in its place: then that file is all of it.

    Attributes:
        root: the folder.
        files: all files below it, sorted, relative to it with POSIX separators.
        table: name of the file that was given in its place.
    """

    root: Path
    files: tuple[str, ...]
    table: str | None = None

    @cached_property
    def images(self) -> tuple[str, ...]:
        """The files that an image suffix calls images."""
        return tuple(name for name in self.files if name.lower().endswith(IMAGE_SUFFIXES))

    @property
    def ignored(self) -> int:
        """Number of files without an image suffix."""
        return len(self.files) - len(self.images)


def file_name(path: str) -> str:
    """Gives the last part of a path of a tree."""
    return path.rpartition("/")[2]


def stem(path: str) -> str:
    """Gives the last part without its suffix."""
    name = file_name(path)
    return name.rpartition(".")[0] or name


def list_tree(source: Path) -> Tree:
    """Lists the files under `source`, or takes `source` itself where it is a table.

    Raises:
        FacetError: `source` does not exist, or is a file and no table.
    """
    if source.is_file():
        _check_table(source)
        return Tree(source.parent, (source.name,), source.name)
    if not source.is_dir():
        raise FacetError(f"{source}: no such folder, expected a tree of labelled images")
    return Tree(source, tuple(sorted(_walk(source), key=os.fsencode)))


def _check_table(file: Path) -> None:
    """Refuses one file in place of a tree, unless it is a table of images."""
    start = b""
    with suppress(OSError), file.open("rb") as opened:  # what cannot be read says so when it is read
        start = opened.read(len(_HDF5_SIGNATURE))
    if start == _HDF5_SIGNATURE:
        raise FacetError(
            f"{file}: is an HDF5 file, expected images; `facet repack` makes new packed files of packed ones"
        )
    if not file.name.lower().endswith(TABLE_SUFFIXES):
        kinds = ", ".join(TABLE_SUFFIXES)
        raise FacetError(f"{file}: is one file, expected a folder of labelled images, or a table of them ({kinds})")


def _walk(root: Path) -> list[str]:
    """Gives the files below `root`; a folder that links lead to too is entered under its own name."""
    found: list[str] = []
    entered = _ancestors(root)
    folders, links = deque([""]), deque[str]()
    while folders or links:
        below = (folders or links).popleft()
        if (identity := _identity(root / below)) in entered:
            continue
        entered.add(identity)
        for entry in _entries(root / below):
            name = f"{below}/{entry.name}" if below else entry.name
            if _is_folder(entry):
                (links if entry.is_symlink() else folders).append(name)
            else:
                found.append(name)
    return found


def _ancestors(root: Path) -> set[tuple[int, int]]:
    """Gives the folders above `root`: a link to one of them leads back to `root`, by way of everything else there."""
    found: set[tuple[int, int]] = set()
    for folder in root.resolve().parents:
        with suppress(OSError):  # above the folder of this process there may be some that it must not see
            found.add(_identity(folder))
    return found


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        return sorted(os.scandir(folder), key=lambda item: os.fsencode(item.name))
    except OSError as error:
        raise FacetError(f"{folder}: cannot be listed: {(error.strerror or str(error)).lower()}") from error


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Says whether an entry is a folder; a link that leads to itself is none, and says so when it is read."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _identity(folder: Path) -> tuple[int, int]:
    """Gives what only this folder has, whatever links lead to it; DirEntry.stat knows no inode on Windows."""
    status = folder.stat()
    return status.st_dev, status.st_ino
