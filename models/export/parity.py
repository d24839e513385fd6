"""Does an exported file compute what the Keras model computes? Measured in every runtime here before it is kept."""

import math
import statistics
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdf5_helper.errors import FacetError, did_you_mean
from models.description import ModelDescription
from models.export.frozen_graph import by_label, computing_in_float32
from models.export.runtimes import RUNTIMES, Answer, Runtime, RuntimeRefusal
from models.export.signature import Signature

#: Largest difference of a file that is kept, by the kind of its weights; float32 sums in another order differ by about
#: 1e-6, and weights of 11 bits (float16) moved the age of a real face by up to 0.2 years. What eight bits may cost is
#: for `facet verify-export` and its user to say.
LARGEST_DIFFERENCE = {"none": 1e-4, "float16": 0.5, "int8": math.inf}

#: How far apart a model's values must be on the images for agreement to mean anything.
_SPREAD = 1e-4

#: Images that every comparison and timing runs through, and how many go in at once: 64 images of 224×224 in one batch
#: would hold 1.6 GB of VGG19's first features.
IMAGES, BATCH = 64, 16

#: How many of them go in alone too.
_SINGLES = 3

Values = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class RuntimeParity:
    """How one runtime compares with the Keras model.

    Attributes:
        key: the runtime's name on the command line.
        runtime: its name and version.
        difference: largest |Δ| / max(1, |reference|) over all outputs, for 64 images in batches of 16 and for the
            first 3 alone; infinite where a value is not finite or a shape is another, None where the runtime did not
            run.
        reason: why it did not.
        checked: False where it did not run because it is not installed.
        seconds_one: median time of one image.
        seconds_many: time of 64 images in batches of 16.
    """

    key: str
    runtime: str
    difference: float | None = None
    reason: str = ""
    checked: bool = True
    seconds_one: float | None = None
    seconds_many: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Gives the JSON form; without times, which are no property of the file."""
        told = {"difference": self.difference, "reason": self.reason, "checked": self.checked}
        return {"key": self.key, "runtime": self.runtime, **told}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "RuntimeParity":
        """Reads the JSON form."""
        return cls(values["key"], values["runtime"], values["difference"], values["reason"], values["checked"])


@dataclass(frozen=True)
class Comparison:
    """What all runtimes gave.

    Attributes:
        runtimes: one entry for each that was chosen, in the order of `RUNTIMES`.
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


def chosen_runtimes(file_format: str, keys: Collection[str] = ()) -> tuple[Runtime, ...]:
    """Gives the runtimes to compare in, all that read a format by default, in the order of `RUNTIMES`.

    Args:
        file_format: such as `pb`.
        keys: of runtimes, as `--verify-with` takes them.

    Raises:
        FacetError: an unknown key, a runtime that does not read the format, or one that is not installed.
    """
    readers = {runtime.key: runtime for runtime in RUNTIMES if file_format in runtime.formats}
    for key in keys:
        if key not in readers:
            raise FacetError(f"--verify-with {key!r}: {did_you_mean(key, readers)} for the format {file_format}")
        if readers[key].version() is None:
            raise FacetError(f"--verify-with {key}: {readers[key].name} is not installed; {readers[key].how_to_get}")
    return tuple(runtime for key, runtime in readers.items() if not keys or key in keys)


def measure_parity(
    path: Path,
    signature: Signature,
    reference: Callable[[NDArray[Any]], Values],
    images: NDArray[np.uint8],
    runtimes: Sequence[Runtime],
) -> Comparison:
    """Runs a written file in runtimes on 64 images in batches, and on the first 3 alone, against its model.

    Args:
        path: of the file, or a SavedModel's folder.
        signature: its input and outputs.
        reference: gives the Keras model's values by label for images (n, H, W, 3), RGB 0–255.
        images: uint8 (n, H, W, 3), RGB, n ≥ 1; fewer than 64 are repeated, of more the first 64 are taken.
        runtimes: those to run it in.

    Raises:
        FacetError: the model itself gives a value that is not finite.
    """
    chosen = images[np.arange(IMAGES) % len(images)]
    values = reference(chosen)
    _refuse_not_finite(values)
    expected = {output.name: values[output.output.label] for output in signature.outputs}
    inputs = signature.input.prepare(chosen)
    results = tuple(_try_runtime(runtime, path, signature, inputs, expected) for runtime in runtimes)
    return Comparison(results, all(_spread(array) > _SPREAD for array in expected.values()))


