"""What is in the activation cache, and clearing it; files that a process has open are left."""

import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hdf5_helper.disk import taken_bytes
from hdf5_helper.errors import FacetError, did_you_mean
from hdf5_helper.locking import try_lock
from hdf5_helper.storage.positional import open_for_reading, read_pieces
from models.training.activations.key import ActivationKey
from models.training.activations.opening import CHECKSUM, DamageError, alone_in, described, reason

#: Digits of a digest that are shown.
SHOWN_DIGITS = 8

_FILE = re.compile(r"[0-9a-f]{32}\.h5")
_BEGUN = re.compile(r"\.[0-9a-f]{32}\.part\.h5")
_DAY = 86400


@dataclass(frozen=True)
class CachedFile:
    """One activation file.

    Attributes:
        path: the file.
        key: what it is of, None where it is damaged.
        damage: what is wrong with it, "" if nothing.
        stored: rows stored; they are not checked.
        bytes: that it takes on its disk.
        last_used: seconds since 1970.
    """

    path: Path
    key: ActivationKey | None
    damage: str
    stored: int
    bytes: int
    last_used: float

    @property
    def digest(self) -> str:
        """The key's digest, 32 hexadecimal digits."""
        return self.path.stem


@dataclass(frozen=True)
class Cleared:
    """What became of files that were to be removed.

    Attributes:
        removed: they are gone, or would be.
        in_use: a process has them open, or the system keeps them.
    """

    removed: tuple[CachedFile, ...]
    in_use: tuple[CachedFile, ...]


def cached_files(folder: Path) -> list[CachedFile]:
    """Gives the activation files in `folder`, the last used first; whatever else lies there is left out."""
    paths = [path for path in folder.glob("*.h5") if _FILE.fullmatch(path.name)] if folder.is_dir() else []
    found = [file for path in sorted(paths) if (file := _cached_file(path)) is not None]
    return sorted(found, key=lambda file: -file.last_used)


def chosen(files: Sequence[CachedFile], prefixes: Iterable[str], unused_for: float | None) -> list[CachedFile]:
    """Gives the files that are meant.

    Args:
        files: to choose from.
        prefixes: first digits of digests; none for all files.
        unused_for: days since their last use at least, None for any.

    Raises:
        FacetError: no digest begins with one of the prefixes.
    """
    prefixes = [prefix.lower() for prefix in prefixes]
    for prefix in prefixes:
        if not prefix or not any(file.digest.startswith(prefix) for file in files):
            known = did_you_mean(prefix, [file.digest[:SHOWN_DIGITS] for file in files])
            raise FacetError(f"cache {prefix!r}: no such digest, {known if files else 'the cache is empty'}")
    latest = time.time() - (unused_for or 0) * _DAY
    meant = [file for file in files if not prefixes or file.digest.startswith(tuple(prefixes))]
    return [file for file in meant if unused_for is None or file.last_used <= latest]


def clear(folder: Path, files: Iterable[CachedFile], *, dry_run: bool = False) -> Cleared:
    """Removes files of `folder` that no process has open, and what processes that died left of beginning one.

    Args:
        folder: of the activation files.
        files: to remove.
        dry_run: only says what would become of them.
    """
    removed: list[CachedFile] = []
    in_use: list[CachedFile] = []
    with alone_in(folder):  # nobody opens one meanwhile
        for file in files:
            (removed if _removed(file.path, dry_run=dry_run) else in_use).append(file)
        for begun in [] if dry_run else folder.glob(".*.part.h5"):
            if _BEGUN.fullmatch(begun.name):
                begun.unlink()
    return Cleared(tuple(removed), tuple(in_use))


def _removed(path: Path, *, dry_run: bool) -> bool:
    """Removes a file, or says whether it could be removed."""
    try:
        with open(path, "rb") as file:
            if not try_lock(file):
                return not path.exists()
        if not dry_run:
            path.unlink()
    except FileNotFoundError:
        return True
    except PermissionError:  # Windows keeps what is open
        return False
    return True


def _cached_file(path: Path) -> CachedFile | None:
    """Gives what is known of a file, None where it has gone meanwhile."""
    key, damage, stored, last_used = None, "", 0, 0.0
    try:
        last_used = path.stat().st_mtime
        key, structure = described(path)
        with open_for_reading(path) as handle:
            checksums = read_pieces(handle, structure.dsets[CHECKSUM].extents.pieces(0, 8 * key.rows))
            stored = int(np.count_nonzero(np.frombuffer(checksums, "<u8")))
    except FileNotFoundError:
        return None
    except DamageError as error:
        damage = str(error)
    except OSError as error:
        damage = reason(error)
    return CachedFile(path, key, damage, stored, taken_bytes(path), last_used)
