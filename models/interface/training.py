"""One training from settings to a finished run: build or restore, then phase after phase."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from hdf5_helper.atomic import write_text
from hdf5_helper.errors import FacetError
from hdf5_helper.generator import HDF5Generator, known_rows
from hdf5_helper.hashing import hash_integer
from hdf5_helper.progress import Progress, Say
from hdf5_helper.reader import HDF5Reader
from models.backbones import build_backbone
from models.calibration import measure_batch_normalization
from models.description import ModelDescription
from models.heads import Head, heads_for
from models.interface.settling import Settled
from models.model_file import load_model_file
from models.network import build_network, set_age_bias
from models.training.checkpoints import Checkpoint, load_checkpoint
from models.training.class_weights import example_weights
from models.training.feeding import EvaluationFeed, TrainingFeed
from models.training.keeper import CheckpointKeeper
from models.training.phases import Phase, begin, phases_of, set_trainable
from models.training.runs import Run
from models.training.settings import Settings, to_yaml
from models.training.state import TrainingState
from models.training.stopping import StopFlag
from models.training.surroundings import changed, surroundings
from models.training.trainer import Trainer
from models.weights import load_backbone_weights, preprocessing_for, read_weights_file

#: Training images that an untrained backbone's BatchNormalization is measured on.
_MEASURED = 128


def train(settled: Settled, *, say: Say, progress: Progress) -> None:
    """Trains a run to its end, from its beginning or from its newest checkpoint.

    Args:
        settled: the run and its settings.
        say: takes sentences for the user.
        progress: watches epochs and validations.

    Raises:
        FacetError: a mistake that the user can mend; checkpoints written so far stay.
        Stopped: SIGINT or SIGTERM came; a checkpoint holds the place.
    """
    settings, run = settled.settings, settled.run
    heads = heads_for(settings.label)
    with ExitStack() as held, open_generator(settings, say) as generator:
        if settled.resumed:
            held.enter_context(run.locked())
        description = _describe(settings, heads, run.name)
        restored = _newest(run, say) if settled.resumed else None
        model = restored.model if restored else _build(settings, heads, generator)
        state = restored.state if restored else TrainingState()
        keeper = _keeper(settings, run, description)
        if restored and (sentence := changed(restored.surroundings, keeper.surroundings)):
            say(sentence)
        if not settled.resumed:
            held.enter_context(run.locked())
            run.clear()
            run.create()
        write_text(run.config, to_yaml(settings, settled.origins))
        with StopFlag() as stop:
            trainer = make_trainer(settings, heads, generator, keeper, stop=stop, say=say, progress=progress)
            _run_phases(trainer, model, phases_of(settings), state)


def open_generator(settings: Settings, say: Say) -> HDF5Generator:
    """Gives the training batches; a batch larger than the train split becomes the whole split, which is said."""
    with HDF5Reader(settings.data) as reader:
        count = len(known_rows(reader, "train", settings.label))
    if count == 0:
        raise FacetError(f"{settings.data}: its train split has no example with a known {', '.join(settings.label)}")
    batch = min(settings.batch_size, count)
    if batch < settings.batch_size:
        say(f"batch size {batch} instead of {settings.batch_size}: the train split has no more examples")
    return HDF5Generator(
        settings.data, "train", batch, settings.label, image_size=settings.image_size, seed=settings.seed
    )


def make_trainer(
    settings: Settings,
    heads: tuple[Head, ...],
    generator: HDF5Generator,
    keeper: CheckpointKeeper,
    *,
    validation: HDF5Generator | None = None,
    stop: StopFlag,
    say: Say,
    progress: Progress,
) -> Trainer:
    """Puts a trainer on the training batches of a generator.

    Validation takes the rows of `validation`, else the validation split of the generator's own file.
    """
    reader, rows = generator.reader, generator.order.rows
    class_weights = {
        label: example_weights(settings.class_weights, label, reader.labels(label), rows, say)
        for label in settings.label
    }
    held = validation.order.rows if validation else known_rows(reader, "validation", settings.label)
    measured = EvaluationFeed(validation.reader if validation else reader, held, settings.label, generator.batch_size)
    if not len(held):
        keeper.metric = keeper.metric.removeprefix("val_")
        say("no validation split: the best epoch is chosen by training figures")
    feed = TrainingFeed(generator, class_weights, settings.augment)
    return Trainer(
        heads,
        feed,
        measured if len(held) else None,
        keeper,
        settings.seed,
        stop,
        say=say,
        progress=progress,
        start_from=settings.fine_tuning_from,
    )


def _describe(settings: Settings, heads: tuple[Head, ...], run: str) -> ModelDescription:
    file = _weights_file(settings)
    return ModelDescription(
        outputs=tuple(head.output for head in heads),
        image_size=settings.image_size,
        fit=settings.fit,
        backbone=settings.backbone,
        preprocessing=preprocessing_for(settings.backbone, file),
        run=run,
        images_digest=settings.images_digest,
        index_digest=settings.index_digest,
        notes=(f"backbone weights trained on: {file.trained_on}",) if file and file.trained_on else (),
    )


def _weights_file(settings: Settings) -> Any:
    path = Path(settings.weights)
    named = settings.weights in ("none", "imagenet") or not path.is_file()
    return None if named else read_weights_file(path)


def _build(settings: Settings, heads: tuple[Head, ...], generator: HDF5Generator) -> Any:
    """Gives the model before its first step."""
    arguments = settings.backbone_arguments
    base = build_backbone(settings.backbone, settings.image_size, arguments, hash_integer(settings.seed, 1))
    load_backbone_weights(base, settings.weights, settings.backbone, arguments)
    set_trainable(base, settings.trainable_layers)  # a wrong name is a mistake to hear of before the warm-up
    preprocessing = preprocessing_for(settings.backbone, _weights_file(settings))
    model = build_network(base, preprocessing, heads, settings.head_shape, hash_integer(settings.seed, 2))
    if settings.weights == "none":
        measure_batch_normalization(model, generator.reader.read(generator.order.rows[:_MEASURED]))
    if "age" in settings.label:
        set_age_bias(model, float(np.nanmean(generator.reader.labels("age")[generator.order.rows])))
    return model


def _keeper(settings: Settings, run: Run, description: ModelDescription) -> CheckpointKeeper:
    return CheckpointKeeper(
        run,
        description,
        surroundings(),
        settings.best_metric,
        settings.checkpoint_every,
        settings.checkpoint_every_steps,
        settings.checkpoint_every_minutes,
        settings.keep,
    )


def _newest(run: Run, say: Say) -> Checkpoint | None:
    """Gives the newest checkpoint that is whole; damaged ones are passed over with a warning."""
    latest = run.pointed("latest")
    files = sorted(run.checkpoints.glob("[!.]*.keras"), key=lambda path: -path.stat().st_mtime_ns)
    for path in sorted(files, key=lambda path: path.name != latest):
        try:
            checkpoint = load_checkpoint(path)
        except FacetError as error:
            say(f"warning: passed over {error}")
            continue
        say(f"resuming {run.name} from {path.name}")
        return checkpoint
    say(f"run {run.name} has no checkpoint yet: beginning anew")
    return None


def _run_phases(trainer: Trainer, model: Any, phases: tuple[Phase, ...], state: TrainingState) -> None:
    names = [phase.name for phase in phases]
    done = names.index(state.phase) if state.phase in names else 0
    if state.phase == names[-1] and state.epoch >= phases[-1].epochs:
        trainer.say(f"run {trainer.keeper.run.name} is complete: {state.epoch} epochs of {state.phase}")
    for phase in phases[done:]:
        if state.phase != phase.name:
            model = _best_so_far(trainer, model, state)
            _announce(trainer, model, phase, begin(model, phase))
            state.begin_phase(phase.name)
        trainer.run_phase(model, phase, state)
    trainer.keeper.show(state)


def _best_so_far(trainer: Trainer, model: Any, state: TrainingState) -> Any:
    """Gives the model that the next phase starts from: the best epoch's, where there was one."""
    if state.best is None or trainer.start_from == "last":
        return model
    trainer.say(f"starting from {state.best.phase} epoch {state.best.epoch}, the best so far")
    return load_model_file(trainer.keeper.run.checkpoints / state.best.checkpoint)[0]


def _announce(trainer: Trainer, model: Any, phase: Phase, trained: list[str]) -> None:
    count = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    total = sum(int(np.prod(weight.shape)) for weight in model.weights)
    above = f" and the backbone's {', '.join(trained[:8])}{' …' if len(trained) > 8 else ''}" if trained else ""
    trainer.say(
        f"{phase.name}: {phase.epochs} epochs of {trainer.training.steps} steps, learning rate"
        f" {phase.learning_rate:g}; trains the head{above}: {count:,} parameters, {total - count:,} frozen"
    )
