"""A packed file as a source of images: records from its index, images from its bytes."""

import functools
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from hdf5_helper.labels import UNKNOWN_CLASS, known, label_kind
from hdf5_helper.packing.joining import SOURCE_GROUP
from hdf5_helper.packing.origin import Row
from hdf5_helper.reading.packed_index import PackedIndex
from hdf5_helper.reading.stored_images import EncodedImages, RawImages, StoredImages, Verifier
from hdf5_helper.sources.records import LabelValue, Listing, Record, RejectedError
from hdf5_helper.storage import file_format as names
from hdf5_helper.storage.file_layout import Extents
from hdf5_helper.storage.opening import SealedFile
from hdf5_helper.storage.positional import Pieces, open_for_reading, read_pieces

#: Labels whose stored values are their own, and not numbers of classes.
_VALUES = ("age", "age_group", "gender")

_REMEMBERED = 65536  # different rows of labels at a time

#: Why an image of a packed file is left out.
DAMAGED = "its bytes do not match their checksum"


@dataclass(frozen=True, slots=True)
class StoredFile:
    """The image of one example.

    Attributes:
        file: the packed file.
        pieces: where the bytes lie.
        checksum: XXH3-64 of them.
        shape: (height, width, 3) of stored pixels; None where the bytes are an image file.
    """

    file: str
    pieces: Pieces
    checksum: int
    shape: tuple[int, int, int] | None

    def read(self) -> bytes | NDArray[np.uint8]:
        """Gives the image file's bytes, or the pixels.

        Raises:
            RejectedError: the bytes are damaged.
        """
        with open_for_reading(self.file) as handle:
            data = read_pieces(handle, self.pieces)
        if xxhash.xxh3_64_intdigest(data) != self.checksum:
            raise RejectedError(DAMAGED)
        return data if self.shape is None else np.frombuffer(data, np.uint8).reshape(self.shape)


@dataclass(frozen=True)
class PackedOrigin:
    """A packed file.

    Attributes:
        file: open.
        listing: its records; paths may begin with `prefix`.
        prefix: what comes before the path that the file has.
    """

    file: SealedFile
    listing: Listing
    prefix: str = ""

    @property
    def place(self) -> Path:
        """The file."""
        return self.file.path

    @cached_property
    def index(self) -> PackedIndex:
        """The file's index."""
        return PackedIndex(self.file)

    @cached_property
    def numbers(self) -> dict[str, int]:
        """Example index by the path that the file has."""
        return {path: number for number, path in enumerate(self.index.paths)}

    @cached_property
    def _checksums(self) -> list[int]:
        return self.index.checksums.tolist()  # type: ignore[no-any-return]

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """First byte of every image within the dset of images, int64 (N,)."""
        if self.index.storage == "raw":
            return np.arange(len(self.index), dtype=np.int64) * self._row_bytes
        return self.column(names.ENCODED_OFFSET).astype(np.int64)

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Bytes of every image, int64 (N,)."""
        if self.index.storage == "raw":
            return np.full(len(self.index), self._row_bytes, np.int64)
        return self.column(names.ENCODED_LENGTH).astype(np.int64)

    @property
    def raw_size(self) -> tuple[int, int] | None:
        """(height, width) of stored pixels; None where image files are stored."""
        return None if self.index.storage == "encoded" else self._images.shape[1:3]

    @property
    def _row_bytes(self) -> int:
        return int(np.prod(self._images.shape[1:], dtype=np.int64))

    @property
    def _images(self) -> Any:
        return self.file.structure.dsets[names.IMAGES if self.index.storage == "raw" else names.ENCODED_BYTES]

    @property
    def extents(self) -> Extents:
        """Where the dset of images lies."""
        extents: Extents = self._images.extents
        return extents

    def column(self, name: str) -> NDArray[Any]:
        """Gives a whole column as it is stored, (N, …)."""
        return self.file.structure.column(name, self.file.data)

    def number(self, row: Row) -> int:
        """Gives the example index of a row in this file."""
        return self.numbers[row.record.path[len(self.prefix) :]]

    def pieces(self, number: int) -> Pieces:
        """Gives where the image of an example lies."""
        start = int(self.starts[number])
        return self.extents.pieces(start, start + int(self.lengths[number]))

    @cached_property
    def _stored(self) -> tuple[Verifier, StoredImages]:
        verifier = Verifier(self.file, "never")
        raw = self.index.storage == "raw"
        return verifier, RawImages(self.file, verifier) if raw else EncodedImages(self.file, verifier, "stretch")

    def damaged(self, numbers: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Says of which examples the stored bytes do not match their checksum, bool (n,); safe for threads."""
        verifier, images = self._stored
        return verifier.mismatches(numbers, images.stored(numbers))

    def original(self, row: Row) -> StoredFile:
        """See Origin."""
        number = self.number(row)
        shape = self._images.shape[1:] if self.index.storage == "raw" else None
        return StoredFile(str(self.place.absolute()), self.pieces(number), self._checksums[number], shape)


def list_packed(index: PackedIndex) -> Listing:
    """Gives the records of a packed file; their splits are its own."""
    labels = _rows({name: list(_label_values(index, name)) for name in index.label_names}, len(index))
    groups = _rows(
        {name: _class_values(index.group(name), index.group_names(name)) for name in index.groups}, len(index)
    )
    persons, folds, sides = index.subjects.tolist(), index.folds.tolist(), index.split_numbers.tolist()
    records = tuple(
        Record(
            path,
            labels_of,
            None if persons[row] == names.UNKNOWN_SUBJECT else index.subject_names[persons[row]],
            groups_of,
            sides[row],
            None if folds[row] == names.NO_FOLD else folds[row],
        )
        for row, (path, labels_of, groups_of) in enumerate(zip(index.paths, labels, groups, strict=True))
    )
    return Listing(
        str(index.attributes.get("layout", "packed")),
        records,
        official=True,
        split_name=str(index.attributes.get("split", "official")),
        attribute_names=index.class_names("attributes") if "attributes" in index.label_names else (),
        class_names=_numbered(index),
        joined=SOURCE_GROUP in index.groups,
    )


def _rows(columns: Mapping[str, Sequence[Any]], count: int) -> Iterator[Mapping[str, Any]]:
    """Gives what each row has of the columns, without None; rows with the same values share one mapping."""
    rows = zip(*columns.values(), strict=True) if columns else itertools.repeat((), count)

    @functools.lru_cache(_REMEMBERED)
    def shared(values: tuple[Any, ...]) -> Mapping[str, Any]:
        return {name: value for name, value in zip(columns, values, strict=True) if value is not None}

    return map(shared, rows)


def _numbered(index: PackedIndex) -> dict[str, tuple[str, ...]]:
    labels = [name for name in index.label_names if name not in (*_VALUES, "attributes")]
    return {names.LABELS + name: index.class_names(name) for name in labels} | {
        names.GROUPS + name: index.group_names(name) for name in index.groups
    }


def _label_values(index: PackedIndex, name: str) -> Iterator[LabelValue | None]:
    values = index.labels(name)
    if name == "attributes":
        return (row.tobytes() if row.any() else None for row in values)
    if name in _VALUES:
        is_known = known(name, values).tolist()
        return (value if good else None for value, good in zip(values.tolist(), is_known, strict=True))
    return iter(_class_values(values, index.class_names(name), int(label_kind(name).unknown)))


def _class_values(numbers: NDArray[Any], classes: Sequence[str], unknown: int = UNKNOWN_CLASS) -> list[str | None]:
    return [None if number == unknown else classes[number] for number in numbers.tolist()]
