"""What a layout makes of pictures: a place for each, and the files that hold labels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from hdf5_helper.errors import FacetError
from hdf5_helper.sample.pictures import Picture


@dataclass(frozen=True)
class SampleTree:
    """A folder tree before it is written.

    Attributes:
        places: path of each picture, relative to the tree's root, in the order of the pictures.
        files: further files: path -> contents.
    """

    places: tuple[PurePosixPath, ...]
    files: dict[PurePosixPath, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuses two pictures in one place."""
        if len(set(self.places)) != len(self.places):
            raise FacetError("a sample tree must have one place for each picture. Received: the same place twice")


@dataclass(frozen=True)
class Planting:
    """One way in which labels are written into a tree.

    Attributes:
        plant: gives the SampleTree of some pictures.
        ages: youngest and oldest age that the real trees of this layout hold.
        extra: names and contents of files that real trees of this layout have beside the images and labels.
    """

    plant: Callable[[Sequence[Picture]], SampleTree]
    ages: tuple[int, int] = (1, 90)
    extra: dict[str, bytes] = field(default_factory=dict)


def table(rows: Sequence[Sequence[object]], separator: str) -> bytes:
    """Gives the text of a table, one line a row."""
    return "".join(separator.join(map(str, row)) + "\n" for row in rows).encode()
