"""Packed files into one new one: merged, filtered, relabelled, split anew, stored in another way."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hdf5_helper.errors import FacetError
from hdf5_helper.packing.joining import joined
from hdf5_helper.packing.options import PackOptions
from hdf5_helper.packing.origin import Row
from hdf5_helper.packing.pack_plan import PackPlan
from hdf5_helper.packing.packed_origin import PackedOrigin, list_packed
from hdf5_helper.packing.packer import check_target, plan_survey
from hdf5_helper.packing.relabel import read_fixes, relabelled
from hdf5_helper.packing.survey import Survey, chosen
from hdf5_helper.packing.where import matching
from hdf5_helper.reading.packed_index import PackedIndex
from hdf5_helper.sources.records import Listing, Record
from hdf5_helper.storage import file_format as names
from hdf5_helper.storage.opening import SealedFile, open_sealed
from hdf5_helper.wording import count_text

#: What the new file says in its own words, and does not take over as it is.
_OWN = ("color", "fit", "image_size", "layout", "max_size", "seed", "split", "storage")


@dataclass(frozen=True)
class RepackOptions:
    """What is changed on the way; None keeps what the packed files have.

    Attributes:
        where: keeps the examples that meet this condition, see `where.matching`.
        labels: table of corrected labels, see `relabel.read_fixes`.
        storage: see PackOptions, as for all that follow.
        image_size: (height, width).
        fit: `stretch`, `crop` or `pad`.
        max_size: longer side of encoded images.
        split: a new one; None keeps each example where it is, `official` only where that is the official split.
        split_by: `subject` or `image`.
        fold: test on this fold.
        fraction: share of the examples to keep.
        limit: number of examples to keep at most.
        seed: chooses split, fraction and row order.
        workers: how many.
        executor: `threads`, `processes` or `dask://HOST:PORT`.
        overwrite: replace an existing file.
    """

    where: str | None = None
    labels: Path | None = None
    storage: str | None = None
    image_size: tuple[int, int] | None = None
    fit: str | None = None
    max_size: int | None = None
    split: str | None = None
    split_by: str = "subject"
    fold: int | None = None
    fraction: float = 1.0
    limit: int | None = None
    seed: int | None = None
    workers: int | None = None
    executor: str = "threads"
    overwrite: bool = False

    def pack_options(self, indices: Sequence[PackedIndex]) -> PackOptions:
        """Gives the options of the new file, with what is not asked for taken from the packed files.

        Raises:
            FacetError: they differ in something that must be one thing.
        """
        storage = self.storage or _common(indices, "storage")
        image_size = self.image_size or _common(indices, "image_size", required=storage == "raw")
        all_raw = storage == "raw" and {index.storage for index in indices} == {"raw"}
        fit = _common(indices, "fit", required=all_raw)
        if all_raw and self.fit not in (None, fit):
            raise FacetError(f"--fit {self.fit}: pixels were brought to size by {fit} already, expected no --fit")
        kept = {name: _common(indices, name) for name in _kept_attributes(indices)}
        if self.max_size is None and storage == "encoded":
            kept["max_size"] = _common(indices, "max_size")
        given = {"fraction": None if self.fraction == 1 else self.fraction, "limit": self.limit}
        kept |= {name: value for name, value in given.items() if value is not None}
        return PackOptions(
            storage=storage,
            image_size=image_size,
            fit=self.fit or fit or "stretch",
            max_size=self.max_size,
            split=self.split,
            split_by=self.split_by,
            fold=self.fold,
            fraction=self.fraction,
            limit=self.limit,
            seed=_common(indices, "seed") or 0 if self.seed is None else self.seed,
            workers=self.workers,
            executor=self.executor,
            overwrite=self.overwrite,
            attributes={name: value for name, value in kept.items() if value is not None},
        )


def _kept_attributes(indices: Sequence[PackedIndex]) -> list[str]:
    return sorted({name for index in indices for name in index.attributes} - set(_OWN))


def _common(indices: Sequence[PackedIndex], name: str, *, required: bool = False) -> Any:
    """Gives the value of a root attribute where all files have the same, else None."""
    values = list(dict.fromkeys(index.attributes.get(name) for index in indices))
    if len(values) == 1:
        return values[0]
    if required or name == "storage":
        found = " and ".join(str(value) for value in values)
        option = f"--{name.replace('_', '-')}"
        raise FacetError(f"{option}: the files have {found}, expected {option} to say what the new one has")
    return None


@contextmanager
def repack_plan(sources: Sequence[Path | str], target: Path | str, options: RepackOptions) -> Iterator[PackPlan]:
    """Gives the plan of a new file, for `write_pack`, while the packed files are open.

    Raises:
        FacetError: one of them cannot be read or is the target, nothing is left, or what `pack` raises.
    """
    paths, new = [Path(source) for source in sources], Path(target)
    if not paths:
        raise FacetError("no packed file: expected at least one made by `facet pack`")
    for path in paths:
        if new.exists() and path.exists() and path.samefile(new):
            raise FacetError(f"{new}: is one of the files to read, expected a new name")
    check_target(new, overwrite=options.overwrite)
    with ExitStack() as stack:
        files = [stack.enter_context(_opened(path)) for path in paths]
        indices = [PackedIndex(file) for file in files]
        asked = options.pack_options(indices)
        _check_official(indices, asked)
        yield plan_survey(_survey(files, indices, options, asked), new, asked)


def _check_official(indices: Sequence[PackedIndex], asked: PackOptions) -> None:
    """Refuses to call the split of a file official that its source did not bring."""
    if asked.split != "official" or asked.fold is not None:
        return
    for index in indices:
        name = str(index.attributes.get("split", "official"))
        if not all(part == "official" or part.startswith("fold ") for part in name.split(" and ")):
            raise FacetError(
                f"--split official: {index.path} has the split {name}, expected no --split, which keeps it, or parts"
                " such as 0.64,0.16,0.2"
            )


@contextmanager
def _opened(path: Path) -> Iterator[SealedFile]:
    file = open_sealed(path)
    try:
        yield file
    finally:
        file.data.close()


def _survey(
    files: Sequence[SealedFile], indices: Sequence[PackedIndex], options: RepackOptions, asked: PackOptions
) -> Survey:
    listings = [_filtered(index, options.where) for index in indices]
    if not any(listing.records for listing in listings):
        names_of = ", ".join(str(file.path) for file in files)
        raise FacetError(f"--where {options.where!r}: no example of {names_of} meets it")
    if options.labels is not None:
        listings = relabelled(listings, read_fixes(options.labels, indices), options.labels)
    if asked.split_options().parts is not None:
        listings = [_without_sides(listing) for listing in listings]  # the old sides are no strata of the new ones
    parts = joined([file.path for file in files], listings)
    origins = tuple(PackedOrigin(file, *part) for file, part in zip(files, parts, strict=True))
    rows = [row for number, origin in enumerate(origins) for row in _rows(origin, number, asked.storage)]
    return chosen(origins, rows, (), asked.split_options())


def _filtered(index: PackedIndex, condition: str | None) -> Listing:
    listing = list_packed(index)
    sentence = f"{index.path}: {count_text(len(index), 'example')}, {index.storage} storage"
    if condition is None:
        return replace(listing, sentences=(sentence,))
    chosen_rows = np.flatnonzero(matching(index, condition)).tolist()
    records = tuple(listing.records[row] for row in chosen_rows)
    return replace(listing, records=records, sentences=(f"{sentence}; {len(records):,} meet --where {condition!r}",))


def _without_sides(listing: Listing) -> Listing:
    return replace(listing, records=tuple(replace(record, split=None) for record in listing.records))


def _rows(origin: PackedOrigin, number: int, storage: str) -> Iterator[Row]:
    """Gives the rows of one packed file, in the order of their paths."""
    lengths, checksums = origin.lengths, origin.index.checksums
    if storage == "encoded" and origin.index.storage == "raw":
        # a PNG file of noise is that much longer than its pixels at most: a byte a row, and what deflate adds
        lengths = lengths + lengths // 64 + 1024 + (origin.raw_size or (0, 0))[0]
    for record, place in sorted(zip(origin.listing.records, _numbers(origin), strict=True), key=_path_of):
        # the checksum stands in for the time of a file: what an interrupted repack goes on with must be the same
        yield Row(record, int(lengths[place]), int(checksums[place]) >> 1, record.split or 0, number)


def _path_of(pair: tuple[Record, int]) -> bytes:
    return names.path_bytes(pair[0].path)


def _numbers(origin: PackedOrigin) -> list[int]:
    """Gives the example indices of the records that are left of a file."""
    return [origin.numbers[record.path[len(origin.prefix) :]] for record in origin.listing.records]
