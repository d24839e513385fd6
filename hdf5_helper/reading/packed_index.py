"""The index of a packed file: labels, groups, splits, subjects, paths, statistics."""

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdf5_helper.errors import FacetError, did_you_mean
from hdf5_helper.storage import file_format as names
from hdf5_helper.storage.file_format import path_text
from hdf5_helper.storage.opening import SealedFile, python_value

#: In `split_numbers`: the example is in no split.
NO_SPLIT = 255

#: Test on one fold, validate on another, train on the rest.
LEAST_FOLDS = 3


def splits_of_fold(folds: NDArray[np.int8], fold: int) -> NDArray[np.uint8]:
    """Gives the splits that test on one fold, validate on the one before it and train on the others.

    Args:
        folds: fold of every example (N,), -1 for none; at least three folds, numbered in any way.
        fold: one of them. The one before the first is the last.

    Returns:
        uint8 (N,): 0 train, 1 validation, 2 test; 255 for an example without a fold, which nobody knows the side of.
    """
    numbers = np.unique(folds[folds != names.NO_FOLD]).tolist()
    splits = np.where(folds == names.NO_FOLD, NO_SPLIT, names.TRAIN).astype(np.uint8)
    splits[folds == numbers[numbers.index(fold) - 1]] = names.VALIDATION
    splits[folds == fold] = names.TEST
    return splits


class PackedIndex:
    """Everything in a packed file but its images; arrays are copies, read when asked for.

    Attributes:
        path: the file.
        storage: `encoded` or `raw`.
        fold: that the splits are made of, None for the file's own splits.

    Raises:
        FacetError: the file has no such fold, or too few folds to make splits of.
    """

    def __init__(self, file: SealedFile, fold: int | None = None) -> None:
        self._file, self.fold = file, fold
        self.path = file.path
        self.storage = str(file.attributes[names.ATTRIBUTE_STORAGE])

    def __len__(self) -> int:
        """Gives the number of examples."""
        return self._file.structure.dsets[names.CHECKSUM].shape[0]

    @cached_property
    def attributes(self) -> dict[str, Any]:
        """Root attributes: storage, fit, layout, split, seed and whatever else the packer was asked for."""
        outside = (names.ATTRIBUTE_FORMAT, names.ATTRIBUTE_VERSION)
        return {name: value for name, value in self._file.attributes.items() if name not in outside}

    def _column(self, name: str) -> NDArray[Any]:
        return self._file.structure.column(name, self._file.data)

    def _named(self, folder: str, name: str) -> str:
        known = self._file.structure.names_under(folder)
        if name not in known:
            raise FacetError(f"{self.path}: has no {folder.rstrip('s/')} {name!r}, {did_you_mean(name, known)}")
        return folder + name

    def _names_attribute(self, dset: str, attribute: str) -> tuple[str, ...]:
        value = python_value(self._file.structure.attributes[dset].get(attribute, ()))
        return tuple(value)

    @property
    def label_names(self) -> tuple[str, ...]:
        """Names of the labels, sorted."""
        return self._file.structure.names_under(names.LABELS)

    def labels(self, name: str) -> NDArray[Any]:
        """Gives a label as stored, (N, …): see hdf5_helper.labels for types and unknowns."""
        return self._column(self._named(names.LABELS, name))

    def class_names(self, label: str) -> tuple[str, ...]:
        """Gives the class names of a label by number, the names of the columns of `attributes`; none for age."""
        attribute = names.NAMES if label == "attributes" else names.CLASS_NAMES
        return self._names_attribute(self._named(names.LABELS, label), attribute)

    @property
    def groups(self) -> tuple[str, ...]:
        """Names of the groups, sorted."""
        return self._file.structure.names_under(names.GROUPS)

    def group(self, name: str) -> NDArray[np.uint16]:
        """Gives a group, uint16 (N,); 65535 is unknown."""
        return self._column(self._named(names.GROUPS, name))

    def group_names(self, name: str) -> tuple[str, ...]:
        """Gives the names of a group's numbers."""
        return self._names_attribute(self._named(names.GROUPS, name), names.CLASS_NAMES)

    @cached_property
    def split_numbers(self) -> NDArray[np.uint8]:
        """Split of every example, uint8 (N,): 0 train, 1 validation, 2 test; 255 is none, see `splits_of_fold`."""
        return self._column(names.SPLIT) if self.fold is None else splits_of_fold(self.folds, self.fold)

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits that have examples."""
        present = set(np.unique(self.split_numbers).tolist())
        return tuple(name for number, name in enumerate(names.SPLIT_NAMES) if number in present)

    def split(self, name: str) -> NDArray[np.int64]:
        """Gives the example indices of `train`, `validation` or `test`, ascending, int64 (n,)."""
        if name not in names.SPLIT_NAMES:
            raise FacetError(f"{self.path}: has no split {name!r}, {did_you_mean(name, names.SPLIT_NAMES)}")
        return np.flatnonzero(self.split_numbers == names.SPLIT_NAMES.index(name)).astype(np.int64)

    @cached_property
    def paths(self) -> list[str]:
        """Path of every example, relative to the packed tree."""
        return [path_text(path) for path in self._column(names.PATH).tolist()]

    @cached_property
    def subjects(self) -> NDArray[np.int32]:
        """Subject of every example, an index into `subject_names`; -1 is unknown."""
        return self._column(names.SUBJECT)

    @cached_property
    def subject_names(self) -> list[str]:
        """Names of the subjects."""
        return [path_text(name) for name in self._column(names.SUBJECT_NAMES).tolist()]

    @cached_property
    def folds(self) -> NDArray[np.int8]:
        """Fold of every example; -1 is none."""
        return self._column(names.FOLD)

    @cached_property
    def fold_numbers(self) -> tuple[int, ...]:
        """Numbers of the folds that occur, ascending."""
        return tuple(number for number in np.unique(self.folds).tolist() if number != names.NO_FOLD)

    def check_folds(self, fold: int | None = None) -> None:
        """Refuses a file that has too few folds to make splits of, and a fold that it does not have.

        Raises:
            FacetError: names what the file has.
        """
        found = ", ".join(map(str, self.fold_numbers)) or "none"
        if len(self.fold_numbers) < LEAST_FOLDS:
            raise FacetError(f"{self.path}: its folds are {found}, expected at least {LEAST_FOLDS} to make splits")
        if fold is not None and fold not in self.fold_numbers:
            raise FacetError(f"fold {fold}: {self.path} does not have it, expected one of {found}")

    @cached_property
    def checksums(self) -> NDArray[np.uint64]:
        """XXH3-64 of every example's stored bytes."""
        return self._column(names.CHECKSUM)

    @cached_property
    def channel_means(self) -> NDArray[np.float32]:
        """Mean red, green and blue of every example, float32 (N, 3), 0–255."""
        return self._column(names.CHANNEL_MEAN)

    @property
    def images_digest(self) -> str:
        """Digest over the images, hexadecimal: a corrected label keeps it."""
        return self._file.seal.images_digest.hex()

    @property
    def index_digest(self) -> str:
        """Digest over labels, splits, paths and everything else, hexadecimal."""
        return self._file.seal.index_digest.hex()
