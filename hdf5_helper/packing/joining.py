"""Several sources in one file: what keeps their paths and persons apart."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hdf5_helper.errors import FacetError
from hdf5_helper.sources.records import Listing, Record

#: Layouts whose names for a person mean the same one in any tree.
_GLOBAL_PERSONS = ("adience", "afad", "agegender", "celeba")

_GROUP = "source"


def joined(places: Sequence[Path], listings: Sequence[Listing]) -> list[tuple[Listing, str]]:
    """Gives listings as parts of one file, each with what its paths begin with now.

    That is the name of its folder or file, which is a group `source` too. Persons are told apart by source, but for
    layouts whose names for a person are those of one well-known collection. A single listing stays as it is.

    Raises:
        FacetError: two sources have attributes, and not the same ones.
    """
    if len(listings) == 1:
        return [(listings[0], "")]
    if len({listing.attribute_names for listing in listings} - {()}) > 1:
        raise FacetError(f"{places[-1]}: has other attributes than another source, expected the same in each")
    names = own_names([(place.stem if place.is_file() else place.resolve().name) or "root" for place in places])
    return [(_part(listing, name), f"{name}/") for listing, name in zip(listings, names, strict=True)]


def own_names(names: Sequence[str]) -> list[str]:
    """Gives each name, with a number where an earlier one is the same."""
    own: list[str] = []
    for name in names:
        number, candidate = 1, name
        while candidate in own:
            number += 1
            candidate = f"{name}-{number}"
        own.append(candidate)
    return own


def _part(listing: Listing, name: str) -> Listing:
    merged = "+" in listing.layout  # a file of several sources, whose persons are told apart already
    persons = None if merged else listing.layout if listing.layout in _GLOBAL_PERSONS else name
    records = tuple(_named(record, name, persons) for record in listing.records)
    return replace(listing, records=records, rejects=tuple((f"{name}/{path}", why) for path, why in listing.rejects))


def _named(record: Record, name: str, persons: str | None) -> Record:
    return replace(
        record,
        path=f"{name}/{record.path}",
        subject=record.subject if persons is None or record.subject is None else f"{persons}/{record.subject}",
        groups={_GROUP: name, **record.groups},
    )
