"""Finds an activation file, or makes it: one that is damaged or of another key is replaced by an empty one.

Only here libhdf5 touches a file. All of it lies at fixed places from the start on (a sparse file), so any number of
processes fill it by positional writes, and a kill never meets libhdf5 at work.
"""

import errno
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from hdf5_helper.atomic import written_whole
from hdf5_helper.disk import failures_as_sentences
from hdf5_helper.errors import FacetError
from hdf5_helper.progress import Say
from hdf5_helper.storage.file_format import raw_chunk
from hdf5_helper.storage.file_layout import Attribute, DsetPlan, Extents, create
from hdf5_helper.storage.opening import python_value
from hdf5_helper.storage.positional import FileBytes, open_bytes, open_for_reading, open_for_writing
from hdf5_helper.storage.structure import Structure, attribute_names, opened, read_structure
from models.training.activations.key import ActivationKey
from models.training.activations.number_formats import NUMBER_FORMATS

#: Root attributes of every file.
FORMAT, VERSION = "facet-activations", 1

#: The dsets: rows, XXH3-64 of each row (0 = never written), and how each is stored (see number_formats).
ACTIVATIONS, CHECKSUM, MARK = "activations", "checksum", "format"

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)


class DamageError(Exception):
    """What is wrong with an activation file, in a few words."""


@dataclass(frozen=True)
class OpenedFile:
    """An activation file that is open.

    Attributes:
        places: of the dsets, by name.
        handle: a descriptor for positional reads and writes; it holds the shared lock that says "in use".
        data: the file's bytes for reading rows; bytes of rows that were never written must not be asked for.
        writable: whether this process may write.
    """

    places: Mapping[str, Extents]
    handle: int
    data: FileBytes
    writable: bool


def file_of(folder: Path, key: ActivationKey) -> Path:
    """Gives where the file of a key lies."""
    return folder / f"{key.digest}.h5"


def find_or_make(path: Path, key: ActivationKey, say: Say) -> OpenedFile | None:
    """Opens the file of a key, making it where there is no sound one.

    Args:
        path: of the file; folders above it are made.
        key: what it must be of.
        say: is told what is wrong.

    Returns:
        None where there can be none: no space, no permission.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with alone_in(path.parent):
            return _opened(path, _found(path, say) or _made(path, key), say)
    except FacetError as error:
        say(f"{error}: activations are computed live")
    except OSError as error:
        say(f"{path}: cannot be used ({reason(error)}): activations are computed live")
    return None


def described(path: Path) -> tuple[ActivationKey, Structure]:
    """Gives the key of a file and what lies where in it; its rows are not looked at.

    Raises:
        DamageError: it is no sound activation file, or its name is not its key's.
        OSError: it cannot be read.
    """
    _check_length(path)
    try:
        with opened(path) as file:
            key = _stored_key(file)
            structure = read_structure(file)
    except FacetError:
        raise DamageError("its index is damaged") from None
    if key.digest != path.stem:
        raise DamageError("it is of another key")
    _check_dsets(key, structure, path.stat().st_size)
    return key, structure


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keeps others from making, opening and clearing files of `folder` meanwhile, where the system has such locks."""
    try:
        file = open(folder / ".lock", "ab")  # noqa: SIM115 - closed below
    except OSError:  # what cannot be written needs no lock
        yield
        return
    with file:
        with suppress(ImportError, OSError):
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def reason(error: OSError) -> str:
    """Gives what the system says, for the middle of a sentence."""
    return (error.strerror or str(error)).lower()


def _found(path: Path, say: Say) -> dict[str, Extents] | None:
    """Gives the places in a file that is there and sound."""
    if not path.exists():
        return None
    try:
        _key, structure = described(path)
    except DamageError as error:
        say(f"{path} is damaged ({error}): begun anew")
        return None
    return {name: dset.extents for name, dset in structure.dsets.items()}


def _made(path: Path, key: ActivationKey) -> dict[str, Extents]:
    attributes: dict[str, Attribute] = {"format": FORMAT, "version": VERSION, "key": key.text}
    try:
        with failures_as_sentences(path), written_whole(path) as part:
            return create(part, _plans(key), attributes)
    except (RuntimeError, ValueError) as error:  # h5py's own words about what it cannot lay out
        raise FacetError(f"{path}: cannot be laid out for {key.rows:,} rows of shape {key.shape}") from error


def _plans(key: ActivationKey) -> list[DsetPlan]:
    kind, notes = NUMBER_FORMATS[key.dtype], {"number_format": key.dtype}
    rows = DsetPlan(ACTIVATIONS, kind, (key.rows, *key.shape), attributes=notes)
    return [
        DsetPlan(ACTIVATIONS, kind, rows.shape, raw_chunk(key.rows, rows.row_bytes), notes),
        DsetPlan(CHECKSUM, np.dtype("<u8"), (key.rows,)),
        DsetPlan(MARK, np.dtype("|u1"), (key.rows,)),
    ]


def _opened(path: Path, places: Mapping[str, Extents], say: Say) -> OpenedFile:
    try:
        handle, writable = open_for_writing(path), True
    except OSError as error:
        if error.errno not in _READ_ONLY:
            raise
        say(f"{path}: cannot be written ({reason(error)}): what it lacks is computed live")
        handle, writable = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0)), False
    try:
        with suppress(ImportError, OSError):  # no locks here: `clear` then cannot tell that the file is in use
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return OpenedFile(places, handle, open_bytes(path), writable)
    except BaseException:
        os.close(handle)
        raise


def _check_length(path: Path) -> None:
    """Refuses what is no HDF5 file by its first bytes, and one that is shorter than it says."""
    with open_for_reading(path) as handle:
        head = os.read(handle, 48)
        size = os.fstat(handle).st_size
    if not head.startswith(_SIGNATURE):
        raise DamageError("no HDF5 file")
    # superblock version 2: the end of the file is the 8 bytes from byte 28 (HDF5 file format specification)
    end = int.from_bytes(head[28:36], "little")
    if len(head) < 48 or (head[8] == 2 and size < end):
        raise DamageError(f"{size:,} bytes of {max(end, 48):,}")


def _stored_key(file: h5py.File) -> ActivationKey:
    stored = {name: python_value(file.attrs[name]) for name in attribute_names(file)}
    if stored.get("format") != FORMAT:
        raise DamageError("no file of activations")
    if stored.get("version") != VERSION:
        raise DamageError(f"version {stored.get('version')}, expected {VERSION}")
    try:
        return ActivationKey.from_json(json.loads(str(stored.get("key"))))
    except ValueError:
        raise DamageError("its key is damaged") from None


def _check_dsets(key: ActivationKey, structure: Structure, size: int) -> None:
    """Refuses a file whose dsets are not as its key has them, or do not each have a place of their own inside it."""
    wanted = {plan.name: (plan.dtype, plan.shape) for plan in _plans(key)}
    if {name: (dset.dtype, dset.shape) for name, dset in structure.dsets.items()} != wanted:
        raise DamageError("another shape or type than its key says")
    dsets = structure.dsets.values()
    if not all(dset.extents.fits(dset.nbytes, size) for dset in dsets):
        raise DamageError("its rows have no place in it")
    starts = np.concatenate([dset.extents.offsets for dset in dsets])
    lengths = np.concatenate([np.full(len(dset.extents.offsets), dset.extents.chunk_bytes) for dset in dsets])
    order = np.argsort(starts)
    if (starts[order][1:] < (starts + lengths)[order][:-1]).any():
        raise DamageError("its rows lie over one another")
