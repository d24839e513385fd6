"""What a FaceModel trains on: a packed file's generator, or somebody's own data."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hdf5_helper.errors import FacetError
from hdf5_helper.progress import Say
from hdf5_helper.reading.generator import HDF5Generator
from hdf5_helper.reading.reader import HDF5Reader
from models.heads.head import Head
from models.heads.on_file import class_names_in
from models.interface.assembling import largest_batch
from models.interface.building import start_at_labels
from models.network import start_at
from models.training.foreign import ForeignData
from models.training.foreign_batches import BatchMaker

#: Examples a step, as in the first implementation.
_BATCH = 64

FaceData = HDF5Generator | ForeignData


@dataclass(frozen=True)
class Origin:
    """What a run remembers of its training data.

    Attributes:
        data: path of the HDF5 file, or what the data are where they are somebody's own.
        batch_size: rows of a batch.
        seed: of their order.
        fit: how images were brought to their size.
        images_digest, index_digest: of the file, hex; empty for somebody's own data.
        augment: what training does to them; others' data are taken as they come.
        fold: that the file's splits are made of; -1 for its own.
    """

    data: str
    batch_size: int
    seed: int
    fit: str = "stretch"
    images_digest: str = ""
    index_digest: str = ""
    augment: str = "none"
    fold: int = -1


def packed(
    path: Path, split: str, labels: tuple[str, ...], image_size: tuple[int, int], *, shuffle: str | None, say: Say
) -> HDF5Generator:
    """Gives batches of 64 of a split of an HDF5 file, or the whole train split as one where that is smaller."""
    with HDF5Reader(path) as reader:
        batch = largest_batch(reader, labels, _BATCH, say) if split == "train" else _BATCH
    return HDF5Generator(path, split, batch, labels, image_size=image_size, shuffle=shuffle)


def class_names_of(generator: Any, path: Path, labels: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Gives the class names of labels as a packed file tells them; of others' data, those that everybody knows."""
    if isinstance(generator, HDF5Generator):
        return class_names_in(generator.reader, set(labels) & set(generator.reader.label_names))
    if generator is not None:
        return {}
    with HDF5Reader(path) as reader:
        return class_names_in(reader, set(labels) & set(reader.label_names))


def opened(data: Any, name: str, heads: tuple[Head, ...], image_size: tuple[int, int]) -> FaceData:
    """Gives a generator as it is, and opens what is none; `name` is the argument's, for sentences.

    Raises:
        FacetError: what cannot be trained on.
    """
    return data if isinstance(data, HDF5Generator) else ForeignData(data, BatchMaker(name, heads, image_size))


def packed_only(data: Any, name: str) -> HDF5Generator | None:
    """Gives a generator, or None for none; raises FacetError for data of another kind."""
    if data is None or isinstance(data, HDF5Generator):
        return data
    raise FacetError(f"{name}: found {type(data).__name__}, expected an HDF5Generator")


def origin_of(data: FaceData) -> Origin:
    """Gives what a run remembers of `data`."""
    if isinstance(data, ForeignData):
        return Origin(f"{data.name}: {data.kind}", data.batch_size, data.seed)
    reader = data.reader
    return Origin(
        str(reader.path),
        data.batch_size,
        data.order.seed,
        reader.fit,
        reader.images_digest,
        reader.index_digest,
        augment="mirror",
        fold=-1 if reader.fold is None else reader.fold,
    )


def start_at_labels_of(model: Any, data: FaceData, heads: tuple[Head, ...]) -> None:
    """Starts heads where the labels of the data ask for it, such as age at its mean."""
    for head in heads:
        if isinstance(data, HDF5Generator):
            start_at_labels(model, head, data)
        else:
            start_at(model, head, data.known_values(head))
