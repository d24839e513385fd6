"""The heads of labels as a packed file has them: its classes and attributes by their names there."""

from collections.abc import Iterable, Mapping

from hdf5_helper.reading.reader import HDF5Reader
from models.heads.choosing import heads_for
from models.heads.head import Head


def class_names_in(reader: HDF5Reader, labels: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Gives by label the names of its classes or attributes as a file has them; age has none."""
    return {label: reader.class_names(label) for label in labels}


def heads_on(
    reader: HDF5Reader, labels: tuple[str, ...], forms: Mapping[str, str], loss_weights: Mapping[str, float]
) -> tuple[Head, ...]:
    """Gives the heads of one model on a file's labels; arguments and errors as for `heads_for`."""
    return heads_for(labels, class_names_in(reader, labels), forms, loss_weights)
