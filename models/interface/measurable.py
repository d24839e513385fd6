"""What of a model's outputs can be measured on a file: its form, and the file's labels in the model's numbering."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdf5_helper.errors import FacetError
from hdf5_helper.labels import known, label_kind
from hdf5_helper.reading.order import Indices
from hdf5_helper.reading.reader import HDF5Reader
from hdf5_helper.wording import count_text
from models.description import Output
from models.interface.predictor import Predictor

#: Names in a refusal at most.
_MOST_NAMES = 8


def measured_output(predictor: Predictor, reader: HDF5Reader, label: str, columns: int) -> Output:
    """Gives a label's output as it is measured.

    Class names that the model does not tell are the file's, where there are as many. A two-way softmax of gender is
    measured as P(female), which is a sigmoid.

    Args:
        predictor: the model.
        reader: a file that has the label.
        label: name.
        columns: values an image that the model gives.

    Raises:
        FacetError: the output has none of the forms that can be measured, see `models.description.Output`.
    """
    output = predictor.description.output(label)
    if not output.class_names:
        output = replace(output, class_names=reader.class_names(label))
    expected = _unlike(output, columns)
    if expected:
        raise FacetError(
            f"{predictor.source}: output {label!r} has {count_text(columns, f'{output.activation} column')}, expected"
            f" {expected}: others cannot be measured in this version"
        )
    is_two_way = label == "gender" and output.activation == "softmax" and columns == 2
    return replace(output, activation="sigmoid") if is_two_way else output


def _unlike(output: Output, columns: int) -> str:
    """Gives what was expected of an output that cannot be measured, empty for one that can."""
    names, activation = output.class_names, output.activation
    if output.label == "age":
        return "" if columns == 1 and activation not in ("sigmoid", "softmax") else "one, in years"
    if output.label == "attributes":
        fits = columns == len(names) and activation in ("sigmoid", "linear")
        return "" if fits else f"{len(names)}, sigmoid or linear, one an attribute"
    two = len(names) == 2
    fits = (activation == "sigmoid" and columns == 1 and two) or (activation == "softmax" and columns == len(names) > 1)
    return "" if fits else f"{'a sigmoid or ' if two else ''}a softmax of {_listed(names)}"


def measured_values(output: Output, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Gives what is kept of a batch (B, k): (B,) P(second class) or years, else all of it; see `measured_output`."""
    is_one = output.label == "age" or (output.activation == "sigmoid" and output.label != "attributes")
    return values[:, -1] if is_one else values


def measured_targets(output: Output, reader: HDF5Reader, rows: Indices) -> NDArray[Any]:
    """Gives the labels of examples as stored, but with the model's numbers for classes and its order of attributes.

    Args:
        output: as measured.
        reader: a file that has the label; its classes may be other ones, or in another order.
        rows: example indices (n,).

    Returns:
        (n,), of attributes (n, A); an attribute that the file does not have is unknown.

    Raises:
        FacetError: examples of a class that the model does not know, or none of its attributes in the file.
    """
    stored, names = reader.labels(output.label)[rows], reader.class_names(output.label)
    if output.label == "attributes":
        return _attributes(output, reader, stored)
    is_same = names == output.class_names[: len(names)]  # unknown may follow as one more class
    return stored if output.label == "age" or is_same else _renumbered(output, reader, stored)


def _attributes(output: Output, reader: HDF5Reader, stored: NDArray[np.int8]) -> NDArray[np.int8]:
    columns = {name: stored[:, number] for number, name in enumerate(reader.class_names(output.label))}
    if not set(columns) & set(output.class_names):
        raise FacetError(
            f"{reader.path}: has none of the model's attributes, expected some of {_listed(output.class_names)}"
        )
    absent = np.zeros(len(stored), np.int8)
    return np.stack([columns.get(name, absent) for name in output.class_names], axis=1)


def _renumbered(output: Output, reader: HDF5Reader, stored: NDArray[Any]) -> NDArray[Any]:
    names, numbers = reader.class_names(output.label), {name: n for n, name in enumerate(output.class_names)}
    targets = np.full_like(stored, int(label_kind(output.label).unknown))
    for number in np.unique(stored[known(output.label, stored)]).tolist():
        if names[number] not in numbers:
            raise FacetError(
                f"{reader.path}: label {output.label!r} has the class {names[number]!r}, which the model does not know,"
                f" expected {_listed(output.class_names)}"
            )
        targets[stored == number] = numbers[names[number]]
    return targets


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join([*names[:_MOST_NAMES], *(["…"] if len(names) > _MOST_NAMES else [])])
