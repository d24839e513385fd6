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
from models.description import THRESHOLD, ModelDescription, Output
from models.interface.predictor import Predictor

UInt8Array = NDArray[np.uint8]


@dataclass(frozen=True)
class Answer:
    """What a model says of one picture for one label.

    Attributes:
        predicted: class name, or a number in the label's unit.
        probabilities: by class name, in class order; empty for a number.
    """

    predicted: str | float
    probabilities: dict[str, float]

    @property
    def text(self) -> str:
        """Short form for people: `female 0.97`, `31.4`."""
        if isinstance(self.predicted, str):
            return f"{self.predicted} {self.probabilities[self.predicted]:.2f}"
        return f"{self.predicted:.1f}"


@dataclass(frozen=True)
class Prediction:
    """One picture's answers by label, or why it could not be read."""

    path: Path
    answers: dict[str, Answer]
    reason: str = ""

    def cells(self) -> dict[str, str]:
        """Gives the CSV row: path, then for each label `LABEL_predicted` and `LABEL_CLASS_probability`."""
        cells = {"path": str(self.path)}
        for label, answer in self.answers.items():
            cells[f"{label}_predicted"] = _number(answer.predicted)
            cells |= {f"{label}_{name}_probability": _number(value) for name, value in answer.probabilities.items()}
        return cells

    def to_dict(self) -> dict[str, Any]:
        """Gives the JSON form."""
        answers: dict[str, Any] = {}
        for label, answer in self.answers.items():
            more = {"probabilities": answer.probabilities} if answer.probabilities else {}
            answers[label] = {"predicted": answer.predicted} | more
        return {"path": str(self.path)} | answers


def _number(value: str | float) -> str:
    """Gives text from which the same float32 can be read again."""
    return value if isinstance(value, str) else f"{value:.9g}"


def answer(output: Output, values: NDArray[np.float32]) -> Answer:
    """Reads one output for one picture.

    Args:
        output: what the values mean.
        values: float32 (k,): one sigmoid P(class 1), k softmax probabilities, or one number.

    Raises:
        FacetError: several values that are no softmax.
    """
    if output.activation == "sigmoid" and len(values) == 1:
        second = float(values[0])
        first_name, second_name = output.class_names or ("0", "1")
        chosen = second_name if second >= THRESHOLD else first_name
        return Answer(chosen, {first_name: 1.0 - second, second_name: second})
    if len(values) == 1:
        return Answer(float(values[0]), {})
    if output.activation != "softmax":
        raise FacetError(
            f"output {output.label!r}: {len(values)} {output.activation} values, expected one or a softmax"
        )
    names = output.class_names or tuple(str(number) for number in range(len(values)))
    by_name = {name: float(value) for name, value in zip(names, values, strict=True)}
    return Answer(names[int(np.argmax(values))], by_name)


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
