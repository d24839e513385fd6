"""On which side of the split each row lies, where several sources may each bring a split of their own."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from hdf5_helper.errors import FacetError
from hdf5_helper.packing.options import SplitOptions
from hdf5_helper.packing.origin import Row
from hdf5_helper.packing.splits import split
from hdf5_helper.sources.records import Listing
from hdf5_helper.wording import count_text


def decide_sides(
    listings: Sequence[Listing], rows: Sequence[Row], choice: SplitOptions
) -> tuple[list[int], str, tuple[str, ...]]:
    """Decides the side of every row.

    A source that brings its own split keeps it, unless parts are asked for; all others are dealt together, so that a
    person who is in two of them stays on one side.

    Args:
        listings: of the sources.
        rows: those that are kept, each with the number of its source.
        choice: what was asked for.

    Returns:
        0 train, 1 validation or 2 test for each row; the name of the split; warnings.

    Raises:
        FacetError: an official split or a fold was asked for where there is none.
    """
    if choice.fold is not None and not any(row.record.fold is not None for row in rows):
        layouts = " and ".join(dict.fromkeys(listing.layout for listing in listings))
        raise FacetError(f"--fold {choice.fold}: layout {layouts} has no folds here, expected no --fold")
    sides = np.zeros(len(rows), np.uint8)
    said: dict[str, None] = {}
    warnings: dict[str, None] = {}
    for numbers, listing in _dealt_together(listings, choice):
        places = [place for place, row in enumerate(rows) if row.origin in numbers]
        records = [rows[place].record for place in places]
        if not records:
            continue
        has_folds = any(record.fold is not None for record in records)
        own = choice if has_folds or len(listings) == 1 else replace(choice, fold=None)
        sides[places], name, more = split(listing, records, own)
        said[name] = None
        warnings |= dict.fromkeys(more)
    return sides.tolist(), " and ".join(said), (*warnings, *_leaks(rows, sides.tolist(), len(listings)))


def _leaks(rows: Sequence[Row], sides: Sequence[int], sources: int) -> tuple[str, ...]:
    """Says how many persons the splits of several sources put on two sides, each of which keeps its own."""
    if sources == 1:
        return ()
    found: dict[str, set[int]] = {}
    for row, side in zip(rows, sides, strict=True):
        if row.record.subject is not None:
            found.setdefault(row.record.subject, set()).add(side)
    leaking = sum(len(seen) > 1 for seen in found.values())
    if not leaking:
        return ()
    people = count_text(leaking, "person is", "persons are")
    return (f"warning: {people} on two sides of the split, expected --split with parts to deal all sources together",)


def _dealt_together(listings: Sequence[Listing], choice: SplitOptions) -> list[tuple[set[int], Listing]]:
    """Gives the sources, by number, that are dealt together, each time with what `split` must know of them."""
    own = [number for number, listing in enumerate(listings) if listing.official and choice.parts is None]
    others = set(range(len(listings))) - set(own)
    parts = [({number}, listings[number]) for number in own]
    if others:
        first = listings[min(others)]
        records = tuple(record for number in sorted(others) for record in listings[number].records)
        parts.append((others, replace(first, records=records)))
    return parts
