"""What `facet pack` can be asked for; wrong values are refused here, before any work."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from hdf5_helper.errors import FacetError, did_you_mean
from hdf5_helper.fit import FITS
from hdf5_helper.format import STORAGES
from hdf5_helper.labels import RESERVED_LABELS
from hdf5_helper.layout import Attribute
from hdf5_helper.option_text import parse_parts

#: Parts of a random split: train, validation, test.
DEFAULT_PARTS = (0.64, 0.16, 0.2)

SPLIT_UNITS = ("subject", "image")

#: Raw pixels need a size; 150 is what the AFAD recipes train on.
DEFAULT_RAW_SIZE = (150, 150)

_NAME = re.compile(r"[\w.-]+")


@dataclass(frozen=True)
class SourceOptions:
    """How labels are read.

    Attributes:
        label_name: name of a class label whose names are folders.
        value_map: for a label, what its written values mean: {"gender": {"W": "female"}}.
        columns: for a role or label of a manifest, its column: {"path": "file"}.
        groups: columns of a manifest that are groups.
    """

    label_name: str = "class"
    value_map: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    columns: Mapping[str, str] = field(default_factory=dict)
    groups: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuses names that HDF5 or the format cannot hold."""
        check_name("--label-name", self.label_name)
        if self.label_name in RESERVED_LABELS:
            raise FacetError(f"--label-name {self.label_name!r}: this name has a meaning of its own, expected another")
        for group in self.groups:
            check_name("--groups", group)


@dataclass(frozen=True)
class SplitOptions:
    """How examples are chosen and split.

    Attributes:
        parts: shares of train, validation and test; None takes the official split where there is one, else the default.
        official: only the official split will do.
        by: `subject` keeps a person on one side, `image` does not.
        fold: the fold to test on; None takes the last where a source has folds.
        fraction: share of the examples to keep.
        limit: number of examples to keep at most.
        seed: chooses among equals.
    """

    parts: tuple[float, float, float] | None = None
    official: bool = False
    by: str = "subject"
    fold: int | None = None
    fraction: float = 1.0
    limit: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuses what is no split."""
        if self.by not in SPLIT_UNITS:
            raise FacetError(f"--split-by {self.by!r}: {did_you_mean(self.by, SPLIT_UNITS)}")
        if not 0 < self.fraction <= 1:
            raise FacetError(f"--fraction {self.fraction:g}: expected more than 0 and at most 1")
        if self.limit is not None and self.limit < 1:
            raise FacetError(f"--limit {self.limit}: expected at least 1")
        if not 0 <= self.seed < 1 << 63:
            raise FacetError(f"--seed {self.seed}: expected a number from 0 to 2**63 - 1")
        if self.fold is not None and self.parts is not None:
            raise FacetError("--fold: folds are a split of their own, expected no --split with parts beside it")


@dataclass(frozen=True)
class PackOptions:
    """Everything that decides what a packed file holds, and how it is made.

    Attributes:
        layout: name of a layout, or `auto`.
        storage: `encoded` keeps the files' bytes, `raw` holds pixels.
        image_size: (height, width): of the pixels if raw (150×150 if None), else the size that readers give by default.
        fit: `stretch`, `crop` or `pad`.
        split: `official`, three parts such as `0.64,0.16,0.2`, or None for official where it exists, else these parts.
        split_by: `subject` or `image`.
        fold: test on this fold.
        fraction: share of the examples to keep.
        limit: number of examples to keep at most.
        seed: chooses split, fraction and row order.
        label_name: see SourceOptions, as for the next three.
        value_map: what written values mean.
        columns: columns of a manifest.
        groups: columns of a manifest that are groups.
        workers: threads; None for one a core. The file does not depend on it.
        overwrite: replace an existing file.
        attributes: further root attributes.
    """

    layout: str = "auto"
    storage: str = "encoded"
    image_size: tuple[int, int] | None = None
    fit: str = "stretch"
    split: str | None = None
    split_by: str = "subject"
    fold: int | None = None
    fraction: float = 1.0
    limit: int | None = None
    seed: int = 0
    label_name: str = "class"
    value_map: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    columns: Mapping[str, str] = field(default_factory=dict)
    groups: tuple[str, ...] = ()
    workers: int | None = None
    overwrite: bool = False
    attributes: Mapping[str, Attribute] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuses wrong values, those of the parts included."""
        if self.storage not in STORAGES:
            raise FacetError(f"--storage {self.storage!r}: {did_you_mean(self.storage, STORAGES)}")
        if self.fit not in FITS:
            raise FacetError(f"--fit {self.fit!r}: {did_you_mean(self.fit, FITS)}")
        if self.image_size is not None and (len(self.image_size) != 2 or min(self.image_size) < 1):
            raise FacetError(f"image_size must be two positive integers, found {self.image_size}")
        if self.workers is not None and self.workers < 1:
            raise FacetError(f"--workers {self.workers}: expected at least 1")
        if self.storage == "raw" and self.image_size is None:
            object.__setattr__(self, "image_size", DEFAULT_RAW_SIZE)
        self.source_options()
        self.split_options()

    def source_options(self) -> SourceOptions:
        """Gives how labels are read."""
        return SourceOptions(self.label_name, self.value_map, self.columns, self.groups)

    def split_options(self) -> SplitOptions:
        """Gives how examples are chosen and split."""
        official = self.split == "official"
        parts = None if self.split is None or official else parse_parts(self.split)
        return SplitOptions(parts, official, self.split_by, self.fold, self.fraction, self.limit, self.seed)


def check_name(option: str, name: str) -> None:
    """Refuses a name of a label or group that has other characters than letters, digits and `_.-`."""
    if not _NAME.fullmatch(name):
        raise FacetError(f"{option} {name!r}: expected letters, digits and the signs _ . - only")
