"""What Facet's peers train: a schedule of two phases on folders of classes, and how they tell of it.

Each prints one JSON line an epoch: `{"phase", "epoch", "seconds", "images", "accuracy", "paused", "paused_cpu"}`, where
`seconds` are those of the training steps alone and `accuracy` is that of the test images, None without any. Measuring
it belongs to no training: its time is told in `paused` (in all so far), and whoever reads the lines takes it away.
The last line is `{"accuracy": …}`, of the epoch that validation chose.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

CLASSES = ("male", "female")  # as Facet numbers them: 0 and 1
PHASES = ("warm_up", "fine_tuning")


@dataclass(frozen=True)
class ScheduleJob:
    """One peer's training.

    Attributes:
        folder: has `train`, and where there are such images `validation` and `test`, each with a folder a class.
        data: the same images as a packed file.
        backbone: `vgg19` or `mobilenet`; alpha: MobileNet's width.
        weights: a Keras weights file of the backbone, or `none`.
        colours: 3×3 kernel and 3 biases from RGB 0–255 to what the backbone wants.
        side: of the images, in pixels.
        epochs, rates: of warm-up and fine-tuning; Adam's learning rates.
        trained_layers: of the backbone in fine-tuning, counted from the top as Keras lists them.
        batch: images a step.
        seed: of weights, order and augmentation.
        augmentation: mirror images by the framework's own layer or transform.
        precision: `float32` or `mixed_bfloat16`.
        reader: `files`, or `facet` for a Keras peer that Facet's HDF5Generator feeds.
    """

    folder: Path
    data: Path
    backbone: str
    alpha: float
    weights: str
    colours: tuple[list[list[float]], list[float]]
    side: int
    epochs: tuple[int, int]
    rates: tuple[float, float] = (1e-3, 1e-4)
    trained_layers: int = 4
    batch: int = 64
    seed: int = 0
    augmentation: bool = True
    precision: str = "float32"
    reader: str = "files"

    def has(self, split: str) -> bool:
        """Tells whether there are images of a split."""
        return (self.folder / split).is_dir()

    def to_text(self) -> str:
        """Gives it as one argument of a command."""
        return json.dumps(asdict(self), default=str)

    @classmethod
    def of_command_line(cls) -> "ScheduleJob":
        """Reads it from the program's only argument."""
        parser = argparse.ArgumentParser()
        parser.add_argument("job")
        given = json.loads(parser.parse_args().job)
        return cls(**(given | {name: Path(given[name]) for name in ("folder", "data")}))


class Teller:
    """Prints what a training shows, and keeps count of the time that measuring takes."""

    def __init__(self) -> None:
        self._paused = self._paused_cpu = 0.0
        self._best: tuple[float, float | None] = (-1.0, None)

    @contextmanager
    def pause(self) -> Iterator[None]:
        """Counts the time of what is done in it as no part of the training."""
        started, cpu = time.perf_counter(), time.process_time()
        yield
        self._paused += time.perf_counter() - started
        self._paused_cpu += time.process_time() - cpu

    def epoch(self, phase: int, epoch: int, seconds: float, images: int, test: Callable[[], float] | None) -> None:
        """Tells of an epoch, and measures the test images where there are any."""
        accuracy = None
        if test is not None:
            with self.pause():
                accuracy = test()
        told = {"phase": PHASES[phase], "epoch": epoch, "seconds": seconds, "images": images, "accuracy": accuracy}
        self._say(told | {"paused": self._paused, "paused_cpu": self._paused_cpu})
        self._last = accuracy

    def validated(self, validation: float) -> bool:
        """Takes the validation accuracy of the epoch told last; gives whether it is the best so far."""
        best = validation > self._best[0]
        if best:
            self._best = (validation, self._last)
        return best

    def end(self) -> None:
        """Tells the test accuracy of the best epoch, the last one's without validation."""
        chosen = self._best[1] if self._best[0] >= 0 else self._last
        self._say({"accuracy": chosen, "paused": self._paused, "paused_cpu": self._paused_cpu})

    def _say(self, values: dict[str, Any]) -> None:
        print(json.dumps(values), flush=True)  # noqa: T201  # the caller reads stdout
