"""What every file of this format holds beside its labels: a sealed file by another hand may lack some of it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hdf5_helper.errors import FacetError
from hdf5_helper.images.fit import FITS
from hdf5_helper.storage import file_format as names
from hdf5_helper.storage import seal
from hdf5_helper.storage.positional import FileBytes
from hdf5_helper.storage.structure import REMEDY, Structure

# dset -> NumPy type and shape, in which None is any length and "N" the number of examples
_Shape = tuple[str | int | None, ...]
_COMMON: dict[str, tuple[str, _Shape]] = {
    names.CHECKSUM: ("<u8", ("N",)),
    names.SPLIT: ("|u1", ("N",)),
    names.FOLD: ("|i1", ("N",)),
    names.SUBJECT: ("<i4", ("N",)),
    names.SUBJECT_NAMES: ("|S", (None,)),
    names.PATH: ("|S", ("N",)),
    names.CHANNEL_MEAN: ("<f4", ("N", 3)),
    names.SEAL: ("|u1", (seal.SIZE,)),
}
_STORED: dict[str, dict[str, tuple[str, _Shape]]] = {
    "raw": {names.IMAGES: ("|u1", ("N", None, None, 3))},
    "encoded": {
        names.ENCODED_BYTES: ("|u1", (None,)),
        names.ENCODED_OFFSET: ("<u8", ("N",)),
        names.ENCODED_LENGTH: ("<u4", ("N",)),
        names.ENCODED_HEIGHT: ("<u2", ("N",)),
        names.ENCODED_WIDTH: ("<u2", ("N",)),
        names.ENCODED_ORIENTATION: ("|u1", ("N",)),
    },
}


def check_members(path: Path, structure: Structure, attributes: Mapping[str, Any]) -> None:
    """Refuses a file that lacks an attribute or a dset of this format, or has one of another type or shape."""
    for name, choices in ((names.ATTRIBUTE_STORAGE, names.STORAGES), (names.ATTRIBUTE_FIT, FITS)):
        if attributes.get(name) not in choices:
            found = f"{name} {attributes[name]!r}" if name in attributes else f"no {name}"
            raise FacetError(f"{path}: has {found}, expected one of {', '.join(choices)}")
    checksums = structure.dsets.get(names.CHECKSUM)
    count = checksums.shape[0] if checksums is not None and checksums.shape else 0
    wanted = _COMMON | _STORED[attributes[names.ATTRIBUTE_STORAGE]]
    for name, (kind, shape) in wanted.items():
        _check_dset(path, structure, name, kind, tuple(count if side == "N" else side for side in shape))
    for name in structure.dsets:
        if name.startswith((names.LABELS, names.GROUPS)) and structure.dsets[name].shape[:1] != (count,):
            raise FacetError(f"{path}: {name} has not as many rows as the file has examples; {REMEDY}")
    if not count:
        raise FacetError(f"{path}: holds no examples, expected at least one")


def _check_dset(path: Path, structure: Structure, name: str, kind: str, shape: tuple[str | int | None, ...]) -> None:
    if name not in structure.dsets:
        raise FacetError(f"{path}: has no {name}, which every such file of Facet's has; {REMEDY}")
    dset = structure.dsets[name]
    fits = len(dset.shape) == len(shape) and all(
        side in (None, found) for side, found in zip(shape, dset.shape, strict=True)
    )
    if not fits or not dset.dtype.str.startswith(kind):
        expected = f"{kind} ({', '.join('any' if side is None else str(side) for side in shape)})"
        raise FacetError(f"{path}: its {name} is {dset.dtype.str} {dset.shape}, expected {expected}; {REMEDY}")


def check_ranges(path: Path, structure: Structure, data: FileBytes) -> None:
    """Refuses encoded images that begin or end outside of the image bytes."""
    if names.ENCODED_BYTES not in structure.dsets:
        return
    starts, lengths = (structure.column(name, data) for name in (names.ENCODED_OFFSET, names.ENCODED_LENGTH))
    total = structure.dsets[names.ENCODED_BYTES].shape[0]
    if starts.max() > total or (starts + lengths).max() > total:
        raise FacetError(f"{path}: an image lies outside of {names.ENCODED_BYTES}; {REMEDY}")
