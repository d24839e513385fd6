"""How a FaceModel's `fit` becomes a trainer: its phase, its place in the run, its data, its observers."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from hdf5_helper.atomic import write_text
from hdf5_helper.errors import FacetError
from hdf5_helper.progress import Progress, Say
from hdf5_helper.reading.generator import HDF5Generator
from models.heads.head import Head
from models.heads.on_file import class_names_in
from models.interface.assembling import check_same_classes, check_shares, make_trainer
from models.interface.face_data import FaceData
from models.interface.restoring import newest_checkpoint
from models.network import backbone_of
from models.training.checkpoints import Checkpoint
from models.training.confusion import read_confusions
from models.training.distribution.replicas import Replicas
from models.training.feeding import EvaluationFeed
from models.training.foreign import ForeignData
from models.training.history import read_epochs
from models.training.keeper import CheckpointKeeper
from models.training.keras_callbacks import KerasCallbacks
from models.training.observers import Observer, Observers
from models.training.phase import FINE_TUNING, WARM_UP, Phase
from models.training.phases import phases_of
from models.training.runs import Run
from models.training.settings import Settings, flat
from models.training.settings_file import to_yaml
from models.training.sources import EvaluationSource, SourcesOf
from models.training.state import TrainingState
from models.training.steps import Update
from models.training.stopping import StopFlag
from models.training.surroundings import changed, surroundings
from models.training.trackers import Tracker, Tracking
from models.training.trainer import Trainer
from models.training.whole_model import is_whole

#: Batches of an epoch of training and of validation, None where the data say themselves.
Steps = tuple[int | None, int | None]


def phase_of(model: Any, epochs: int) -> Phase:
    """Gives the phase that a compiled model is in: fine-tuning as soon as its backbone trains, or where it has none.

    Raises:
        FacetError: the model is not compiled, or with an optimizer that Facet does not know.
    """
    if getattr(model, "optimizer", None) is None:
        raise FacetError(f"model {model.name}: is not compiled, expected model.compile(optimizer=…)")
    trains = is_whole(model) or backbone_of(model).trainable_variables
    rate = float(model.optimizer.learning_rate)
    return Phase(FINE_TUNING if trains else WARM_UP, epochs, rate, type(model.optimizer).__name__.lower())


def state_after(run: Run, phase: str, epochs: int) -> TrainingState:
    """Gives the place after `epochs` epochs of an earlier `fit` of this run, with its rows and best up to there."""
    rows = [row for row in read_epochs(run.folder / "epochs.csv") if row["epoch"] <= epochs] if epochs else []
    matrices = read_confusions(run.folder / "confusion.csv")
    for row in rows:
        if found := matrices.get((row["phase"], row["epoch"])):
            row["confusion"] = found
    best = run.best()
    keeps = best is not None and best.phase == phase and best.epoch <= epochs
    return TrainingState(phase=phase, epoch=epochs, rows=rows, best=best if keeps else None)


def restored(run: Run, replicas: Replicas, say: Say) -> Checkpoint:
    """Gives the newest whole checkpoint of a run; raises FacetError where there is none."""
    began = newest_checkpoint(run, replicas, say)
    if began is None:
        raise FacetError(f"run {run.name!r}: has no checkpoint to go on from, expected fit with overwrite=True")
    sentence = changed(began.surroundings, surroundings(replicas.count))
    if sentence:
        say(sentence)
    return began


def check_same(run: Run, before: Settings, now: Settings) -> None:
    """Refuses to go on with a run on other data or with another model; phases are as they were."""
    different = before.differences(replace(now, warm_up=before.warm_up, fine_tuning=before.fine_tuning))
    if different:
        raise FacetError(f"run {run.name!r}: was begun with other settings: {'; '.join(different)}")


def observers_for(
    callbacks: Sequence[Any], trackers: Sequence[Tracker], run: Run, settings: Settings, say: Say
) -> Observers:
    """Gives Keras callbacks and trackers as observers."""
    watching: list[Observer] = [KerasCallbacks(callbacks, say)] if callbacks else []
    watching += [Tracking(tracker, run.name, flat(settings), say) for tracker in trackers]
    return Observers(watching, say)


@dataclass(frozen=True)
class Fit:
    """One call of `fit`, or what is left of it.

    Attributes:
        run, settings: whose folder, and what its `config.yaml` says.
        began: model, description and place to start from.
        heads: of the model.
        data: to train on, and to validate on: by default the validation split of a packed file.
        observers: callbacks and trackers.
        replicas: the devices to train on.
        who: made the settings, for `config.yaml`.
    """

    run: Run
    settings: Settings
    began: Checkpoint
    heads: tuple[Head, ...]
    data: tuple[FaceData, FaceData | None]
    observers: Observers
    replicas: Replicas
    who: str

    def train(self, steps: Steps, say: Say, progress: Progress, *, clear: bool = False) -> None:
        """Trains to the end of the phase; what cannot be trained is refused before the folder is touched.

        Args:
            steps: batches of an epoch of training and of validation, for others' data that do not say.
            say: takes sentences for the user.
            progress: watches the steps.
            clear: empties the run's folder first.
        """
        now = surroundings(self.replicas.count, precision=self.settings.precision)
        keeper = CheckpointKeeper(
            self.run, self.began.description, now, self.settings.best_metric, **self.settings.intervals
        )
        with StopFlag() as stop:
            trainer = self._trainer(steps, keeper, {"stop": stop, "say": say, "progress": progress})
            if clear:
                self.run.clear()
            self.run.create()
            write_text(self.run.config, to_yaml(self.settings, dict.fromkeys(("label", "class_weights"), self.who)))
            try:
                state = self.began.state
                phase = next(phase for phase in phases_of(self.settings) if phase.name == state.phase)
                trainer.run_phase(self.began.model, phase, state)
            finally:
                self.observers.end()

    def _trainer(self, steps: Steps, keeper: CheckpointKeeper, watched: dict[str, Any]) -> Trainer:
        settings, (training, validation) = self.settings, self.data
        watched |= {"replicas": self.replicas, "observers": self.observers}
        held = validation.for_validation(steps[1]) if isinstance(validation, ForeignData) else None
        if isinstance(training, HDF5Generator):
            own = validation if isinstance(validation, HDF5Generator) else None
            trainer = make_trainer(settings, self.heads, training, keeper, validation=own, **watched)
            if held is not None:
                trainer.validation, keeper.metric = held, settings.best_metric
                trainer.sources_of = _validating_on(held, trainer.sources_of)
            return trainer
        source = training.for_training(steps[0], settings.class_weights, watched["say"])
        check_shares(source.batch_size, settings.gradient_accumulation, self.replicas)
        measured = _rows_of(validation, self.heads, settings) if isinstance(validation, HDF5Generator) else held
        if measured is None:
            keeper.metric = keeper.metric.removeprefix("val_")
            watched["say"]("no validation data: the best epoch is chosen by training figures")
        update = Update(settings.seed, parts=settings.gradient_accumulation, precision=settings.precision)
        return Trainer(self.heads, source, measured, keeper, update=update, **watched)


def _validating_on(held: EvaluationSource, sources_of: SourcesOf | None) -> SourcesOf | None:
    """Gives sources with other validation data, whose images the whole model takes."""
    if sources_of is None:
        return None
    return lambda model, phase: replace(sources_of(model, phase), validation=held, validation_part=None)


def _rows_of(validation: HDF5Generator, heads: tuple[Head, ...], settings: Settings) -> EvaluationFeed:
    names = class_names_in(validation.reader, settings.label)
    check_same_classes(f"validation data {validation.reader.path}", names, heads, "the training data")
    return EvaluationFeed(validation.reader, validation.order.rows, heads, settings.batch_size)
