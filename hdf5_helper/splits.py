"""Which records are kept, and on which side of the split each lies: pure functions of records and a seed."""

from collections.abc import Sequence

import numpy as np
import xxhash
from numpy.typing import NDArray

from hdf5_helper.errors import FacetError
from hdf5_helper.format import TEST, TRAIN, VALIDATION
from hdf5_helper.hashing import hash_integers, uniform
from hdf5_helper.options import DEFAULT_PARTS, SplitOptions
from hdf5_helper.path_bytes import path_bytes
from hdf5_helper.records import LabelValue, Listing, Record

Records = Sequence[Record]

# What a hash is for, so that two choices under one seed are independent of each other.
_CHOOSING, _SPLITTING, _CARVING = 1, 2, 3


def text_hashes(texts: Sequence[str], *seeds: int) -> NDArray[np.uint64]:
    """Gives hash(seeds…, text) for every text, uint64 (n,)."""
    digests = np.array([xxhash.xxh3_64_intdigest(path_bytes(text)) for text in texts], np.uint64)
    return hash_integers(*seeds, digests)


def choose(records: Records, options: SplitOptions) -> Records:
    """Gives the records that --fraction and --limit keep: the same share of every label, never none."""
    share = min(options.fraction, 1.0 if options.limit is None else options.limit / max(1, len(records)))
    if share >= 1 or not records:
        return records
    units = [[number] for number in range(len(records))]
    kept = _deal(records, units, (share, 1 - share), text_hashes(_paths(records), options.seed, _CHOOSING)) == 0
    return [record for record, keep in zip(records, kept, strict=True) if keep] or records[:1]


def split(listing: Listing, records: Records, options: SplitOptions) -> tuple[NDArray[np.uint8], str, tuple[str, ...]]:
    """Decides the split of every record.

    Args:
        listing: says whether the source brings an official split.
        records: those of it that are kept.
        options: what was asked for.

    Returns:
        uint8 (n,) with 0 train, 1 validation, 2 test; the name of the split; warnings.

    Raises:
        FacetError: an official split or a fold was asked for where there is none.
    """
    has_folds = any(record.fold is not None for record in records)
    if options.official and not listing.official:
        raise FacetError(
            f"--split official: layout {listing.layout} has none here, expected parts such as 0.64,0.16,0.2"
        )
    if options.fold is not None and not has_folds:
        raise FacetError(f"--fold {options.fold}: layout {listing.layout} has no folds here, expected no --fold")
    if options.parts is None and listing.official:
        by_fold = has_folds and (options.fold is not None or any(record.split is None for record in records))
        return _by_folds(records, options.fold) if by_fold else _official(listing, records, options.seed)
    return _random(records, options)


def _paths(records: Records) -> list[str]:
    return [record.path for record in records]


def _persons(records: Records) -> list[str]:
    """Gives the subject of every record; one whose subject is unknown is a person of its own."""
    return [f"s{record.subject}" if record.subject is not None else f"p{record.path}" for record in records]


def _official(listing: Listing, records: Records, seed: int) -> tuple[NDArray[np.uint8], str, tuple[str, ...]]:
    splits = np.array([TRAIN if record.split is None else record.split for record in records], np.uint8)
    if listing.validation_share:
        splits[_carved(records, splits == TRAIN, listing.validation_share, seed)] = VALIDATION
    return splits, "official", ()


def _carved(records: Records, train: NDArray[np.bool_], share: float, seed: int) -> NDArray[np.bool_]:
    """Chooses subjects of the train part for validation, each by its own hash alone; at least one of two or more."""
    draws = uniform(text_hashes(_persons(records), seed, _CARVING))
    chosen = train & (draws < share)
    if not chosen.any() and len(set(draws[train].tolist())) > 1:
        chosen = train & (draws == draws[train].min())
    return np.asarray(chosen)


def _by_folds(records: Records, fold: int | None) -> tuple[NDArray[np.uint8], str, tuple[str, ...]]:
    folds = np.array([-1 if record.fold is None else record.fold for record in records])
    count = int(folds.max()) + 1
    test = count - 1 if fold is None else fold
    if not 0 <= test < count:
        raise FacetError(f"--fold {fold}: there are {count} folds, expected one from 0 to {count - 1}")
    splits = np.full(len(records), TRAIN, np.uint8)
    splits[folds == (test - 1) % count] = VALIDATION
    splits[folds == test] = TEST
    return splits, f"fold {test}", ()


def _random(records: Records, options: SplitOptions) -> tuple[NDArray[np.uint8], str, tuple[str, ...]]:
    parts = options.parts or DEFAULT_PARTS
    owners = _paths(records) if options.by == "image" else _persons(records)
    units: dict[str, list[int]] = {}
    for number, owner in enumerate(owners):
        units.setdefault(owner, []).append(number)
    hashes = text_hashes(list(units), options.seed, _SPLITTING)
    splits = _deal(records, list(units.values()), parts, hashes)
    unit, warnings = _unit(records, options.by)
    return splits, f"{','.join(f'{part:g}' for part in parts)} by {unit}", warnings


def _unit(records: Records, by: str) -> tuple[str, tuple[str, ...]]:
    """Gives what really stays on one side, and what the user should know about it."""
    unknown = sum(record.subject is None for record in records)
    if unknown == len(records):
        warning = "warning: subjects are unknown, so images are split one by one and a person may be on two sides"
        return "image", (warning,)
    if by == "image":
        return "image", ("warning: split by image although subjects are known: a person may be on two sides",)
    return "subject", (f"warning: {unknown:,} images of unknown subject are split one by one",) if unknown else ()


def _deal(
    records: Records, units: Sequence[Sequence[int]], parts: Sequence[float], hashes: NDArray[np.uint64]
) -> NDArray[np.uint8]:
    """Deals whole units to parts, so that each part has its share of every stratum.

    Units go, stratum by stratum and there in the order of their hashes, each to the part that lacks most images.

    Returns:
        uint8 (records,), the number of the part.
    """
    strata = [_stratum(records[unit[0]]) for unit in units]
    order = sorted(range(len(units)), key=lambda number: (strata[number], int(hashes[number])))
    dealt, counts, total = np.zeros(len(records), np.uint8), [0] * len(parts), 0
    open_parts = [part for part, share in enumerate(parts) if share > 0]
    for number in order:
        unit = units[number]
        total += len(unit)
        lacks = [parts[part] * total - counts[part] for part in open_parts]
        chosen = open_parts[lacks.index(max(lacks))]
        counts[chosen] += len(unit)
        dealt[list(unit)] = chosen
    return dealt


def _stratum(record: Record) -> str:
    finer = ("age_group",) if "age" in record.labels else ()
    labels = sorted(f"{name}={_coarse(name, value)}" for name, value in record.labels.items() if name not in finer)
    return f"{record.split} {record.fold} {' '.join(labels)}"


def _coarse(name: str, value: LabelValue) -> LabelValue:
    """Gives ages by decades; other labels as they are."""
    return int(value) // 10 if name == "age" else value
