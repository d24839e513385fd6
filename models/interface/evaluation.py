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
from models.description import Output
from models.interface.measurable import measured_output, measured_targets, measured_values
from models.interface.predictor import Predictor
from models.training.evaluation import decades, group_metrics, label_metrics

_BATCH = 64


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found.

    Attributes:
        values: the JSON of `facet evaluate --json`.
        rows: int64 (n,), the example indices that were measured.
        outputs: by label, as it was measured: with class names, a two-way gender as the sigmoid P(female).
        targets: by label, (n,), of attributes (n, A): as stored, but in the numbering and order of the output's names.
        predicted: by label, float64: (n,) years of age, and (n,) P(second class) where the output is a sigmoid, as of
            gender P(female); (n, k) probabilities of classes; (n, A) probabilities or scores of attributes.
    """

    values: dict[str, Any]
    rows: Indices
    outputs: dict[str, Output]
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
        FacetError: nothing to measure there, classes that the model does not know, or an output that cannot be
            measured: of another form than `models.description.Output` tells, or of values that are not finite.
    """
    labels = tuple(o.label for o in predictor.description.outputs if o.label in reader.label_names)
    if not labels:
        names_of_outputs = ", ".join(output.label for output in predictor.description.outputs)
        raise FacetError(f"{reader.path}: has no label that the model predicts, expected {names_of_outputs}")
    unknown_counts = tuple(label for label in labels if predictor.description.output(label).unknown_is_a_class)
    rows = known_rows(reader, split, labels, unknown_counts)
    if not len(rows):
        raise FacetError(f"--split {split}: {reader.path} has no labelled example there")
    outputs, predicted = _predict(predictor, reader, rows, labels, progress)
    targets = {label: measured_targets(outputs[label], reader, rows) for label in labels}
    metrics = {label: label_metrics(outputs[label], targets[label], predicted[label]) for label in labels}
    learnt = known_rows(reader, "train", labels, unknown_counts)
    groups = _persons(predictor, reader, split, rows, learnt) | _groups(reader, rows)
    by_group = group_metrics(groups, outputs, targets, predicted)
    place = {"data": str(reader.path), "split": split, "count": len(rows)}
    values = names | place | {"metrics": metrics, "groups": by_group}
    return Evaluation(values, rows, outputs, targets, predicted)


def _predict(
    predictor: Predictor, reader: HDF5Reader, rows: Indices, labels: tuple[str, ...], progress: Progress
) -> tuple[dict[str, Output], dict[str, NDArray[np.float64]]]:
    """Predicts in blocks of one size, the last one padded: a batch's size can change the last digit."""
    steps = -(-len(rows) // _BATCH)
    padded = np.concatenate([rows, np.repeat(rows[:1], steps * _BATCH - len(rows))])
    outputs: dict[str, Output] = {}
    parts: dict[str, list[NDArray[np.float32]]] = {label: [] for label in labels}
    progress.start("evaluating", steps)
    for images in ahead(lambda step: reader.read(padded[step * _BATCH : (step + 1) * _BATCH]), range(steps)):
        for label, values in predictor.predict(images).items():
            if label in parts:
                outputs[label] = measured_output(predictor, reader, label, values.shape[1])
                parts[label].append(measured_values(outputs[label], _finite(predictor, label, values)))
        progress.advance(1)
    predicted = {label: np.concatenate(parts[label])[: len(rows)].astype(np.float64) for label in labels}
    return {label: outputs[label] for label in labels}, predicted


def _finite(predictor: Predictor, label: str, values: NDArray[np.float32]) -> NDArray[np.float32]:
    if not np.isfinite(values).all():
        raise FacetError(
            f"{predictor.source}: output {label!r} is not finite for some images, expected numbers: its training has"
            " failed"
        )
    return values


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


def _persons(
    predictor: Predictor, reader: HDF5Reader, split: str, rows: Indices, learnt_rows: Indices
) -> dict[str, NDArray[np.str_]]:
    """Groups people by whether the model has learnt from other images of them; empty where nobody knows.

    Nobody knows where the model comes from another file, where no persons are named on one of the two sides, and it
    says nothing where the split is the one that was learnt from.
    """
    trained_on = predictor.description.images_digest or reader.images_digest
    subjects, learnt = reader.subjects[rows], reader.subjects[learnt_rows]
    are_named = bool((subjects >= 0).any() and (learnt >= 0).any())
    if split == "train" or trained_on != reader.images_digest or not are_named:
        return {}
    sides = np.where(np.isin(subjects, learnt), "in train", "not in train")
    return {"person": np.where(subjects >= 0, sides, "")}
