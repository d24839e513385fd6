"""Small trees of drawn images for tests: exactly the files a test names, each with a picture of its own."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from hdf5_helper.progress import Silent

UInt8Array = NDArray[np.uint8]

#: What a pack of a.h5 leaves where it is interrupted.
LEFT = [".a.part.h5", ".a.part.journal"]


def picture(number: int, height: int = 40, width: int = 32) -> UInt8Array:
    """Gives a picture that no other number gives, uint8 (height, width, 3), RGB, smooth enough for JPEG."""
    colors = np.random.default_rng(number).integers(0, 256, (3, 3, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(colors, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def encoded(image: UInt8Array, suffix: str = ".jpg") -> bytes:
    """Gives `image` (RGB) as the bytes of an image file."""
    return cv2.imencode(suffix, image[..., ::-1])[1].tobytes()


def plant(root: Path, paths: Iterable[str], height: int = 40, width: int = 32) -> Path:
    """Writes one picture a path; the picture depends on the path alone. Gives `root`."""
    for path in paths:
        number = int.from_bytes(path.encode()[-7:], "big")
        write(root, path, encoded(picture(number, height, width), Path(path).suffix))
    return root


def write(root: Path, path: str, data: bytes) -> Path:
    """Writes one file and its folders; gives its path."""
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    return file


def manifest(root: Path, rows: Iterable[Mapping[str, object]], name: str = "manifest.csv") -> Path:
    """Writes a manifest of `rows`, and one picture for each `path`. Gives `root`."""
    listed = list(rows)
    header = list(listed[0])
    lines = [",".join(header), *(",".join(str(row[column]) for column in header) for row in listed)]
    plant(root, [str(row["path"]) for row in listed])
    write(root, name, ("\n".join(lines) + "\n").encode())
    return root


def agegender_paths(persons: int, pictures: int = 2) -> list[str]:
    """Gives the paths of an agegender tree: every fifth person in `valid`."""
    return [
        f"combined/{'valid' if person % 5 == 4 else 'aligned'}/{20 + person % 30:02d}_{'FM'[person % 2]}"
        f"/nm{person:07d}_rm{number}_1980-1-1_2005.jpg"
        for person in range(persons)
        for number in range(pictures)
    ]


def left_in(folder: Path) -> list[str]:
    """Gives the names of the files in a folder."""
    return sorted(path.name for path in folder.iterdir() if path.is_file())


def interrupt() -> None:
    """Does what Ctrl-C does: something for a Meddler."""
    raise KeyboardInterrupt


class Meddler(Silent):
    """Does something when a stage of a pack begins: by default between the survey and the first image."""

    def __init__(self, meddle: Callable[[], object], stage: str = "packing") -> None:
        self.meddle, self.stage = meddle, stage

    def start(self, what: str, total: int, *, done: int = 0) -> None:  # noqa: ARG002
        if what == self.stage:
            self.meddle()
