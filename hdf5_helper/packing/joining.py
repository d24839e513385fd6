"""Several sources in one file: what keeps their paths and persons apart."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from hdf5_helper.errors import FacetError
from hdf5_helper.sources.records import Listing, Record
from hdf5_helper.wording import own_names

#: The group that says from which source an example came.
SOURCE_GROUP = "source"

#: Layouts whose names for a person mean the same one in any tree.
_GLOBAL_PERSONS = ("adience", "afad", "agegender", "celeba")

_REMEMBERED = 65536  # different ones at a time


def joined(places: Sequence[Path], listings: Sequence[Listing]) -> list[tuple[Listing, str]]:
    """Gives listings as parts of one file, each with what its paths begin with now.

    That is the name of its folder or file, which is a group `source` too. Persons are told apart by source, but for
    layouts whose names for a person are those of one well-known collection. A single listing stays as it is.

    Raises:
        FacetError: two sources have attributes, and not the same ones.
    """
    if len(listings) == 1:
        return [(listings[0], "")]
    _check_attributes(places, listings)
    names = own_names([(place.stem if place.is_file() else place.resolve().name) or "root" for place in places])
    return [(_part(listing, name), f"{name}/") for listing, name in zip(listings, names, strict=True)]


def _check_attributes(places: Sequence[Path], listings: Sequence[Listing]) -> None:
    having = [(place, listing.attribute_names) for place, listing in zip(places, listings, strict=True)]
    first, *others = [pair for pair in having if pair[1]] or [(Path(), ())]
    for place, attributes in others:
        if attributes != first[1]:
            raise FacetError(f"{place}: has other attributes than {first[0]}, expected the same, in the same order")


def _part(listing: Listing, name: str) -> Listing:
    persons = None if listing.joined else listing.layout if listing.layout in _GLOBAL_PERSONS else name

    @functools.lru_cache(_REMEMBERED)  # records of the same groups share them, and those of a person the name
    def grouped(groups: tuple[tuple[str, str], ...]) -> Mapping[str, str]:
        return {SOURCE_GROUP: name, **dict(groups)}

    @functools.lru_cache(_REMEMBERED)
    def person(subject: str) -> str:
        return subject if persons is None else f"{persons}/{subject}"

    def named(record: Record) -> Record:
        return replace(
            record,
            path=f"{name}/{record.path}",
            subject=None if record.subject is None else person(record.subject),
            groups=grouped(tuple(record.groups.items())),
        )

    rejects = tuple((f"{name}/{path}", why) for path, why in listing.rejects)
    return replace(listing, records=tuple(map(named, listing.records)), rejects=rejects)
