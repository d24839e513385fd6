"""What keeping activations costs and saves: multiply-accumulates of a part, seconds of a schedule, the levels to keep.

An estimate: it chooses between ways that differ by large factors, and says about how long a training takes.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hdf5_helper.errors import FacetError
from hdf5_helper.wording import bytes_text
from models.training.activations.machine_speeds import Speeds

Levels = tuple[str, ...]

#: What can be kept, the fewest first, so that a tie prefers fewer.
_CHOICES: tuple[Levels, ...] = ((), ("top",), ("low",), ("low", "top"))

#: A backward pass computes two gradients, each as dear as the forward pass.
_BACKWARD = 2


@dataclass(frozen=True)
class Work:
    """A schedule, and what one image costs in it.

    Attributes:
        below, between, above: multiply-accumulates of an image up to `low`, from there to `top`, and above.
        low, top: numbers in an image's activation at each cut; `low` is 0 where there is no such cut.
        value_bytes: of a training image's number in a file; validation's have 4.
        rows, validation_rows: images.
        views: of a training image, each equally likely in each epoch.
        warm_up_epochs, fine_tuning_epochs: of the schedule.
        limit: bytes that files may take.
        speeds: of the machine.
        frozen: fine-tuning trains nothing below `top`, so that it serves there, too.
    """

    below: int
    between: int
    above: int
    low: int
    top: int
    value_bytes: int
    rows: int
    validation_rows: int
    views: int
    warm_up_epochs: int
    fine_tuning_epochs: int
    limit: int
    speeds: Speeds
    frozen: bool = False

    def __post_init__(self) -> None:
        """Refuses what is no work."""
        if self.views < 1 or self.top < 1 or min(self.low, self.rows, self.validation_rows, self.limit) < 0:
            raise FacetError(f"work: expected at least one view and one number at the top, nothing below 0, got {self}")


@dataclass(frozen=True)
class Plan:
    """Which levels are kept, and what that is expected to give.

    Attributes:
        levels: of `low` and `top`, those kept.
        bytes: that their files take when they are full.
        seconds_live, seconds_kept: of the whole schedule, with nothing kept and with these levels.
        over_limit: bytes of what would be faster, but is more than may be kept; 0 where nothing is.
        could_save: seconds that the best choice saves, whatever its size.
    """

    levels: Levels
    bytes: int
    seconds_live: float
    seconds_kept: float
    over_limit: int = 0
    could_save: float = 0.0

    def sentence(self, folder: Path, free: int) -> str:
        """Gives it in words; `free` are the bytes that are free in `folder`."""
        if self.levels:
            return (
                f"keeps activations: {bytes_text(self.bytes)} in {folder}, {bytes_text(free)} free;"
                f" about {_duration(self.seconds_kept)} instead of {_duration(self.seconds_live)}"
            )
        if self.over_limit:
            return (
                f"keeps no activations: {bytes_text(self.over_limit)} would be more than the limit, {bytes_text(free)}"
                f" free; about {_duration(self.seconds_live)}"
            )
        return f"keeps no activations: computing them live is as fast; about {_duration(self.seconds_live)}"


def choose(work: Work, *, asked: bool = False) -> Levels:
    """Gives the levels to keep, of `low` and `top`: the least seconds within the limit; a tie prefers fewer.

    Where it is asked for, at least one is kept if the limit allows it.
    """
    within = [levels for levels in _possible(work) if kept_bytes(work, levels) <= work.limit]
    wanted = [levels for levels in within if levels] if asked else within
    return min(wanted or within, key=lambda levels: seconds(work, levels))


def plan_of(work: Work, *, asked: bool = False) -> Plan:
    """Gives the plan of what `choose` chooses."""
    levels = choose(work, asked=asked)
    best = min(_possible(work), key=lambda choice: seconds(work, choice))
    over = kept_bytes(work, best) if seconds(work, best) < seconds(work, levels) else 0
    live, kept = seconds(work, ()), seconds(work, levels)
    return Plan(levels, kept_bytes(work, levels), live, kept, over, live - seconds(work, best))


def kept_bytes(work: Work, levels: Levels) -> int:
    """Gives the bytes of the levels' full files, those of validation too."""
    values = sum({"low": work.low, "top": work.top}[level] for level in levels)
    return values * (work.rows * work.views * work.value_bytes + work.validation_rows * 4)


