"""What a runtime is to the export: a program that runs a written file and says what came out, or why it cannot."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hdf5_helper.errors import FacetError
from models.export.formats import format_of
from models.export.signature import Signature

Float32Array = NDArray[np.float32]


class RuntimeRefusal(Exception):  # noqa: N818 - a refusal is an answer, not a mistake
    """A runtime cannot load or run a file; the text is its reason on one line of at most 160 characters."""

    def __init__(self, reason: object) -> None:
        super().__init__(" ".join(str(reason).split())[:160])


@dataclass(frozen=True)
class Answer:
    """What one run of a graph gave.

    Attributes:
        values: float32 (B, width) by the output's name.
        seconds: time that the runtime took, without bringing the images to it.
    """

    values: dict[str, Float32Array]
    seconds: float


class OpenGraph(Protocol):
    """A file that a runtime has loaded."""

    def run(self, images: NDArray[Any]) -> Answer:
        """Gives the outputs' values.

        Args:
            images: (B, H, W, 3), C order, float32 or uint8: what the graph's input takes.

        Raises:
            RuntimeRefusal: the runtime cannot run the graph.
        """
        ...


@dataclass(frozen=True)
class Runtime:
    """A program that runs written files.

    Attributes:
        key: its name on the command line.
        name: its name in words.
        formats: those that it reads.
        version: gives the installed version, None where it is not installed.
        how_to_get: a clause that says what to do where it is not.
        load: loads a file of one of its formats, see `open`.
        family: what stands before the version, where the name holds a version already.
    """

    key: str
    name: str
    formats: tuple[str, ...]
    version: Callable[[], str | None]
    how_to_get: str
    load: Callable[[Path, Signature], AbstractContextManager[OpenGraph]]
    family: str = ""

    @property
    def title(self) -> str:
        """Name and version, such as `OpenCV 4.14.0`; the name alone where it is not installed."""
        version = self.version()
        return f"{self.family or self.name} {version}" if version else self.name

    def open(self, path: Path, signature: Signature) -> AbstractContextManager[OpenGraph]:
        """Loads a written file, for the length of a `with` block.

        Args:
            path: a file or a SavedModel's folder.
            signature: its input and outputs.

        Raises:
            FacetError: a file of a format that it does not read.
            RuntimeRefusal: on entering, where the runtime cannot load the file.
        """
        if format_of(path) not in self.formats:
            raise FacetError(f"{path}: {self.name} reads {', '.join(self.formats)}, not {format_of(path)}")
        return self.load(path, signature)


def installed_version(*packages: str) -> str | None:
    """Gives the version of the first of several packages that is installed, None where none is."""
    for package in packages:
        try:
            return metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return None
