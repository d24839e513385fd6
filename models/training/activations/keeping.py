"""The batches of a training's phases: of kept activations where that is faster than computing them in each epoch."""

from dataclasses import dataclass, field
from typing import Any, cast

from models.heads.head import Head
from models.training.activations.cached_feeds import CachedEvaluationFeed, CachedTrainingFeed
from models.training.activations.computing import Computer
from models.training.activations.files import OpenFiles, Pictures, Storage
from models.training.activations.level import Level
from models.training.activations.model_parts import Cut, between, low_cut, lower_part, top_cut, upper_part
from models.training.activations.planning import Planning
from models.training.activations.view_feed import ViewFeed
from models.training.activations.views import Views
from models.training.distribution.replicas import Replicas
from models.training.phase import Phase
from models.training.sources import Sources
from models.training.whole_model import is_whole


@dataclass(frozen=True)
class Side:
    """What a training, or its validation, keeps activations of.

    Attributes:
        feed: its batches of images.
        pictures: that these are of.
        views: in which they are seen.
        storage: in what numbers their activations are computed and kept.
    """

    feed: Any
    pictures: Pictures
    views: Views
    storage: Storage


@dataclass
class Keeping:
    """Gives each phase of one training what it trains and validates on.

    Attributes:
        heads: of the model.
        training: a TrainingFeed's side.
        validation: an EvaluationFeed's side, None without validation.
        planning: decides which levels are kept.
        replicas: the devices.
        files: that are open.
    """

    heads: tuple[Head, ...]
    training: Side
    validation: Side | None
    planning: Planning
    replicas: Replicas
    files: OpenFiles
    _levels: tuple[str, ...] | None = field(default=None, init=False)

    def sources(self, model: Any, phase: Phase) -> Sources:
        """Gives a phase its batches; which levels are kept is settled, and said, in the first one."""
        del phase  # the model knows what trains
        cuts = () if is_whole(model) else self._kept_cuts(model)
        if cuts:
            return self._kept(model, cuts)
        feed, views = self.training.feed, self.training.views
        validation = self.validation.feed if self.validation else None
        return Sources(ViewFeed(feed, views) if views.drawn else feed, validation)

    def _kept_cuts(self, model: Any) -> tuple[Cut, ...]:
        """Gives the cuts, from below, whose activations are kept, and below which nothing trains in this phase."""
        top = top_cut(model)
        low = low_cut(model, self.planning.trainable_layers, self.planning.batch_normalization)
        if self._levels is None:
            # what the chief decides counts: workers that see other free space would go other ways
            self._levels = tuple(self.replicas.chiefs(list(self.planning.levels(model, self.heads, low, top))))
        named = {"low": low, "top": top} if low != top else {"top": top}
        cuts = [cut for name, cut in named.items() if cut is not None and name in self._levels]
        return tuple(cut for cut in cuts if not lower_part(model, cut).trainable_variables)

    def _kept(self, model: Any, cuts: tuple[Cut, ...]) -> Sources:
        upper, side = upper_part(model, self.heads, cuts[-1]), self.training
        training = CachedTrainingFeed(side.feed, self._level(model, cuts, side), side.views)
        if self.validation is None:
            return Sources(training, None, upper, close=self.files.close)
        level = self._level(model, cuts, self.validation)
        validation = CachedEvaluationFeed(self.validation.feed, level)
        return Sources(training, validation, upper, upper, self.files.close)

    def _level(self, model: Any, cuts: tuple[Cut, ...], side: Side) -> Level:
        """Gives the level of the highest cut, which is computed from the one below it where there is one."""
        parts = [lower_part(model, cuts[0]), *(between(model, cuts[0], cut) for cut in cuts[1:])]
        level: Level | None = None
        for cut, part in zip(cuts, parts, strict=True):
            compute = Computer(part, model, self.heads, self.replicas, side.storage.precision)
            files = self.files.of(model, cut, side.pictures, side.views, side.storage)
            level = Level(files, compute, level, block=side.storage.rows * self.replicas.local)
        return cast("Level", level)
