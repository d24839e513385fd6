"""Where the images of a pack come from."""

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

from hdf5_helper.packing.payload import ImageFile, Original
from hdf5_helper.sources.records import Listing, Record


@dataclass(frozen=True, slots=True)
class Row:
    """One image that will be an example, and what must still be true of its file when it is read.

    Attributes:
        record: path and labels.
        size: bytes of the file.
        mtime_ns: its time of modification in nanoseconds.
        split: 0 train, 1 validation, 2 test.
        origin: number of the origin that it comes from.
    """

    record: Record
    size: int
    mtime_ns: int
    split: int
    origin: int = 0


class Origin(Protocol):
    """One source of images."""

    @property
    def place(self) -> Path:
        """The folder or file, for sentences."""

    @property
    def listing(self) -> Listing:
        """Its records."""

    def original(self, row: Row) -> Original:
        """Gives what reads the image of one of its rows."""


@dataclass(frozen=True)
class TreeOrigin:
    """A folder of image files.

    Attributes:
        place: the folder.
        listing: its records.
        prefix: what comes before the path within the folder in every record's path.
    """

    place: Path
    listing: Listing
    prefix: str = ""

    @cached_property
    def _folder(self) -> str:
        return os.path.abspath(self.place)  # noqa: PTH100 - text, and another machine may read it

    def file(self, record: Record) -> str:
        """Gives the absolute path of a record's image file."""
        return os.path.join(self._folder, record.path[len(self.prefix) :])  # noqa: PTH118 - Path costs 5 µs each

    def original(self, row: Row) -> ImageFile:
        """See Origin."""
        return ImageFile(self.file(row.record), row.size, row.mtime_ns)
