"""Before an image is opened: list, stat, labels, split and row order, decided on records alone."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hdf5_helper.errors import FacetError
from hdf5_helper.packing.files import stat_all
from hdf5_helper.packing.joining import joined
from hdf5_helper.packing.options import PackOptions, SplitOptions
from hdf5_helper.packing.origin import Origin, Row, TreeOrigin
from hdf5_helper.packing.payload import Original
from hdf5_helper.packing.rejects import nothing_left, sorted_rejects
from hdf5_helper.packing.sides import decide_sides
from hdf5_helper.packing.splits import choose, text_hashes
from hdf5_helper.progress import Progress, Silent
from hdf5_helper.sources import read_sources
from hdf5_helper.sources.records import Listing, Rejects
from hdf5_helper.storage.file_format import NO_FOLD, SPLIT_NAMES, path_bytes

_SILENT = Silent()


@dataclass(frozen=True)
class Survey:
    """What will be packed.

    Attributes:
        origins: where the images come from.
        split: name of the split: `official`, `fold 4` or the parts.
        rows: in the order of the file.
        rejects: (path, reason), in the order of paths.
        sentences: what the user should know.
        choice: how sides were decided.
    """

    origins: tuple[Origin, ...]
    split: str
    rows: tuple[Row, ...]
    rejects: Rejects
    sentences: tuple[str, ...]
    choice: SplitOptions

    @property
    def name(self) -> str:
        """What sentences call the sources."""
        return ", ".join(str(origin.place) for origin in self.origins)

    @property
    def layout(self) -> str:
        """Names of the layouts."""
        return "+".join(dict.fromkeys(origin.listing.layout for origin in self.origins))

    @property
    def ignored(self) -> int:
        """Number of files that are no images."""
        return sum(origin.listing.ignored for origin in self.origins)

    @property
    def attribute_names(self) -> tuple[str, ...]:
        """What the values of the label `attributes` are."""
        return next((o.listing.attribute_names for o in self.origins if o.listing.attribute_names), ())

    @property
    def class_names(self) -> dict[str, tuple[str, ...]]:
        """Classes that have numbers already, by dset name."""
        merged: dict[str, tuple[str, ...]] = {}
        for origin in self.origins:
            for name, classes in origin.listing.class_names.items():
                merged[name] = tuple(dict.fromkeys((*merged.get(name, ()), *classes)))
        return merged

    def original(self, row: Row) -> Original:
        """Gives what reads the image of a row."""
        return self.origins[row.origin].original(row)

    def counts(self) -> dict[str, int]:
        """Gives the number of rows of each split."""
        numbers = [row.split for row in self.rows]
        return {name: numbers.count(number) for number, name in enumerate(SPLIT_NAMES)}

    def without(self, bad: Collection[int]) -> "Survey":
        """Gives the survey of the same sources without the rows `bad`, as if these had never been there.

        Sides and order are decided anew, so that a bad image changes nothing for the others.
        """
        kept = [row for number, row in enumerate(self.rows) if number not in bad]
        kept.sort(key=lambda row: (row.origin, path_bytes(row.record.path)))
        return _decided(self.origins, kept, self.rejects, self.choice)


def survey_sources(sources: Sequence[Path], options: PackOptions, progress: Progress = _SILENT) -> Survey:
    """Surveys trees and manifests; raises as `read_sources` does, and where nothing is left to pack."""
    listings = read_sources(sources, options.layout, options.source_options())
    places = [source.parent if source.is_file() else source for source in sources]
    parts = zip(places, joined(places, listings), strict=True)
    return survey_origins([TreeOrigin(place, *part) for place, part in parts], options, progress)


def survey_listing(root: Path, listing: Listing, options: PackOptions) -> Survey:
    """Surveys the records of one folder that are already listed; raises as `survey_origins`."""
    return survey_origins([TreeOrigin(root, listing)], options)


def survey_origins(origins: Sequence[TreeOrigin], options: PackOptions, progress: Progress = _SILENT) -> Survey:
    """Asks for every file, and decides which are rows, on which side, in which order.

    Raises:
        FacetError: no record is left.
    """
    rows: list[Row] = []
    rejects: list[tuple[str, str]] = []
    for number, origin in enumerate(origins):
        found, missing = stat_all(origin, number, progress)
        rows += found
        rejects += [*origin.listing.rejects, *missing]
    return chosen(tuple(origins), rows, sorted_rejects(rejects), options.split_options())


def chosen(origins: tuple[Origin, ...], rows: list[Row], rejects: Rejects, choice: SplitOptions) -> Survey:
    """Gives the survey of the rows that --fraction and --limit keep; refuses to survey nothing."""
    if not rows:
        raise FacetError(f"{', '.join(str(origin.place) for origin in origins)}: {nothing_left(rejects)}")
    kept = [rows[number] for number in choose([row.record for row in rows], choice)]
    return _decided(origins, kept, rejects, choice)


def _decided(origins: tuple[Origin, ...], rows: list[Row], rejects: Rejects, choice: SplitOptions) -> Survey:
    sides, name, warnings = decide_sides([origin.listing for origin in origins], rows, choice)
    placed = [row if row.split == side else replace(row, split=side) for row, side in zip(rows, sides, strict=True)]
    said = tuple(sentence for origin in origins for sentence in origin.listing.sentences)
    return Survey(origins, name, _ordered(placed, choice.seed), rejects, (*said, *warnings), choice)


def _ordered(rows: Sequence[Row], seed: int) -> tuple[Row, ...]:
    """Orders by (split, fold, hash(seed, path)): a split is one run of rows, and any run of it a fair sample."""
    hashes = text_hashes([row.record.path for row in rows], seed)
    folds = [NO_FOLD if row.record.fold is None else row.record.fold for row in rows]
    order = np.lexsort((hashes, np.array(folds), np.array([row.split for row in rows])))
    return tuple(rows[number] for number in order.tolist())
