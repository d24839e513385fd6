"""What a source of images gives: records, and what it could not read as records."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

#: (path, reason) of images left out.
Rejects = tuple[tuple[str, str], ...]

#: gender and age_group: the class number; age: years; a class label: the name of the class; attributes: int8 values
#: (-1 no, 0 unknown, 1 yes) as bytes, in the order of Listing.attribute_names.
LabelValue = int | float | str | bytes


# Shared by all records without groups: an empty dict each would be 64 MB for a million of them.
_NO_GROUPS: Mapping[str, str] = {}


class RejectedError(Exception):
    """An image is no example; the message is the reason."""


@dataclass(frozen=True, slots=True)
class Record:
    """One image with its labels, before the image is read.

    Attributes:
        path: relative to the source's root, POSIX separators; bytes that are no UTF-8 are kept as surrogates.
        labels: known labels by name, at least one.
        subject: who it is, or None; the same text for the same person.
        groups: groups by name (origin, race, …), never targets.
        split: number of the official split (0 train, 1 validation, 2 test), or None.
        fold: number of the fold from 0, or None.
    """

    path: str
    labels: Mapping[str, LabelValue]
    subject: str | None = None
    groups: Mapping[str, str] = field(default_factory=lambda: _NO_GROUPS)
    split: int | None = None
    fold: int | None = None


@dataclass(frozen=True)
class Listing:
    """All records of one source.

    Attributes:
        layout: name of the layout.
        records: in the order of their paths.
        rejects: (path, reason) of images that are no records.
        ignored: number of files that are no images, and of images that the source's own labels say nothing of.
        sentences: what the user should know about how the source was read.
        official: the source brings its own split.
        split_name: what its own split is called.
        validation_share: part of the official train split's subjects that become validation (0: it is complete).
        attribute_names: what the values of the label `attributes` are, where records have it.
        class_names: classes by dset name (`labels/NAME`, `groups/NAME`) whose numbers are given: these come first.
        joined: a file of several sources, whose persons are told apart already.
        corrected: number of records that a table of corrections has changed.
    """

    layout: str
    records: tuple[Record, ...]
    rejects: Rejects = ()
    ignored: int = 0
    sentences: tuple[str, ...] = ()
    official: bool = False
    split_name: str = "official"
    validation_share: float = 0.0
    attribute_names: tuple[str, ...] = ()
    class_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    joined: bool = False
    corrected: int = 0


def collect(paths: Iterable[str], read: Callable[[str], Record]) -> tuple[tuple[Record, ...], Rejects]:
    """Calls `read` with every path, and gives the records and those for which it raised RejectedError."""
    records: list[Record] = []
    rejects: list[tuple[str, str]] = []
    for path in paths:
        try:
            records.append(read(path))
        except RejectedError as reason:
            rejects.append((path, str(reason)))
    return tuple(records), tuple(rejects)
