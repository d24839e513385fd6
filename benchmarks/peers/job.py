"""What a contender is asked to do, and the files that are made ready for it; needs NumPy alone."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

UInt8Array = NDArray[np.uint8]

#: Images of a batch, in every measurement.
BATCH = 64

#: Task -> side of the images that come out.
SIDES = {"raw": 150, "decode": 128, "resize": 150, "originals": 150}


@dataclass(frozen=True)
class Job:
    """One contender's task.

    Attributes:
        work: folder of the prepared files.
        task: `raw`, `decode`, `resize` or `originals`, or what a writer calls its own.
        column: `numpy` or `tensor`: what batches are to become.
        variant: which of its forms a program shall take.
        seconds: a repeat goes through whole epochs for at least so long.
    """

    work: Path
    task: str
    column: str
    variant: str
    seconds: float

    @property
    def side(self) -> int:
        """Side of the square images that come out."""
        return SIDES[self.task]

    @property
    def listing(self) -> tuple[list[Path], NDArray[np.uint8]]:
        """The image files, in an order without pattern, and their labels, 0 or 1."""
        name = "originals.json" if self.task == "originals" else "images.json"
        listed: dict[str, Any] = json.loads((self.work / name).read_text(encoding="utf-8"))
        return [self.work / path for path in listed["paths"]], np.array(listed["labels"], np.uint8)

    def jpegs(self) -> list[bytes]:
        """Gives the image files' bytes, in the listing's order."""
        return [path.read_bytes() for path in self.listing[0]]

    def pixels(self) -> NDArray[Any]:
        """Gives the raw images uint8 (N, 150, 150, 3), mapped, in the listing's order."""
        return np.load(self.raw_file, mmap_mode="r")  # type: ignore[no-any-return]

    @property
    def raw_file(self) -> Path:
        """NumPy's own file of the raw images; the pixels begin at byte 128."""
        return self.work / "raw.npy"

    def made(self, name: str, write: Callable[[Path], object]) -> Path:
        """Gives the file or folder `name`, see `made`."""
        return made(self.work / name, write)


def made(target: Path, write: Callable[[Path], object]) -> Path:
    """Gives `target`, a file or a folder; where it is not there yet it is made, whole or not at all.

    Args:
        target: final name, in an existing folder.
        write: makes what it is given, a name beside the target's that is free: what a killed run left is removed.
    """
    if not target.exists():
        part = target.with_name(f"part-{target.name}")
        shutil.rmtree(part) if part.is_dir() else part.unlink(missing_ok=True)
        write(part)
        part.rename(target)
    return target
