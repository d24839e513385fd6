"""What `facet pack` can be asked for; wrong values are refused here, before any work."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hdf5_helper.errors import FacetError, did_you_mean
from hdf5_helper.images.fit import FITS
from hdf5_helper.packing.executors import check_executor
from hdf5_helper.packing.image_store import EncodedStore, ImageStore, RawStore
from hdf5_helper.sources.source_options import SourceOptions
from hdf5_helper.storage.file_format import STORAGES
from hdf5_helper.storage.file_layout import Attribute

#: Parts of a random split: train, validation, test.
DEFAULT_PARTS = (0.64, 0.16, 0.2)

SPLIT_UNITS = ("subject", "image")

#: Raw pixels need a size; 150 is what the AFAD recipes train on.
DEFAULT_RAW_SIZE = (150, 150)


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
        faces: which faces of Adience: `aligned` or `coarse`; None takes what is there.
        max_size: encoded images whose longer side is larger are shrunk to it and encoded anew; None keeps all.
        workers: how many; None for one a core and one more thread, or all of a cluster's. The file is the same.
        executor: `threads`, `processes` or `dask://HOST:PORT`; the file does not depend on it.
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
    label_name: str | None = None
    value_map: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    columns: Mapping[str, str] = field(default_factory=dict)
    groups: tuple[str, ...] = ()
    faces: str | None = None
    max_size: int | None = None
    workers: int | None = None
    executor: str = "threads"
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
        if self.max_size is not None and (self.max_size < 1 or self.storage == "raw"):
            found = "raw storage has --image-size instead" if self.storage == "raw" else "expected at least 1"
            raise FacetError(f"--max-size {self.max_size}: {found}")
        check_executor(self.executor)
        self.source_options()
        self.split_options()

    def image_store(self) -> ImageStore:
        """Gives how images are kept."""
        if self.storage == "raw":
            return RawStore(self.image_size or DEFAULT_RAW_SIZE, self.fit)
        return EncodedStore(self.max_size)

    def source_options(self) -> SourceOptions:
        """Gives how labels are read."""
        return SourceOptions(self.label_name, self.value_map, self.columns, self.groups, self.faces)

    def split_options(self) -> SplitOptions:
        """Gives how examples are chosen and split."""
        official = self.split == "official"
        parts = None if self.split is None or official else parse_parts(self.split)
        return SplitOptions(parts, official, self.split_by, self.fold, self.fraction, self.limit, self.seed)


def parse_parts(text: str) -> tuple[float, float, float]:
    """Reads `0.64,0.16,0.2`.

    Raises:
        FacetError: not three numbers from 0 to 1 with the sum 1.
    """
    try:
        parts = tuple(float(part) for part in text.split(","))
    except ValueError:
        parts = ()
    if len(parts) != 3 or not all(0 <= part <= 1 for part in parts) or abs(sum(parts) - 1) > 1e-6:
        raise FacetError(f"--split {text!r}: expected `official`, or three parts with the sum 1 such as 0.64,0.16,0.2")
    return parts


def parse_columns(text: str | None) -> dict[str, str]:
    """Reads `path=file,age=AGE` as {"path": "file", "age": "AGE"}."""
    return {} if text is None else _pairs("--columns", text, text)


def parse_groups(text: str | None) -> tuple[str, ...]:
    """Reads `race,camera`."""
    return () if text is None else tuple(part.strip() for part in text.split(",") if part.strip())


def parse_maps(texts: Sequence[str]) -> dict[str, dict[str, str]]:
    """Reads several `gender:W=female,M=male` as {"gender": {"W": "female", "M": "male"}}."""
    maps: dict[str, dict[str, str]] = {}
    for text in texts:
        label, colon, rest = text.partition(":")
        if not colon or not label.strip():
            raise FacetError(f"--map {text!r}: expected LABEL:WRITTEN=MEANT such as gender:W=female,M=male")
        maps.setdefault(label.strip(), {}).update(_pairs("--map", text, rest))
    return maps


def _pairs(option: str, whole: str, text: str) -> dict[str, str]:
    """Reads `a=b,c=d`."""
    pairs = [part.partition("=") for part in text.split(",")]
    if not all(key.strip() and equals and value.strip() for key, equals, value in pairs):
        raise FacetError(f"{option} {whole!r}: expected pairs such as a=b,c=d")
    return {key.strip(): value.strip() for key, _equals, value in pairs}
