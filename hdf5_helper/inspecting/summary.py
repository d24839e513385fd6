"""What is in a packed file, as values that fit into JSON."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdf5_helper.labels import UNKNOWN_CLASS, known, label_kind
from hdf5_helper.reading.reader import HDF5Reader

Values = dict[str, Any]


def summarize(reader: HDF5Reader) -> Values:
    """Gives everything that `facet inspect` says about a file.

    Returns:
        A dict for JSON: `path`, `bytes`, `examples`, `storage`, `fit`, `image_size` ([height, width] or None),
        `image_sizes`, `creation` (the root attributes), `images_digest`, `index_digest`, `splits` and `labels` and
        `groups` (counts), `subjects` and `duplicates` (counts, and how many are on two sides of a split).
    """
    splits = {name: reader.split(name) for name in reader.splits}
    return {
        "path": str(reader.path),
        "bytes": reader.path.stat().st_size,
        "examples": len(reader),
        "storage": reader.storage,
        "fit": reader.fit,
        "image_size": list(reader.image_size) if reader.image_size else None,
        "image_sizes": _image_sizes(reader),
        "creation": {name: _plain(value) for name, value in sorted(reader.attributes.items())},
        "images_digest": reader.images_digest,
        "index_digest": reader.index_digest,
        "splits": {name: {"examples": len(rows), "labels": _labels(reader, rows)} for name, rows in splits.items()},
        "labels": _labels(reader, np.arange(len(reader))),
        "groups": {name: _group(reader, name) for name in reader.groups},
        "subjects": _subjects(reader),
        "duplicates": _duplicates(reader),
    }


def duplicates(reader: HDF5Reader) -> list[list[str]]:
    """Gives the paths of images whose stored bytes are the same, a list for each image that is there more than once.

    Stored bytes are told apart by their XXH3-64 checksums.
    """
    rows = np.argsort(reader.checksums, kind="stable")
    ends = np.flatnonzero(np.diff(reader.checksums[rows])) + 1
    same = [part for part in np.split(rows, ends) if len(part) > 1]
    return sorted(sorted(reader.paths[row] for row in part.tolist()) for part in same)


def leaking_subjects(reader: HDF5Reader) -> list[str]:
    """Gives the names of the persons who are in more than one split, sorted."""
    persons, sides = _on_several_sides(reader, reader.subjects, reader.subjects >= 0)
    return sorted(reader.subject_names[person] for person in persons[sides > 1].tolist())


def _labels(reader: HDF5Reader, rows: NDArray[np.int64]) -> Values:
    found = {name: reader.labels(name)[rows] for name in reader.label_names}
    return {name: _label(reader, name, values) for name, values in found.items()}


def _label(reader: HDF5Reader, name: str, values: NDArray[Any]) -> Values:
    if name == "age":
        return _ages(values)
    if name == "attributes":
        return _attributes(reader, values)
    return _classes(reader.class_names(name), values, label_kind(name).unknown)


def _group(reader: HDF5Reader, name: str) -> Values:
    return _classes(reader.group_names(name), reader.group(name), UNKNOWN_CLASS)


def _classes(names: Iterable[str], values: NDArray[Any], unknown: float) -> Values:
    counts = np.bincount(values, minlength=int(unknown) + 1).tolist()
    return {**{name: counts[number] for number, name in enumerate(names)}, "unknown": counts[int(unknown)]}


def _ages(values: NDArray[np.float32]) -> Values:
    """Gives counts, range, median and decades (`20-29` holds 20 up to but not including 30 years)."""
    is_known = known("age", values)
    ages = values[is_known]
    numbers = {"known": len(ages), "unknown": int((~is_known).sum())}
    if not len(ages):
        return {**numbers, "youngest": None, "median": None, "oldest": None, "decades": {}}
    decades, counts = np.unique(ages // 10, return_counts=True)
    return {
        **numbers,
        "youngest": float(ages.min()),
        "median": float(np.median(ages)),
        "oldest": float(ages.max()),
        "decades": {
            f"{int(decade) * 10}-{int(decade) * 10 + 9}": int(count)
            for decade, count in zip(decades, counts, strict=True)
        },
    }


def _attributes(reader: HDF5Reader, values: NDArray[np.int8]) -> Values:
    names = reader.class_names("attributes") or [str(number) for number in range(values.shape[1])]
    signs = {"yes": 1, "no": -1, "unknown": 0}
    return {
        name: {word: int((column == sign).sum()) for word, sign in signs.items()}
        for name, column in zip(names, values.T, strict=True)
    }


def _image_sizes(reader: HDF5Reader) -> Values:
    sizes = reader.image_sizes()
    areas = sizes.prod(axis=1)
    return {
        "different": len(np.unique(sizes, axis=0)),
        "smallest": sizes[int(areas.argmin())].tolist(),
        "largest": sizes[int(areas.argmax())].tolist(),
    }


def _subjects(reader: HDF5Reader) -> Values:
    is_known = reader.subjects >= 0
    _persons, sides = _on_several_sides(reader, reader.subjects, is_known)
    return {
        "persons": len(sides),
        "examples_without": int((~is_known).sum()),
        "in_several_splits": int((sides > 1).sum()),
    }


def _duplicates(reader: HDF5Reader) -> Values:
    checksums, counts = np.unique(reader.checksums, return_counts=True)
    _images, sides = _on_several_sides(reader, reader.checksums, np.ones(len(reader), bool))
    return {"copies": int((counts - 1).sum()), "in_several_splits": int((sides > 1).sum()), "images": len(checksums)}


def _on_several_sides(
    reader: HDF5Reader, keys: NDArray[Any], chosen: NDArray[np.bool_]
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Gives each different key among the chosen rows, and the number of splits in which it is."""
    split = np.full(len(reader), -1, np.int64)
    for number, name in enumerate(reader.splits):
        split[reader.split(name)] = number
    found, inverse = np.unique(keys[chosen], return_inverse=True)
    sides = np.zeros((len(found), len(reader.splits) + 1), bool)
    sides[inverse, split[chosen]] = True
    return found, sides.sum(axis=1)


def _plain(value: object) -> object:
    """Gives NumPy values as Python's own, texts and numbers as they are."""
    if isinstance(value, np.ndarray):
        return [_plain(part) for part in value.tolist()]
    if isinstance(value, np.generic):
        return _plain(value.item())
    return value.decode() if isinstance(value, bytes) else value
