"""Measures a model on one split of an HDF5 file."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdf5_helper.errors import FacetError
from hdf5_helper.progress import Progress
from hdf5_helper.reading.generator import known_rows
from hdf5_helper.reading.order import Indices
from hdf5_helper.reading.reader import HDF5Reader
from hdf5_helper.reading.threads import ahead
from models.interface.predictor import Predictor
from models.training.evaluation import decades, group_metrics, label_metrics

_BATCH = 64


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found.

    Attributes:
        values: the JSON of `facet evaluate --json`.
        rows: int64 (n,), the example indices that were measured.
        targets, predicted: by label, (n,); gender is predicted as P(female).
    """

    values: dict[str, Any]
    rows: Indices
    targets: dict[str, NDArray[Any]]
    predicted: dict[str, NDArray[np.float64]]


def evaluate(
    predictor: Predictor, reader: HDF5Reader, split: str, names: dict[str, str], progress: Progress
) -> Evaluation:
    """Predicts every labelled example of a split and measures it.

    Args:
        predictor: the model.
        reader: the data, at the model's image size.
        split: `train`, `validation`, `test` or `all`.
        names: `run` and `checkpoint` as they shall stand in the JSON.
        progress: watches the batches.

    Raises:
        FacetError: nothing to measure there, or an output that cannot be measured: one of several columns, classes
            that are no sigmoid, values that are not finite.
    """
    labels = tuple(o.label for o in predictor.description.outputs if o.label in reader.label_names)
    if not labels:
        outputs = ", ".join(output.label for output in predictor.description.outputs)
        raise FacetError(f"{reader.path}: has no label that the model predicts, expected {outputs}")
    rows = known_rows(reader, split, labels)
    if not len(rows):
        raise FacetError(f"--split {split}: {reader.path} has no labelled example there")
    targets = {label: reader.labels(label)[rows] for label in labels}
    predicted = _predict(predictor, reader, rows, labels, progress)
    metrics = {label: label_metrics(label, targets[label], predicted[label]) for label in labels}
    groups = group_metrics(_groups(reader, rows), targets, predicted)
    place = {"data": str(reader.path), "split": split, "count": len(rows)}
    return Evaluation(names | place | {"metrics": metrics, "groups": groups}, rows, targets, predicted)


def _predict(
    predictor: Predictor, reader: HDF5Reader, rows: Indices, labels: tuple[str, ...], progress: Progress
) -> dict[str, NDArray[np.float64]]:
    """Predicts in blocks of one size, the last one padded: a batch's size can change the last digit."""
    steps = -(-len(rows) // _BATCH)
    padded = np.concatenate([rows, np.repeat(rows[:1], steps * _BATCH - len(rows))])
    parts: dict[str, list[NDArray[np.float32]]] = {label: [] for label in labels}
    progress.start("evaluating", steps)
    for images in ahead(lambda step: reader.read(padded[step * _BATCH : (step + 1) * _BATCH]), range(steps)):
        outputs = predictor.predict(images)
        for label in labels:
            parts[label].append(_column(predictor, label, outputs[label]))
        progress.advance(1)
    return {label: np.concatenate(values)[: len(rows)].astype(np.float64) for label, values in parts.items()}


def _column(predictor: Predictor, label: str, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Gives the one value an image of a label's output; refuses what has no such value."""
    output = f"{predictor.source}: output {label!r}"
    if values.shape[1] != 1:
        raise FacetError(
            f"{output} has {values.shape[1]} columns, expected 1: others cannot be measured in this version"
        )
    activation = predictor.description.output(label).activation
    if label != "age" and activation != "sigmoid":
        raise FacetError(f"{output} is {activation}, expected a sigmoid: others cannot be measured in this version")
    if not np.isfinite(values).all():
        raise FacetError(f"{output} is not finite for some images, expected numbers: its training has failed")
    return values[:, 0]


def _groups(reader: HDF5Reader, rows: Indices) -> dict[str, NDArray[np.str_]]:
    """Gives everything that people can be grouped by: the file's groups, gender, decade of age."""
    groups = {}
    for name in reader.groups:
        groups[name] = _named(reader.group(name)[rows], reader.group_names(name))
    if "gender" in reader.label_names:
        groups["gender"] = _named(reader.labels("gender")[rows], reader.class_names("gender"))
    if "age" in reader.label_names:
        groups["age"] = decades(reader.labels("age")[rows])
    return groups


def _named(values: NDArray[Any], names: tuple[str, ...]) -> NDArray[np.str_]:
    return np.array([names[value] if value < len(names) else "" for value in values], str)
