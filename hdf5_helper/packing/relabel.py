"""Corrected labels from a table: `facet repack --labels FIXES.csv`."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from hdf5_helper.errors import FacetError
from hdf5_helper.sources import read_source
from hdf5_helper.sources.records import Listing, Record
from hdf5_helper.sources.source_options import SourceOptions
from hdf5_helper.sources.tables import separated_rows


def read_fixes(file: Path, labels: Collection[str], groups: Collection[str]) -> dict[str, Record]:
    """Reads a CSV file with a column `path` and columns of labels, groups or `subject`, as a manifest is read.

    Args:
        file: the table.
        labels: names that are labels, however few values of them are in the table.
        groups: names that are groups.

    Raises:
        FacetError: it cannot be read, or a row of it says nothing that can be taken.
    """
    if not file.is_file():
        raise FacetError(f"--labels {file}: no such file, expected a CSV file with a column path")
    header = [name.strip() for name in next(separated_rows(file), (1, []))[1]]
    named = SourceOptions(
        columns={name: name for name in header if name in labels and name != "attributes"},
        groups=tuple(name for name in header if name in groups),
    )
    listing = read_source(file, "manifest", named)
    for path, reason in listing.rejects:
        raise FacetError(f"--labels {file}: {path} {reason}")
    return {record.path: record for record in listing.records}


def relabelled(listings: Sequence[Listing], fixes: dict[str, Record], file: Path) -> list[Listing]:
    """Gives listings with the corrected labels; what the table leaves empty stays as it is.

    Raises:
        FacetError: the table names an image that is in none of them.
    """
    paths = {record.path for listing in listings for record in listing.records}
    for path in fixes:
        if sum(any(record.path == path for record in listing.records) for listing in listings) > 1:
            raise FacetError(f"--labels {file}: the path {path!r} is in several of the files, expected each by itself")
        if path not in paths:
            raise FacetError(f"--labels {file}: no example has the path {path!r}, expected one such as {min(paths)!r}")
    return [
        replace(
            listing,
            records=tuple(
                _corrected(record, fixes[record.path]) if record.path in fixes else record for record in listing.records
            ),
        )
        for listing in listings
    ]


def _corrected(record: Record, fix: Record) -> Record:
    labels = dict(record.labels)
    if "age" in fix.labels:
        labels.pop("age_group", None)  # it follows from the age, and an age between two groups has none
    return replace(
        record,
        labels={**labels, **fix.labels},
        subject=fix.subject or record.subject,
        groups={**record.groups, **fix.groups},
    )
