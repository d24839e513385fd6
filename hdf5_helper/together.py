"""Several files written as one: all of them get their names, or none does and what was there stays."""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hdf5_helper.atomic import sync_file, sync_folder
from hdf5_helper.errors import FacetError
from hdf5_helper.locking import try_lock


@contextmanager
def made_together(paths: Sequence[Path]) -> Iterator[Path]:
    """Gives a hidden folder in which to make several files or folders of one place, which then get their names.

    Args:
        paths: the final names, all in one folder; what bears such a name is replaced. They are taken in this order, so
            that the last one is there only when the others are.

    Yields:
        The folder; everything made in it under the names of `paths` is kept, all else is removed. On a failure nothing
        is kept, and what was there before is there again. What a killed process left there is removed by the next one.

    Raises:
        FacetError: another process makes the same at this moment.
    """
    folder = paths[-1].with_name(f".{paths[-1].name}.part")
    folder.mkdir(exist_ok=True)
    with open(folder / ".lock", "ab") as lock:
        if not try_lock(lock):
            raise FacetError(f"{paths[-1]}: another process writes it at this moment, expected one at a time")
        try:
            _remove([path for path in folder.iterdir() if path.name != ".lock"])
            yield folder
            _sync([folder / path.name for path in paths])
            _take_names(folder, paths)
            sync_folder(folder.parent)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _sync(made: Sequence[Path]) -> None:
    for path in made:
        for file in [file for file in sorted(path.rglob("*")) if file.is_file()] if path.is_dir() else [path]:
            sync_file(file)


def _take_names(folder: Path, paths: Sequence[Path]) -> None:
    """Renames everything made in `folder`, all or nothing."""
    earlier = folder / ".earlier"
    earlier.mkdir()
    taken: list[Path] = []
    try:
        for path in paths:
            _set_aside(path, earlier / path.name, folder / path.name)
            taken.append(path)
            (folder / path.name).replace(path)
    except BaseException as error:
        for path in reversed(taken):
            _put_back(path, earlier / path.name, folder / path.name)
        if isinstance(error, OSError):
            raise OSError(error.errno, error.strerror, str(taken[-1] if taken else paths[0])) from None
        raise


def _set_aside(path: Path, aside: Path, made: Path) -> None:
    """Keeps what bears a name for the case of a failure; a plain file keeps its name too until another has it."""
    if path.is_dir() or (made.is_dir() and path.exists()):
        path.rename(aside)
    elif path.exists():
        try:
            os.link(path, aside)
        except OSError:  # a file system without links, or a file of somebody else's
            shutil.copy2(path, aside)


def _put_back(path: Path, aside: Path, made: Path) -> None:
    if not made.exists() and path.exists():  # it has the name already
        path.rename(made)
    if aside.exists():
        _remove([path])
        aside.replace(path)


def _remove(paths: Sequence[Path]) -> None:
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
