"""How labels are read from a source; wrong values are refused here, before any work."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from hdf5_helper.errors import FacetError, did_you_mean
from hdf5_helper.labels import RESERVED_LABELS

_NAME = re.compile(r"[\w-][\w.-]*")

#: Which faces of Adience there are: `aligned/`, tilted upright, and `faces/`, larger and as they were.
FACES = ("aligned", "coarse")


@dataclass(frozen=True)
class SourceOptions:
    """How labels are read.

    Attributes:
        label_name: name of the class label that folders are; None takes gender where the folders are words for it, else
            `class`.
        value_map: for a label, what its written values mean: {"gender": {"W": "female"}}.
        columns: for a role or label of a manifest, its column: {"path": "file"}.
        groups: columns of a manifest that are groups.
        faces: which faces of Adience: `aligned` (tilted upright) or `coarse` (`faces/`); None takes what is there.
    """

    label_name: str | None = None
    value_map: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    columns: Mapping[str, str] = field(default_factory=dict)
    groups: tuple[str, ...] = ()
    faces: str | None = None

    def __post_init__(self) -> None:
        """Refuses names that HDF5 or the format cannot hold."""
        names = () if self.label_name is None else (self.label_name,)
        for option, given in (("--label-name", names), ("--columns", self.columns), ("--groups", self.groups)):
            for name in given:
                check_name(option, name)
        if self.label_name in RESERVED_LABELS:
            raise FacetError(f"--label-name {self.label_name!r}: this name has a meaning of its own, expected another")
        if "attributes" in map(str.lower, self.columns):
            raise FacetError("--columns attributes: a manifest cannot give this label, expected another name")
        if self.faces is not None and self.faces not in FACES:
            raise FacetError(f"--faces {self.faces!r}: {did_you_mean(self.faces, FACES)}")

    def given(self) -> tuple[str, ...]:
        """Gives the options that were asked for, as the command line writes them."""
        values = {
            "--label-name": self.label_name is not None,
            "--map": self.value_map,
            "--columns": self.columns,
            "--groups": self.groups,
            "--faces": self.faces is not None,
        }
        return tuple(option for option, value in values.items() if value)


def check_name(option: str, name: str) -> None:
    """Refuses a name of a label or group that HDF5 would read as a path, such as `a/b` or `.`."""
    if not _NAME.fullmatch(name):
        raise FacetError(f"{option} {name!r}: expected letters, digits, _ . - only, and no dot first")
