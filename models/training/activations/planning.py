"""Which levels a training keeps: decided by what it would take with and without them, and said in one sentence."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hdf5_helper.disk import free_bytes
from hdf5_helper.progress import Say
from models.backbones.grouped import grouped_convolutions
from models.heads.head import Head
from models.training.activations.cost import Levels, Work, activation_values, multiply_accumulates, plan_of
from models.training.activations.machine_speeds import Speeds
from models.training.activations.model_parts import Cut, between, lower_part, upper_part
from models.training.activations.number_formats import NUMBER_FORMATS
from models.training.activations.place import activations_folder
from models.training.surroundings import computes_with_onednn

#: Seconds that a whole training has to save before anything is kept without being asked for.
_WORTH = 15.0


@dataclass(frozen=True)
class Planning:
    """What a schedule asks of activations.

    Attributes:
        rows, validation_rows: images that it trains and validates on.
        views: of a training image.
        epochs: of warm-up and fine-tuning.
        trainable_layers, batch_normalization: of fine-tuning, see `models.training.phases.set_trainable`.
        number_format: that training images' activations are kept in.
        asked: keep something, if the limit allows it, also where it saves little.
        limit: bytes that files may take, None for half of the free space.
        speeds: of the machine.
        say: takes the sentence.
    """

    rows: int
    validation_rows: int
    views: int
    epochs: tuple[int, int]
    trainable_layers: str
    batch_normalization: str
    number_format: str
    asked: bool
    limit: int | None
    speeds: Speeds
    say: Say

    def levels(self, model: Any, heads: tuple[Head, ...], low: Cut | None, top: Cut) -> Levels:
        """Gives which of `low` and `top` to keep, and says so where it matters."""
        if not self.asked and (grouped_convolutions(model) or not computes_with_onednn()):
            return ()  # the last digits of a row depend on its place in a block, and so on what was kept before
        folder = activations_folder()
        free = _free(folder)
        limit = free // 2 if self.limit is None else min(self.limit, free)
        plan = plan_of(self._work(model, heads, low, top, limit), asked=self.asked)
        if not self.asked and plan.could_save < _WORTH:
            return ()
        self.say(plan.sentence(folder, free))
        return plan.levels

    def _work(self, model: Any, heads: tuple[Head, ...], low: Cut | None, top: Cut, limit: int) -> Work:
        apart = low if low != top else None
        to_top = lower_part(model, top)
        lowest = to_top if apart is None else lower_part(model, apart)
        return Work(
            below=multiply_accumulates(lowest),
            between=0 if apart is None else multiply_accumulates(between(model, apart, top)),
            above=multiply_accumulates(upper_part(model, heads, top)),
            low=0 if apart is None else activation_values(lowest),
            top=activation_values(to_top),
            value_bytes=NUMBER_FORMATS[self.number_format].itemsize,
            rows=self.rows,
            validation_rows=self.validation_rows,
            views=self.views,
            warm_up_epochs=self.epochs[0],
            fine_tuning_epochs=self.epochs[1],
            limit=limit,
            speeds=self.speeds,
            frozen=low == top,
        )


def _free(folder: Path) -> int:
    """Gives the free bytes where a folder is, or will be made."""
    return free_bytes(next(place for place in (folder, *folder.absolute().parents) if place.exists()) / "file")
