"""An exported file by itself: run in every runtime on labelled examples, compared and measured."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdf5_helper.errors import FacetError
from hdf5_helper.progress import Progress
from hdf5_helper.reading.reader import HDF5Reader
from models.export.loading import ExportedFile
from models.export.parity import LARGEST_DIFFERENCE, Values, difference
from models.export.runtimes import OpenGraph, Runtime, RuntimeRefusal
from models.interface.evaluation import evaluate
from models.model_data import open_for

Metrics = dict[str, Any]

#: Two runtimes that read one file hold the same weights, of whatever kind: they differ by rounding alone.
_LIMIT = LARGEST_DIFFERENCE["none"]


@dataclass(frozen=True)
class RuntimeResult:
    """What one runtime gave for labelled examples.

    Attributes:
        runtime: name and version.
        reason: why it did not run; empty where it did.
        metrics: by label, as `facet evaluate` gives them.
        difference: largest |Δ| / max(1, |value|) from the first runtime that ran; 0 for that one.
        seconds_one: time of one image.
        images_per_second: in batches of 64.
    """

    runtime: str
    reason: str = ""
    metrics: Metrics | None = None
    difference: float | None = None
    seconds_one: float | None = None
    images_per_second: float | None = None


class RuntimePredictor:
    """Predicts with a file that a runtime has loaded, see `models.interface.predictor.Predictor`.

    Attributes:
        description: labels, image size and fit.
        source: name of the runtime.
        seconds: time that the runtime has taken so far.
        images: how many it has seen.
    """

    def __init__(self, graph: OpenGraph, exported: ExportedFile, source: str) -> None:
        self.description, self.source = exported.description, source
        self._graph, self._signature = graph, exported.signature
        self.seconds, self.images = 0.0, 0

    def predict(self, images: NDArray[Any]) -> dict[str, NDArray[np.float32]]:
        """Gives float32 (B, k) by label for RGB 0–255 (B, H, W, 3)."""
        answer = self._graph.run(self._signature.input.prepare(images))
        if not all(np.isfinite(values).all() for values in answer.values.values()):
            raise RuntimeRefusal("gives values that are not finite")
        self.seconds, self.images = self.seconds + answer.seconds, self.images + len(images)
        return {output.output.label: answer.values[output.name] for output in self._signature.outputs}


def verify_export(
    exported: ExportedFile, data: Path, split: str, runtimes: Sequence[Runtime], progress: Progress
) -> list[RuntimeResult]:
    """Runs an exported file in runtimes on every labelled example of a split.

    Args:
        exported: what `models.export.loading.read_exported` gives.
        data: an HDF5 file of `facet pack`.
        split: `train`, `validation`, `test` or `all`.
        runtimes: those to run it in; one that is not installed is told.
        progress: watches the batches.

    Raises:
        FacetError: nothing to measure.
    """
    results: list[RuntimeResult] = []
    first: Values = {}
    for runtime in runtimes:
        if runtime.version() is None:
            results.append(RuntimeResult(runtime.name, f"not checked: not installed; {runtime.how_to_get}"))
            continue
        try:
            with (
                runtime.open(exported.path, exported.signature) as graph,
                open_for(exported.description, data) as reader,
            ):
                predictor = RuntimePredictor(graph, exported, runtime.title)
                result, values = _measure(predictor, reader, split, first, progress)
        except RuntimeRefusal as refusal:
            results.append(RuntimeResult(runtime.title, f"cannot run it: {refusal}"))
        else:
            results.append(result)
            first = first or values
    return results


def _measure(
    predictor: RuntimePredictor, reader: HDF5Reader, split: str, first: Values, progress: Progress
) -> tuple[RuntimeResult, Values]:
    """Gives a runtime's result and its values by label; `first` holds those of the first runtime, or nothing yet."""
    measured = evaluate(predictor, reader, split, {}, progress)
    rate = predictor.images / predictor.seconds
    values = {label: np.asarray(array, np.float32) for label, array in measured.predicted.items()}
    one = _seconds_of_one(predictor, reader.read(measured.rows[:1]))
    found = difference(values, first or values)
    return RuntimeResult(predictor.source, "", measured.values["metrics"], found, one, rate), values


def _seconds_of_one(predictor: RuntimePredictor, image: NDArray[Any]) -> float:
    """Gives the median time of one image."""
    times = []
    for _ in range(5):
        before = predictor.seconds
        predictor.predict(image)
        times.append(predictor.seconds - before)
    return float(np.median(times))


def refuse_disagreement(path: Path, results: Sequence[RuntimeResult]) -> None:
    """Refuses a file that no runtime ran, or in which two runtimes differ by more than 1e-4.

    Raises:
        FacetError: with the first such runtime.
    """
    ran = [result for result in results if not result.reason]
    if not ran:
        raise FacetError(f"{path}: no runtime ran it, expected at least one: {results[0].runtime} {results[0].reason}")
    for result in ran[1:]:
        if result.difference is None or not result.difference <= _LIMIT:
            raise FacetError(
                f"{path}: {result.runtime} differs from {ran[0].runtime} by {result.difference:.1e}, expected at most"
                f" {_LIMIT:.0e}"
            )
