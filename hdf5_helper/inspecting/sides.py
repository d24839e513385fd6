"""Who and what is on two sides of a split: persons, and images that are the same byte by byte."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdf5_helper.reading.packed_index import PackedIndex
from hdf5_helper.storage.file_format import SPLIT_NAMES

Values = dict[str, Any]


def count_subjects(index: PackedIndex) -> Values:
    """Gives the subjects' counts.

    Returns:
        `persons`, `examples_without` (their person is unknown), `in_several_splits` (persons), and `seen_before`: for
        every split but the first the `persons` that an earlier split has too (for test: train or validation), how many
        `examples` of this split they cover, `of` how many.
    """
    is_known = index.subjects >= 0
    present = _presence(index.subjects[is_known], index.split_numbers[is_known])
    return {
        "persons": len(present),
        "examples_without": int((~is_known).sum()),
        "in_several_splits": int((present.astype(bool).sum(axis=1) > 1).sum()),
        "seen_before": {
            name: _seen_before(present, SPLIT_NAMES.index(name), len(index.split(name))) for name in index.splits[1:]
        },
    }


def _seen_before(present: NDArray[np.int64], number: int, examples: int) -> Values:
    seen = present[:, :number].any(axis=1) & (present[:, number] > 0)
    return {"persons": int(seen.sum()), "examples": int(present[seen, number].sum()), "of": examples}


def leaking_subjects(index: PackedIndex) -> list[str]:
    """Gives the names of the persons who are in more than one split, sorted."""
    is_known = index.subjects >= 0
    persons = np.unique(index.subjects[is_known])
    present = _presence(index.subjects[is_known], index.split_numbers[is_known])
    return sorted(index.subject_names[person] for person in persons[(present > 0).sum(axis=1) > 1].tolist())


def count_identical(index: PackedIndex) -> Values:
    """Gives the counts of images whose stored bytes are the same, told by their XXH3-64 checksums.

    Returns:
        `images` (different ones), `copies` (examples beyond the first of each), `in_several_splits` (images),
        `pairs_across_splits` (two examples of the same bytes in two splits), `with_different_labels` (images whose
        copies do not have the same labels throughout).
    """
    present = _presence(index.checksums, index.split_numbers)
    totals = present.sum(axis=1)
    # all pairs less those within one split
    pairs = (totals * (totals - 1) - (present * (present - 1)).sum(axis=1)) // 2
    return {
        "images": len(present),
        "copies": int((totals - 1).sum()),
        "in_several_splits": int(((present > 0).sum(axis=1) > 1).sum()),
        "pairs_across_splits": int(pairs.sum()),
        "with_different_labels": _differently_labelled(index, identical_rows(index)),
    }


def identical_rows(index: PackedIndex) -> list[NDArray[np.int64]]:
    """Gives the example indices of every image that is there more than once, ascending, the first image first."""
    rows = np.argsort(index.checksums, kind="stable")
    ends = np.flatnonzero(np.diff(index.checksums[rows])) + 1
    # only the runs of two and more are cut out: a file may have millions of images and no copies
    starts, stops = np.concatenate([[0], ends]), np.concatenate([ends, [len(rows)]])
    several = np.flatnonzero(stops - starts > 1)
    groups = [rows[starts[run] : stops[run]] for run in several.tolist()]
    return sorted(groups, key=lambda group: int(group[0]))


def _differently_labelled(index: PackedIndex, groups: list[NDArray[np.int64]]) -> int:
    """Gives how many of the groups of rows do not have the same labels throughout."""
    labels = [index.labels(name) for name in index.label_names] if groups else []
    return sum(not all(_all_equal(values[rows]) for values in labels) for rows in groups)


def _all_equal(values: NDArray[Any]) -> bool:
    """Says whether all rows are the same; unknown ages (NaN) are."""
    return np.array_equal(np.broadcast_to(values[:1], values.shape), values, equal_nan=values.dtype.kind == "f")


def _presence(keys: NDArray[Any], splits: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Gives how many rows of each split have each different key, int64 (keys, 3), keys ascending."""
    found, inverse = np.unique(keys, return_inverse=True)
    width = len(SPLIT_NAMES)
    return np.bincount(inverse * width + splits, minlength=len(found) * width).reshape(len(found), width)
