"""The images that everybody reads and packs: drawn once into the work folder, and kept there."""

import json
import os
import shutil
from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.job import made
from hdf5_helper.atomic import write_text
from hdf5_helper.errors import FacetError
from hdf5_helper.hashing import hash_integer
from hdf5_helper.images.decode import decode_file
from hdf5_helper.images.fit import fit
from hdf5_helper.packing.options import PackOptions
from hdf5_helper.packing.packer import pack
from hdf5_helper.progress import Progress
from hdf5_helper.sample import SampleOptions, write_sample

#: Side of the drawn images; at it they have some 7.5 KB each, as real faces of this size have.
SIDE = 128
RAW_SIDE = 150
#: The measures of opening are made on so many times the workload: 200,000 examples for 10,000.
MANY = 20


def prepare(work: Path, count: int, progress: Progress) -> None:
    """Makes `work` ready: images, classes, lists, packed files; what is there of an earlier run is taken.

    Each file and folder has its name when it is complete, so that a killed run leaves nothing that a later one takes.

    Args:
        work: an existing folder.
        count: number of images; a folder that was made for another number is refused.
        progress: watches the drawing.
    """
    options = SampleOptions("agegender", count, image_size=SIDE)
    made(work / "images", lambda part: write_sample(part, options, progress))
    _list(work, "images.json", "images")
    paths, labels = read_list(work, "images.json")
    if len(paths) != count:
        raise FacetError(f"{work}: was made for {len(paths)} images, expected --count {len(paths)} or another folder")
    made(work / "classes", lambda part: _link_classes(part, paths, labels))
    made(work / "raw.npy", lambda part: _write_raw(part, paths))
    _pack(work / "images", work / "encoded.h5", PackOptions())
    _pack(work / "images", work / "raw.h5", PackOptions(storage="raw", image_size=(RAW_SIDE, RAW_SIDE)))


def prepare_many(work: Path, progress: Progress) -> None:
    """Makes `many.h5`, encoded, of MANY times the images, each under so many names."""
    if (work / "many.h5").exists():
        return
    made(work / "many", lambda part: _link_many(part, work, progress))
    _pack(work / "many", work / "many.h5", PackOptions())
    shutil.rmtree(work / "many")


def _link_many(tree: Path, work: Path, progress: Progress) -> None:
    paths, _labels = read_list(work, "images.json")
    progress.start("linking", MANY)
    for number in range(MANY):
        for path in paths:
            # another person's name each time: a digit in front of the number that names the person
            folder = tree / path.relative_to(work / "images").parent
            folder.mkdir(parents=True, exist_ok=True)
            _link(path, folder / _renamed(path.name, number))
        progress.advance(1)
    progress.stop()


def _renamed(name: str, number: int) -> str:
    start = "nm" if name.startswith("nm") else ""
    return f"{start}{number + 10}{name.removeprefix(start)}"


def prepare_originals(work: Path, originals: Path) -> None:
    """Makes `originals.h5` and its list from the image files under `originals`, repeated to 640: ten whole batches."""
    made(work / "originals", lambda part: _copy_originals(part, sorted(originals.rglob("*.jpg"))))
    _list(work, "originals.json", "originals")
    _pack(work / "originals", work / "originals.h5", PackOptions(image_size=(RAW_SIDE, RAW_SIDE)))


def _copy_originals(tree: Path, found: Sequence[Path]) -> None:
    for number, path in enumerate(islice(cycle(found), max(640, len(found)))):
        target = tree / ("female" if number % 2 else "male") / f"{number:04d}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)


def originals_folder() -> Path | None:
    """Gives the folder of large real faces, in $FACET_DATA or else ../shared/data, or None where there is none."""
    root = Path(__file__).resolve().parent.parent
    given = os.environ.get("FACET_DATA")
    folder = (Path(given) if given else root.parent / "shared" / "data") / "adience_originals"
    return folder if folder.is_dir() else None


def read_list(work: Path, name: str) -> tuple[list[Path], list[int]]:
    """Gives the paths of a list, in its order, and the labels."""
    listed: dict[str, Any] = json.loads((work / name).read_text(encoding="utf-8"))
    return [work / path for path in listed["paths"]], listed["labels"]


def _list(work: Path, name: str, tree: str) -> None:
    """Lists a tree's files in an order without pattern: they come sorted by age and gender."""
    if (work / name).exists():
        return
    paths = sorted((work / tree).rglob("*.jpg"))
    order = sorted(range(len(paths)), key=lambda number: hash_integer(0, number))
    chosen = [paths[number] for number in order]
    labels = [int(path.parent.name.endswith(("_F", "female"))) for path in chosen]
    listed = {"paths": [path.relative_to(work).as_posix() for path in chosen], "labels": labels}
    write_text(work / name, json.dumps(listed))


def _link_classes(folder: Path, paths: Sequence[Path], labels: Sequence[int]) -> None:
    """Links the images into a folder a class, as Keras and PyTorch want them."""
    for number, (path, label) in enumerate(zip(paths, labels, strict=True)):
        target = folder / ("female" if label else "male") / f"{number:06d}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        _link(path, target)


def _link(path: Path, target: Path) -> None:
    try:
        os.link(path, target)
    except OSError:  # another file system, or too many links
        shutil.copyfile(path, target)


def _write_raw(target: Path, paths: Sequence[Path]) -> None:
    images = np.lib.format.open_memmap(target, "w+", np.uint8, (len(paths), RAW_SIDE, RAW_SIDE, 3))
    for number, path in enumerate(paths):
        images[number] = fit(decode_file(path.read_bytes()), (RAW_SIDE, RAW_SIDE))
    images.flush()


def _pack(tree: Path, target: Path, options: PackOptions) -> None:
    if not target.exists():
        pack([tree], target, options)
