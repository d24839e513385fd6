"""A packed file as a model wants it: at its image size, and split as its training was."""

from pathlib import Path

from hdf5_helper.reading.reader import HDF5Reader
from models.description import ModelDescription


def open_for(description: ModelDescription, data: Path) -> HDF5Reader:
    """Opens a packed file for a model.

    Args:
        description: of the model; an image size with a 0 leaves the file's own.
        data: the HDF5 file. Where it is the one that the model was trained on, wherever it lies now, its splits are
            those of the model's fold; the file's own otherwise.

    Raises:
        FacetError: the file cannot be read, or not at that size.
    """
    size = description.image_size if all(description.image_size) else None
    return HDF5Reader(data, image_size=size, fit=description.fit, fold=_fold(description, data))


def _fold(description: ModelDescription, data: Path) -> int | None:
    if description.fold < 0:
        return None
    with HDF5Reader(data) as reader:
        found = reader.images_digest, reader.index_digest
    return description.fold if found == (description.images_digest, description.index_digest) else None
