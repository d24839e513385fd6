"""The file of `facet features`: vectors by example, beside the labels of the packed file that they were made of."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from hdf5_helper.atomic import written_whole
from hdf5_helper.disk import failures_as_sentences
from hdf5_helper.errors import FacetError
from hdf5_helper.storage import file_format as names
from hdf5_helper.storage.structure import opened

#: Root attribute `format`, and (major, minor).
FORMAT = "facet-features"
VERSION = (1, 0)

FEATURES = "features"
#: Number of each row's example in the packed file.
EXAMPLE = "example"

_COLUMNS = (names.FOLD, names.SUBJECT, names.PATH)


@dataclass(frozen=True)
class FeatureTable:
    """What a feature file holds beside its vectors.

    Attributes:
        data: the packed file; what it says of each example is copied.
        rows: int64 (n,), the examples, in the order of the vectors.
        splits: uint8 (N,), the split of every example of the packed file.
        width: numbers a vector.
        attributes: root attributes: text, numbers or tuples of them.
    """

    data: Path
    rows: NDArray[np.int64]
    splits: NDArray[np.uint8]
    width: int
    attributes: Mapping[str, Any]

    @property
    def nbytes(self) -> int:
        """Bytes of the vectors, without the copied columns."""
        return len(self.rows) * self.width * 4


def check_feature_path(out: Path, data: Path, *, overwrite: bool) -> None:
    """Refuses a file that is there, one in no folder, and the packed file itself.

    Raises:
        FacetError: names it.
    """
    if not out.parent.is_dir():
        raise FacetError(f"{out}: the folder {out.parent} does not exist")
    if out.is_dir():
        raise FacetError(f"{out}: is a folder, expected the name of a new HDF5 file")
    if out.exists() and data.exists() and out.samefile(data):
        raise FacetError(f"{out}: is the packed file itself, expected the name of a new HDF5 file")
    if out.exists() and not overwrite:
        raise FacetError(f"{out}: exists, expected another name or --overwrite")


def write_feature_file(out: Path, table: FeatureTable, blocks: Iterable[NDArray[np.float32]]) -> None:
    """Writes vectors and what the packed file says of their examples, whole or not at all.

    The same table and the same vectors give the same bytes.

    Args:
        out: the file; one that is there is replaced.
        table: what it holds.
        blocks: float32 (b, width) each, together one row an example, in order.

    Raises:
        FacetError: it cannot be written.
    """
    with failures_as_sentences(out), written_whole(out) as part, h5py.File(part, "w") as file:
        for name, value in table.attributes.items():
            file.attrs[name] = np.bytes_(names.path_bytes(value)) if isinstance(value, str) else value
        file.attrs[names.ATTRIBUTE_FORMAT] = np.bytes_(FORMAT.encode())
        file.attrs[names.ATTRIBUTE_VERSION] = np.array(VERSION)
        file[EXAMPLE] = table.rows
        _copy_columns(table, file)
        _write_blocks(file.create_dataset(FEATURES, (len(table.rows), table.width), np.float32), blocks)


def _write_blocks(dset: h5py.Dataset, blocks: Iterable[NDArray[np.float32]]) -> None:
    done = 0
    for block in blocks:
        dset[done : done + len(block)] = block
        done += len(block)


def _copy_columns(table: FeatureTable, file: h5py.File) -> None:
    with opened(table.data) as source:
        folders = [name for name in (names.LABELS, names.GROUPS) if name.rstrip("/") in source]
        inside = [f"{folder}{name}" for folder in folders for name in source[folder]]
        for name in (*inside, *_COLUMNS):
            _copy(source, file, name, source[name][()][table.rows])
        _copy(source, file, names.SPLIT, table.splits[table.rows])
        _copy(source, file, names.SUBJECT_NAMES, source[names.SUBJECT_NAMES][()])


def _copy(source: h5py.File, file: h5py.File, name: str, values: NDArray[Any]) -> None:
    """Writes a column with the attributes that it has in the packed file."""
    file[name] = values
    for attribute, value in source[name].attrs.items():
        file[name].attrs[attribute] = value
