"""What others' data must look like, and how one of their batches becomes one for a step."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdf5_helper.errors import FacetError, did_you_mean
from hdf5_helper.labels import FEMALE, GENDER_NAMES, MALE, UNKNOWN_GENDER, label_kind
from models.heads.head import Floats, Head
from models.training.class_weights import parse_class_weights
from models.training.feeding import Batch, make_batch

_COLOURS = "expected RGB of 0–255, since the model's own preprocessing comes behind it"


@dataclass(frozen=True)
class BatchMaker:
    """Makes batches for the steps out of (images, labels) or (images, labels, sample_weight).

    Attributes:
        name: of the data, for errors.
        heads: of the labels to train.
        image_size: (height, width) in pixels that the model takes.
        class_weights: weight by class number, by label; empty for none.
        rows: of every batch; a smaller one is filled up with rows that count nothing, so that one trace serves all.
        dtype: of the images, `uint8` or `float32`.
    """

    name: str
    heads: tuple[Head, ...]
    image_size: tuple[int, int]
    class_weights: dict[str, dict[int, float]] = field(default_factory=dict)
    rows: int = 0
    dtype: str = ""

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the labels to train."""
        return tuple(head.label for head in self.heads)

    def sized_by(self, raw: Any) -> "BatchMaker":
        """Gives a maker of batches of the rows and dtype of a first one, which must not look scaled to 0–1."""
        images, _labels, _weights = self._parts(raw, f"{self.name} batch 1")
        if images.max() <= 1:
            raise FacetError(f"{self.name}: images lie in 0–{images.max():g}, {_COLOURS}; multiply by 255")
        return replace(self, rows=len(images), dtype=images.dtype.name)

    def batch(self, raw: Any, number: int) -> Batch:
        """Makes one batch.

        Args:
            raw: images uint8 or float (n, H, W, 3), RGB 0–255; labels (n,), or a dict of such by label; sample weights
                (n,), or a dict of such by label, or none. Gender is 0, 1, or 255 or below 0 where unknown; age is in
                years, NaN where unknown; attributes are (n, A) of -1 = no, 1 = yes, 0 = unknown.
            number: of the batch from 1, for errors.

        Raises:
            FacetError: it is something else.
        """
        place = f"{self.name} batch {number}"
        images, labels, weights = self._parts(raw, place)
        missing = self.rows - len(images)
        if missing < 0 or images.dtype.name != self.dtype:
            found = f"found {len(images)} images of {images.dtype}"
            raise FacetError(f"{place}: {found}, expected {self.dtype} and at most {self.rows} as in the first batch")
        for label, by_class in self.class_weights.items():
            weights[label] = weights[label] * _weights_by_class(labels[label], by_class)
        if missing:
            images = np.concatenate([images, np.repeat(images[:1], missing, axis=0)])
            labels = {n: _filled_up(v, missing, label_kind(n).unknown) for n, v in labels.items()}
            weights = {n: np.pad(v, (0, missing)) for n, v in weights.items()}
        return make_batch(images, labels, self.heads, weights)

    def _parts(self, raw: Any, place: str) -> tuple[NDArray[Any], dict[str, NDArray[Any]], dict[str, Floats]]:
        if not isinstance(raw, Sequence) or isinstance(raw, str) or len(raw) not in (2, 3):
            found = f"{len(raw)} parts" if isinstance(raw, Sequence) else type(raw).__name__
            raise FacetError(f"{place}: found {found}, expected (images, labels) or (images, labels, sample_weight)")
        images = checked_images(raw[0], self.image_size, place)
        values = by_label(raw[1], self.labels, place)
        labels = {head.label: stored(head, values[head.label], len(images), place) for head in self.heads}
        return images, labels, sample_weights(raw[2] if len(raw) == 3 else None, self.labels, len(images), place)


def class_weights_for(setting: str, labels: tuple[str, ...], name: str) -> dict[str, dict[int, float]]:
    """Gives weight by class number, by label, for data that come batch by batch; nothing for `none`.

    Args:
        setting: `none` or weights by class number such as `0:1,1:1.582`.
        labels: to train.
        name: of the data.

    Raises:
        FacetError: weights that mean nothing for a label, or `balanced`, which needs counts.
    """
    if setting == "none":
        return {}
    if setting == "balanced":
        raise FacetError(f"class weights balanced: {name} has no counts of its classes, expected such as 0:1,1:1.582")
    given = parse_class_weights(setting)
    for label in labels:
        if label in ("age", "attributes"):
            raise FacetError(f"class weights {setting!r}: label {label} has no classes, expected none")
        if label == "gender" and sorted(given) != list(range(len(GENDER_NAMES))):
            raise FacetError(f"class weights {setting!r}: expected one weight for each of the classes 0 and 1")
    return dict.fromkeys(labels, given)


