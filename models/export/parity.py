"""Does a frozen graph compute what the Keras model computes? Measured before a file is kept, in every runtime here."""

import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdf5_helper.errors import FacetError
from models.description import ModelDescription
from models.export.frozen_graph import FrozenModel, by_label, computing_in_float32
from models.export.runtimes import RUNTIMES, Float32Array, RunGraph, RuntimeRefusal

#: Largest difference of a file that is kept; float32 sums in another order differ by about 1e-6.
LARGEST_DIFFERENCE = 1e-4

#: Images that every comparison and timing runs through, and how many go in at once: 64 images of 224×224 in one batch
#: would hold 1.6 GB of VGG19's first features.
IMAGES, BATCH = 64, 16

#: How many of them go in alone too.
_SINGLES = 3

Values = dict[str, Float32Array]


@dataclass(frozen=True)
class RuntimeParity:
    """How one runtime compares with the Keras model.

    Attributes:
        runtime: name and version.
        difference: largest |Δ| / max(1, |reference|) over all outputs, for 64 images in batches of 16 and for the
            first 3 alone; infinite where a value is not finite or a shape is another, None where the runtime did not
            run.
        reason: why it did not.
        seconds_one: median time of one image.
        seconds_many: time of 64 images in batches of 16.
    """

    runtime: str
    difference: float | None = None
    reason: str = ""
    seconds_one: float | None = None
    seconds_many: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Gives the JSON form; without times, which are no property of the file."""
        return {"runtime": self.runtime, "difference": self.difference, "reason": self.reason}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "RuntimeParity":
        """Reads the JSON form."""
        return cls(values["runtime"], values["difference"], values["reason"])


@dataclass(frozen=True)
class Comparison:
    """What all runtimes gave.

    Attributes:
        runtimes: one entry a runtime, in the order of `RUNTIMES`.
        tells_apart: whether the model's own values differ between the images; where they do not, as in an untrained
            model, agreement says little.
    """

    runtimes: tuple[RuntimeParity, ...]
    tells_apart: bool


def difference(found: Values, reference: Values) -> float:
    """Gives the largest |found - reference| / max(1, |reference|) over all outputs.

    Infinite where an output is missing, has another shape, or is not finite.
    """
    if set(found) != set(reference):
        return math.inf
    return max(_array_difference(found[name], reference[name]) for name in reference)


def _array_difference(found: NDArray[Any], reference: NDArray[Any]) -> float:
    if found.shape != reference.shape:
        return math.inf
    wide, expected = found.astype(np.float64), reference.astype(np.float64)
    if not (np.isfinite(wide).all() and np.isfinite(expected).all()):
        return math.inf
    return float(np.max(np.abs(wide - expected) / np.maximum(1.0, np.abs(expected)), initial=0.0))


def keras_reference(model: Any, description: ModelDescription, images: NDArray[Any]) -> Values:
    """Gives what the Keras model itself computes, in float32 on the CPU.

    Args:
        model: keras.Model on RGB 0–255.
        description: of it.
        images: uint8 or float32 (n, H, W, 3).

    Returns:
        float32 (n, width) by label.
    """
    import tensorflow as tf

    parts: list[Values] = []
    with tf.device("/CPU:0"), computing_in_float32(model):
        for batch in _batches(np.asarray(images, np.float32)):
            outputs = by_label(model(tf.constant(batch), training=False), description)
            parts.append({label: np.asarray(value, np.float32) for label, value in outputs.items()})
    return {label: np.concatenate([part[label] for part in parts]) for label in parts[0]}


def measure_parity(
    frozen: FrozenModel, reference: Callable[[NDArray[Any]], Values], images: NDArray[np.uint8]
) -> Comparison:
    """Runs a graph in every runtime on 64 images in batches, and on the first 3 alone, against its model.

    Args:
        frozen: the graph.
        reference: gives the Keras model's values by label for images (n, H, W, 3), RGB 0–255.
        images: uint8 (n, H, W, 3), RGB, n ≥ 1; fewer than 64 are repeated, of more the first 64 are taken.

    Raises:
        FacetError: the model itself gives a value that is not finite.
    """
    chosen = images[np.arange(IMAGES) % len(images)]
    by_name = {output.name: output.output.label for output in frozen.signature.outputs}
    values = reference(chosen)
    _refuse_not_finite(values)
    expected = {name: values[label] for name, label in by_name.items()}
    inputs = frozen.signature.input.prepare(chosen)
    results = tuple(_try_runtime(name, frozen, inputs, expected) for name in RUNTIMES)
    return Comparison(results, all(_spread(array) > LARGEST_DIFFERENCE for array in expected.values()))


def refuse_differences(name: str, results: Sequence[RuntimeParity]) -> None:
    """Raises FacetError where a runtime computes something else, or TensorFlow cannot run the graph at all."""
    for result in results:
        if result.difference is not None and not result.difference <= LARGEST_DIFFERENCE:
            raise FacetError(
                f"{name}: not kept, {result.runtime} differs from the Keras model by {result.difference:.1e}, expected"
                f" at most {LARGEST_DIFFERENCE:.0e}"
            )
        if result.difference is None and result.runtime.startswith("TensorFlow"):
            raise FacetError(f"{name}: not kept, {result.runtime} cannot run it: {result.reason}")


def parity_table(results: Sequence[RuntimeParity]) -> list[str]:
    """Gives the lines of a table: runtime, difference, time for one image and for 64; or why it cannot run."""
    lines = [f"{'runtime':<20} {'difference':>10} {'1 image':>10} {f'{IMAGES} images':>10}"]
    for result in results:
        if result.difference is None:
            lines.append(f"{result.runtime:<20} cannot run it: {result.reason}")
        else:
            times = (_milliseconds(result.seconds_one), _milliseconds(result.seconds_many))
            lines.append(f"{result.runtime:<20} {result.difference:>10.1e} {times[0]:>10} {times[1]:>10}")
    return lines


def _refuse_not_finite(values: Values) -> None:
    for label, array in values.items():
        wrong = int((~np.isfinite(array)).any(axis=1).sum())
        if wrong:
            raise FacetError(
                f"the model's own output {label!r} is not finite for {wrong} of {len(array)} images, expected numbers:"
                " its training has failed"
            )


def _spread(values: Float32Array) -> float:
    """Gives how far apart the images are, on the scale of `difference`: the largest over the values of an image."""
    low, high = values.min(axis=0).astype(np.float64), values.max(axis=0).astype(np.float64)
    return float(np.max((high - low) / np.maximum(1.0, np.abs(low))))


def _milliseconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds * 1000:.1f} ms"


def _try_runtime(name: str, frozen: FrozenModel, inputs: Float32Array, expected: Values) -> RuntimeParity:
    version, open_graph = RUNTIMES[name]
    runtime = f"{name} {version()}"
    try:
        run = open_graph(frozen)
        singles = [_timed(run, inputs[i : i + 1]) for i in range(_SINGLES)]
        batches = [_timed(run, batch) for batch in _batches(inputs)]
        again = [_timed(run, inputs[:1]) for _ in range(_SINGLES)]
    except RuntimeRefusal as refusal:
        return RuntimeParity(runtime, reason=str(refusal))
    compared = max(
        difference(_joined([values for values, _ in batches]), expected),
        difference(_joined([values for values, _ in singles]), {k: v[:_SINGLES] for k, v in expected.items()}),
    )
    one = statistics.median(seconds for _, seconds in again)
    return RuntimeParity(runtime, compared, "", one, sum(seconds for _, seconds in batches))


def _timed(run: RunGraph, inputs: Float32Array) -> tuple[Values, float]:
    began = time.perf_counter()
    values = run(inputs)
    return values, time.perf_counter() - began


def _batches(images: Float32Array) -> Iterator[Float32Array]:
    return (images[first : first + BATCH] for first in range(0, len(images), BATCH))


def _joined(parts: Sequence[Values]) -> Values:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