def seconds(work: Work, levels: Levels) -> float:
    """Gives what the whole schedule is expected to take with these levels kept.

    An image's view is computed once where it is kept, in every epoch where not; the backward pass of what trains is the
    same whatever is kept.
    """
    warm, fine, speeds = work.warm_up_epochs, work.fine_tuning_epochs, work.speeds
    training = _computing(work, levels, (warm, fine), work.views)
    backward = _BACKWARD * ((warm + fine) * work.above + (0 if work.frozen else fine * work.between))
    training_bytes = _traffic(work, levels, (warm, fine), work.views)
    # validated before the first epoch, too
    measured = (warm + 1, fine) if warm else (0, fine + 1)
    validation, validation_bytes = _computing(work, levels, measured, 1), _traffic(work, levels, measured, 1)
    written, read = (
        4 * work.validation_rows * validated + work.value_bytes * work.rows * trained
        for trained, validated in zip(training_bytes, validation_bytes, strict=True)
    )
    computed = (
        work.rows * (training + backward) / speeds.training + work.validation_rows * validation / speeds.validation
    )
    return computed + written / speeds.write + read / speeds.read


def distinct_views(epochs: int, views: int) -> float:
    """Gives how many of an image's equally likely views are expected to have been drawn after some epochs."""
    return float(views * (1 - (1 - 1 / views) ** epochs))


def multiply_accumulates(part: Any) -> int:
    """Gives the multiply-accumulates of one image in the dense layers and convolutions of a keras.Model.

    Each number of a kernel is used once for each place of the output; what has no kernel is left out.
    """
    return sum(map(_multiplications, _calls(part)))


def activation_values(part: Any) -> int:
    """Gives the numbers that a part gives for one image."""
    return math.prod(part.outputs[0].shape[1:])


def _possible(work: Work) -> list[Levels]:
    return [levels for levels in _CHOICES if work.low or "low" not in levels]


def _computing(work: Work, levels: Levels, epochs: tuple[int, int], views: int) -> float:
    """Gives the multiply-accumulates of all forward passes of one image."""
    (low, low_used), (top, top_used) = _stored(work, levels, epochs, views)
    passes = sum(epochs)
    # what is above the top is computed in each pass, what is below a kept level once for each view that it gets
    between = passes - top_used + top
    below = passes - low_used - top_used + low + (0 if "low" in levels else top)
    return passes * work.above + between * work.between + below * work.below


def _traffic(work: Work, levels: Levels, epochs: tuple[int, int], views: int) -> tuple[float, float]:
    """Gives the numbers of one image that are written, and those that are read."""
    (low, low_used), (top, top_used) = _stored(work, levels, epochs, views)
    # a row that the level above asks for when it is computed is at hand, not read
    low_fresh = low - (top if "low" in levels else 0.0)
    return low * work.low + top * work.top, (low_used - low_fresh) * work.low + (top_used - top) * work.top


def _stored(
    work: Work, levels: Levels, epochs: tuple[int, int], views: int
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Gives, of `low` and `top`, the views of an image that are ever kept, and the passes that begin from them."""
    warm, fine = epochs
    top_passes = (warm + fine if work.frozen else warm) if "top" in levels else 0
    low_passes = warm + fine - top_passes if "low" in levels else 0
    kept = distinct_views(warm + fine, views) if "low" in levels else 0.0
    return (kept, low_passes), (distinct_views(top_passes, views), top_passes)


def _calls(part: Any) -> Iterator[Any]:
    """Gives the calls of layers in a model, those inside nested models in their place."""
    graph = getattr(part, "_functional", None) or part
    for nodes in graph._nodes_by_depth.values():  # noqa: SLF001 - Keras has no public walk through its graph
        for node in nodes:
            if hasattr(node.operation, "_nodes_by_depth") or hasattr(node.operation, "_functional"):
                yield from _calls(node.operation)
            else:
                yield node


def _multiplications(node: Any) -> int:
    """Gives those of one call of a layer."""
    kernels = [getattr(node.operation, name, None) for name in ("kernel", "depthwise_kernel", "pointwise_kernel")]
    # a depthwise convolution has one kernel under two names
    numbers: dict[int, int] = {id(kernel): math.prod(kernel.shape) for kernel in kernels if kernel is not None}
    places: int = math.prod(node.output_tensors[0].shape[1:-1])
    return places * sum(numbers.values())


def _duration(seconds_: float) -> str:
    """Gives `40 s`, `12 min`, `2.5 h`, `3 h`."""
    if seconds_ < 99.5:
        return f"{max(1, round(seconds_))} s"
    return f"{round(seconds_ / 60)} min" if seconds_ < 99.5 * 60 else f"{seconds_ / 3600:.2g} h"