def checked_images(images: Any, image_size: tuple[int, int], place: str) -> NDArray[Any]:
    """Gives images as uint8 or float32 (n, H, W, 3), RGB 0–255; raises FacetError for what is nothing of the kind."""
    array, (height, width) = np.asarray(images), image_size
    if array.ndim != 4 or array.shape[1:] != (height, width, 3) or not len(array):
        raise FacetError(f"{place}: found images of shape {array.shape}, expected (rows, {height}, {width}, 3)")
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind != "f":
        raise FacetError(f"{place}: found images of {array.dtype}, expected uint8 or float32")
    low, high = float(array.min()), float(array.max())
    if not (low >= 0 and high <= 255):  # NaN is neither
        raise FacetError(f"{place}: images lie between {low:g} and {high:g}, {_COLOURS}")
    return array.astype(np.float32, copy=False)


def by_label(values: Any, labels: tuple[str, ...], place: str) -> Mapping[str, Any]:
    """Gives labels as a dict, which one array is where one label is trained; raises FacetError where one is missing."""
    if not isinstance(values, Mapping):
        if len(labels) > 1:
            raise FacetError(f"{place}: found labels without names, expected a dict with {' and '.join(labels)}")
        return {labels[0]: values}
    for label in labels:
        if label not in values:
            raise FacetError(f"{place}: has no label {label!r}, {did_you_mean(label, map(str, values))}")
    return values


def stored(head: Head, values: Any, rows: int, place: str) -> NDArray[Any]:
    """Gives a label (rows,), or attributes (rows, A), as an HDF5 file stores it.

    Raises:
        FacetError: another shape, or values that mean nothing.
    """
    label, array = head.label, np.asarray(values)
    array = array if label == "attributes" else _column(array)
    shape = (rows, head.columns) if label == "attributes" else (rows,)
    if array.shape != shape or array.dtype.kind not in "buif":
        found = f"found {label} of shape {array.shape} and {array.dtype}"
        wanted = "one number" if len(shape) == 1 else f"{shape[1]} numbers"
        raise FacetError(f"{place}: {found}, expected {wanted} for each of {rows} images")
    kind, numbers = label_kind(label), array.astype(np.float64)
    signed = label in ("age", "attributes")
    unknown = np.isnan(numbers) | (numbers == kind.unknown) | ((numbers < 0) if not signed else False)
    fits, meaning = _meant(head, numbers)
    if not (fits | unknown).all():
        raise FacetError(f"{place}: found {label} {numbers[~(fits | unknown)][0]:g}, expected {meaning}")
    return np.where(unknown, kind.unknown, numbers).astype(kind.dtype)


def _meant(head: Head, numbers: NDArray[np.float64]) -> tuple[NDArray[np.bool_], str]:
    """Says which numbers mean something for a label, and what they should be."""
    if head.label == "age":
        return (numbers >= 0) & np.isfinite(numbers), "years, or NaN where unknown"
    if head.label == "attributes":
        return np.isin(numbers, (-1, 1)), "-1 = no, 1 = yes, 0 = unknown"
    if head.label == "gender":
        return np.isin(numbers, (MALE, FEMALE)), f"0 = male, 1 = female, {UNKNOWN_GENDER} = unknown"
    classes = len(head.output.class_names)
    return (numbers == np.floor(numbers)) & (numbers < classes), f"class numbers below {classes}"


def sample_weights(values: Any, labels: tuple[str, ...], rows: int, place: str) -> dict[str, Floats]:
    """Gives float32 (rows,), or (rows, A) of attributes, by label: of one array, a dict by label, or None for ones.

    Raises:
        FacetError: other shapes, or weights that are none.
    """
    if values is None:
        values = np.ones(rows, np.float32)
    given = values if isinstance(values, Mapping) else dict.fromkeys(labels, values)
    weights = {name: _column(np.asarray(given.get(name, np.nan), np.float32)) for name in labels}
    for name, array in weights.items():
        fits = array.shape == (rows,) or (name == "attributes" and array.ndim == 2 and len(array) == rows)
        if not fits or not (np.isfinite(array) & (array >= 0)).all():
            raise FacetError(f"{place}: expected a finite sample weight of at least 0 for each of {rows} images")
    return weights


def _filled_up(values: NDArray[Any], missing: int, unknown: float) -> NDArray[Any]:
    more = np.full((missing, *values.shape[1:]), unknown, values.dtype)
    return np.concatenate([values, more])


def _column(values: NDArray[Any]) -> NDArray[Any]:
    return values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values


def _weights_by_class(values: NDArray[Any], by_class: dict[int, float]) -> Floats:
    weights = np.ones(len(values), np.float32)
    for number, weight in by_class.items():
        weights[values == number] = weight
    return weights
