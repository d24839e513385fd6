"""Pictures on disk -> what a model says about them: finding, reading on threads, rows for people and for CSV."""

import csv
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdf5_helper.atomic import written_whole
from hdf5_helper.cores import available_cores
from hdf5_helper.errors import FacetError
from hdf5_helper.images.decode import IMAGE_SUFFIXES, decode_file_to
from hdf5_helper.progress import Progress, Silent
from hdf5_helper.reading.threads import ahead
from models.description import ModelDescription
from models.interface.answers import Answer, answer
from models.interface.predictor import Predictor

UInt8Array = NDArray[np.uint8]


@dataclass(frozen=True)
class Prediction:
    """One picture's answers by label, or why it could not be read."""

    path: Path
    answers: dict[str, Answer]
    reason: str = ""

    def cells(self) -> dict[str, str]:
        """Gives the CSV row: path, then the columns of each label, see `Answer.columns`."""
        cells = {"path": str(self.path)}
        for label, told in self.answers.items():
            for columns in told.columns(label).values():
                cells |= columns
        return cells

    def to_dict(self) -> dict[str, Any]:
        """Gives the JSON form."""
        return {"path": str(self.path)} | {label: answer.to_dict() for label, answer in self.answers.items()}


def find_pictures(places: Sequence[str | Path]) -> list[Path]:
    """Lists pictures: files as they are given, folders walked through in sorted order.

    Args:
        places: files and folders; in a folder only files with an image suffix count.

    Raises:
        FacetError: a place that does not exist, or no picture at all.
    """
    found: list[Path] = []
    for place in map(Path, places):
        if not place.exists():
            raise FacetError(f"{place}: no such file or folder, expected pictures")
        found += [place] if not place.is_dir() else _walk(place)
    if not found:
        raise FacetError(
            f"{', '.join(map(str, places))}: no pictures in it, expected files ending in {', '.join(IMAGE_SUFFIXES)}"
        )
    return found


def _walk(folder: Path) -> Iterator[Path]:
    seen: set[str] = set()
    for root, folders, names in os.walk(folder, followlinks=True):
        if (real := os.path.realpath(root)) in seen:  # a link that leads back up
            folders.clear()
            continue
        seen.add(real)
        folders.sort()
        yield from (Path(root, name) for name in sorted(names) if Path(name).suffix.lower() in IMAGE_SUFFIXES)


def predict_pictures(
    predictor: Predictor, paths: Sequence[Path], *, batch_size: int = 64, progress: Progress | None = None
) -> Iterator[Prediction]:
    """Gives one prediction a picture, in order; the next batches are read while the model works.

    Args:
        predictor: the model.
        paths: of pictures.
        batch_size: pictures that go into the model at once.
        progress: told of each batch.

    Raises:
        FacetError: the model has no image size of its own.
    """
    description, progress = predictor.description, progress or Silent()
    if not all(description.image_size):
        raise FacetError(f"{predictor.source}: the model takes images of any size, expected one of a fixed size")
    if batch_size < 1:
        raise FacetError(f"--batch-size {batch_size}: expected at least 1")
    batches = [paths[first : first + batch_size] for first in range(0, len(paths), batch_size)]
    progress.start("predicting", len(paths))
    with ThreadPoolExecutor(available_cores(), "facet-pictures") as threads:
        read = _reader(description)
        for number, pictures in enumerate(ahead(lambda i: list(threads.map(read, batches[i])), range(len(batches)))):
            yield from _predict_batch(predictor, batches[number], pictures)
            progress.advance(len(pictures))
    progress.stop()


def _reader(description: ModelDescription) -> Callable[[Path], UInt8Array | str]:
    """Gives a function from a path to pixels at the model's size, or to the reason why there are none."""

    def read(path: Path) -> UInt8Array | str:
        try:
            data = path.read_bytes()
            return decode_file_to(data, description.image_size, description.fit) if data else "an empty file"
        except FacetError as error:
            return str(error)
        except OSError as error:
            return (error.strerror or str(error)).lower()

    return read


def _predict_batch(
    predictor: Predictor, paths: Sequence[Path], pictures: Sequence[UInt8Array | str]
) -> Iterator[Prediction]:
    images = [picture for picture in pictures if not isinstance(picture, str)]
    values = predictor.predict(np.stack(images)) if images else {}
    row = 0
    for path, picture in zip(paths, pictures, strict=True):
        if isinstance(picture, str):
            yield Prediction(path, {}, picture)
            continue
        outputs = predictor.description.outputs
        yield Prediction(path, {output.label: answer(output, values[output.label][row]) for output in outputs})
        row += 1


@contextmanager
def prediction_csv(path: Path) -> Iterator[Callable[[Prediction], None]]:
    """Gives a function that adds one row to a CSV file, which is whole or not there; unreadable pictures add none."""
    with written_whole(path) as part, open(part, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer: csv.DictWriter[str] | None = None

        def add(prediction: Prediction) -> None:
            nonlocal writer
            if not prediction.answers:
                return
            cells = prediction.cells()
            if writer is None:
                writer = csv.DictWriter(file, list(cells), lineterminator="\n")
                writer.writeheader()
            writer.writerow(cells)

        yield add
