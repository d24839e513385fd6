"""From what a manifest writes as a path to a path inside its folder."""

import os
from contextlib import suppress
from pathlib import Path

from hdf5_helper.sources.records import RejectedError


class Inside:
    """One folder, and the paths that lie in it.

    A packed file names images relative to the packed folder, so that they can be found and restored below any other:
    an image outside has no such name.

    Args:
        root: the folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._bases = tuple(dict.fromkeys((os.path.abspath(root), os.path.realpath(root))))  # noqa: PTH100 - `..` goes

    def path(self, written: str) -> str:
        """Gives a path relative to the folder, POSIX separators, without `.` and `..`.

        Backslashes are separators, and blanks around a path do not count, unless there is a file of just this name.

        Raises:
            RejectedError: it is empty, or leads out of the folder.
        """
        spelt = self._spelt(written)
        if not spelt:
            raise RejectedError("has no path")
        for path in self._relative(spelt):
            if path.split("/")[0] != "..":
                return path
        raise RejectedError(f"lies outside {self._root}, expected the manifest in a folder above its images")

    def _relative(self, path: str) -> list[str]:
        """Gives the path from the folder, by each of its names where it is absolute."""
        found = [os.path.normpath(path)]
        if Path(path).is_absolute():
            with suppress(ValueError):  # another drive of Windows
                found = [os.path.relpath(path, base) for base in self._bases]
        return [name.replace(os.sep, "/") for name in found if not Path(name).is_absolute()]

    def _spelt(self, written: str) -> str:
        plain = written.strip()
        choices = tuple(dict.fromkeys((plain.replace("\\", "/"), plain, written)))
        there = (choice for choice in choices if len(choices) > 1 and os.path.lexists(self._root / choice))
        return next(there, choices[0])
