"""Which records are kept, and on which side of the split each lies: pure functions of records and a seed."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import xxhash
from numpy.typing import NDArray

from hdf5_helper.errors import FacetError
from hdf5_helper.hashing import hash_integers, uniform
from hdf5_helper.labels import RESERVED_LABELS
from hdf5_helper.packing.options import DEFAULT_PARTS, SplitOptions
from hdf5_helper.sources.records import Listing, Record
from hdf5_helper.storage.file_format import SPLIT_NAMES, TEST, TRAIN, VALIDATION, path_bytes
from hdf5_helper.wording import count_text

Records = Sequence[Record]

# What a hash is for, so that two choices under one seed are independent of each other.
_CHOOSING, _SPLITTING, _CARVING = 1, 2, 3

# A class label of more classes than this would cut strata so small that nothing is left to share out.
_MOST_STRATA_CLASSES = 20

# Test on one fold, validate on another, train on the rest.
_LEAST_FOLDS = 3


def text_hashes(texts: Sequence[str], *seeds: int) -> NDArray[np.uint64]:
    """Gives hash(seeds…, text) for every text, uint64 (n,)."""
    digests = np.array([xxhash.xxh3_64_intdigest(path_bytes(text)) for text in texts], np.uint64)
    return hash_integers(*seeds, digests)


def choose(records: Records, options: SplitOptions) -> Sequence[int]:
    """Gives the positions of the records that --fraction and --limit keep: the same share of every label, never none.

    Args:
        records: all that could be kept.
        options: what was asked for.

    Returns:
        Ascending positions in `records`.
    """
    share = min(options.fraction, 1.0 if options.limit is None else options.limit / max(1, len(records)))
    if share >= 1 or not records:
        return range(len(records))
    units = [[number] for number in range(len(records))]
    dealt = _deal(records, units, (share, 1 - share), text_hashes(_paths(records), options.seed, _CHOOSING))
    return [number for number, part in enumerate(dealt.tolist()) if part == 0] or [0]


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
    if options.fold is not None and not (has_folds and listing.official):
        few = "too few folds" if has_folds else "no folds"
        raise FacetError(f"--fold {options.fold}: layout {listing.layout} has {few} here, expected no --fold")
    if options.parts is None and listing.official:
        if options.by == "image":
            raise FacetError(
                f"--split-by image: layout {listing.layout} brings its own split, expected --split with parts"
            )
        by_fold = has_folds and (options.fold is not None or any(record.split is None for record in records))
        return _by_folds(listing, records, options.fold) if by_fold else _official(listing, records, options.seed)
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
    return splits, listing.split_name, ()


def _carved(records: Records, train: NDArray[np.bool_], share: float, seed: int) -> NDArray[np.bool_]:
    """Chooses subjects of the train part for validation, each by its own hash alone; at least one of two or more."""
    draws = uniform(text_hashes(_persons(records), seed, _CARVING))
    chosen = train & (draws < share)
    if not chosen.any() and len(set(draws[train].tolist())) > 1:
        chosen = train & (draws == draws[train].min())
    return np.asarray(chosen)


def _by_folds(listing: Listing, records: Records, fold: int | None) -> tuple[NDArray[np.uint8], str, tuple[str, ...]]:
    """Tests on `fold`, the last one by default, and validates on the one before it among the folds that occur."""
    folds = sorted({record.fold for record in listing.records if record.fold is not None})
    found = ", ".join(map(str, folds))
    if len(folds) < _LEAST_FOLDS:
        raise FacetError(f"layout {listing.layout}: has the folds {found}, expected at least 3, or --split with parts")
    test = folds[-1] if fold is None else fold
    if test not in folds:
        raise FacetError(f"--fold {fold}: there is no such fold, expected one of {found}")
    sides = {test: TEST, folds[folds.index(test) - 1]: VALIDATION}
    splits = [TRAIN if record.fold is None else sides.get(record.fold, TRAIN) for record in records]
    return np.array(splits, np.uint8), f"fold {test}", ()


def _random(records: Records, options: SplitOptions) -> tuple[NDArray[np.uint8], str, tuple[str, ...]]:
    parts = options.parts or DEFAULT_PARTS
    owners = _paths(records) if options.by == "image" else _persons(records)
    units: dict[str, list[int]] = {}
    for number, owner in enumerate(owners):
        units.setdefault(owner, []).append(number)
    hashes = text_hashes(list(units), options.seed, _SPLITTING)
    splits = _deal(records, list(units.values()), parts, hashes)
    unit, warnings = _unit(records, options.by)
    empty = [SPLIT_NAMES[part] for part, share in enumerate(parts) if share > 0 and not (splits == part).any()]
    if empty:
        found = count_text(len(units), unit if unit == "image" else "person")
        warnings = (*warnings, f"warning: no example in {' and '.join(empty)}: {found} cannot be dealt to these parts")
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

    Units go, stratum by stratum and there in the order of their hashes, each to the part that lacks most images. What
    a part lacks is counted over all strata, so that each part is within one unit (of the largest size) of its share
    of everything, and within two of its share of a stratum.

    Returns:
        uint8 (records,), the number of the part.
    """
    open_parts = [part for part, share in enumerate(parts) if share > 0]
    strata = _strata(records, units, 1 / min(parts[part] for part in open_parts))
    order = sorted(range(len(units)), key=lambda number: (strata[number], int(hashes[number])))
    dealt, counts, total = np.zeros(len(records), np.uint8), [0] * len(parts), 0
    for number in order:
        unit = units[number]
        total += len(unit)
        lacks = [parts[part] * total - counts[part] for part in open_parts]
        chosen = open_parts[lacks.index(max(lacks))]
        counts[chosen] += len(unit)
        for record in unit:
            dealt[record] = chosen
    return dealt


def _strata(records: Records, units: Sequence[Sequence[int]], least: float) -> list[str]:
    """Gives the stratum of every unit, that of its first record; those of fewer than `least` units become one."""
    labels = _strata_labels(records)
    strata = [_stratum(records[unit[0]], labels) for unit in units]
    sizes = Counter(strata)
    return [stratum if sizes[stratum] >= least else "" for stratum in strata]


def _strata_labels(records: Records) -> list[str]:
    """Gives the labels that make strata: gender, age or else age group, and class labels of at most 20 classes."""
    classes: dict[str, set[object]] = {}
    for record in records:
        for name, value in record.labels.items():
            values = classes.setdefault(name, set())
            if len(values) <= _MOST_STRATA_CLASSES:
                values.add(value)
    few = [name for name, values in classes.items() if len(values) <= _MOST_STRATA_CLASSES]
    ages = ["age"] if "age" in classes else ["age_group"]
    return sorted({"gender", *ages, *(name for name in few if name not in RESERVED_LABELS)} & classes.keys())


def _stratum(record: Record, labels: Sequence[str]) -> str:
    """Gives the labels as text, ages by decades; official splits and folds are strata too."""
    values = {name: record.labels.get(name) for name in labels}
    age = values.get("age")
    if isinstance(age, int | float):
        values["age"] = int(age) // 10
    return f"{record.split} {record.fold} {values}"