def refuse_differences(
    name: str, results: Sequence[RuntimeParity], needed: Collection[str], quantization: str = "none"
) -> None:
    """Refuses a file that computes something else than its model, or that a runtime it is made for cannot run.

    Args:
        name: of the file.
        results: by runtime.
        needed: keys of the runtimes that must be able to run it, where they are installed.
        quantization: kind of its weights, which decides about the largest difference.

    Raises:
        FacetError: with the first such runtime, or where none ran it.
    """
    limit = LARGEST_DIFFERENCE[quantization]
    for result in results:
        if result.difference is not None and not (math.isfinite(result.difference) and result.difference <= limit):
            most = f"at most {limit:.0e}" if math.isfinite(limit) else "numbers"
            raise FacetError(
                f"{name}: not kept, {result.runtime} differs from the Keras model by {result.difference:.1e}, expected"
                f" {most}"
            )
        if result.difference is None and result.checked and result.key in needed:
            raise FacetError(f"{name}: not kept, {result.runtime} cannot run it: {result.reason}")
    if all(result.difference is None for result in results):
        told = "; ".join(f"{result.runtime}: {result.reason}" for result in results)
        raise FacetError(f"{name}: not kept, no runtime here runs it: {told}")


def _refuse_not_finite(values: Values) -> None:
    for label, array in values.items():
        wrong = int((~np.isfinite(array)).any(axis=1).sum())
        if wrong:
            raise FacetError(
                f"the model's own output {label!r} is not finite for {wrong} of {len(array)} images, expected numbers:"
                " its training has failed"
            )


def _spread(values: NDArray[np.float32]) -> float:
    """Gives how far apart the images are, on the scale of `difference`: the largest over the values of an image."""
    low, high = values.min(axis=0).astype(np.float64), values.max(axis=0).astype(np.float64)
    return float(np.max((high - low) / np.maximum(1.0, np.abs(low))))


def _try_runtime(
    runtime: Runtime, path: Path, signature: Signature, inputs: NDArray[Any], expected: Values
) -> RuntimeParity:
    if runtime.version() is None:
        reason = f"not installed; {runtime.how_to_get}"
        return RuntimeParity(runtime.key, runtime.name, reason=reason, checked=False)
    try:
        with runtime.open(path, signature) as graph:
            singles = [graph.run(inputs[i : i + 1]) for i in range(_SINGLES)]
            batches = [graph.run(batch) for batch in _batches(inputs)]
            again = [graph.run(inputs[:1]) for _ in range(_SINGLES)]
    except RuntimeRefusal as refusal:
        return RuntimeParity(runtime.key, runtime.title, reason=str(refusal))
    compared = max(
        difference(_joined(batches), expected),
        difference(_joined(singles), {k: v[:_SINGLES] for k, v in expected.items()}),
    )
    one = statistics.median(answer.seconds for answer in again)
    many = sum(answer.seconds for answer in batches)
    return RuntimeParity(runtime.key, runtime.title, compared, seconds_one=one, seconds_many=many)


def _batches(images: NDArray[Any]) -> Iterator[NDArray[Any]]:
    return (images[first : first + BATCH] for first in range(0, len(images), BATCH))


def _joined(parts: Sequence[Answer]) -> Values:
    return {name: np.concatenate([part.values[name] for part in parts]) for name in parts[0].values}
