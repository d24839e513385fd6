"""One training from settings to a finished run: build or restore, then phase after phase."""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import numpy as np

from hdf5_helper.atomic import write_text
from hdf5_helper.disk import free_bytes
from hdf5_helper.errors import FacetError
from hdf5_helper.progress import Progress, Say
from hdf5_helper.reading.generator import HDF5Generator
from hdf5_helper.wording import bytes_text
from models.interface.agreeing import agreed
from models.interface.assembling import check_same_classes, make_trainer, open_training_data, settings_heads
from models.interface.building import build_model, describe_model, say_preprocessing
from models.interface.restoring import carry_over, newest_checkpoint
from models.interface.settling import Settled
from models.model_file import load_model_file
from models.training.checkpoints import Checkpoint, load_checkpoint, variables_digest
from models.training.distribution.replicas import Replicas
from models.training.keeper import CheckpointKeeper
from models.training.observers import Observer, Observers
from models.training.phase import Phase
from models.training.phases import begin, phases_of, prepare_optimizer
from models.training.runs import Run
from models.training.settings import Settings
from models.training.settings_file import to_yaml
from models.training.starting import start_checkpoint
from models.training.state import TrainingState
from models.training.stopping import StopFlag
from models.training.surroundings import changed, surroundings
from models.training.trainer import Trainer

#: Seconds in which network storage should show one worker what another has written.
_TO_BE_SEEN = 60.0


def train(
    settled: Settled,
    *,
    replicas: Replicas | None = None,
    observers: Sequence[Observer] = (),
    say: Say,
    progress: Progress,
) -> Run:
    """Trains a run to its end, from its beginning or from its newest checkpoint.

    With several workers, each of them calls this; what the chief has settled counts, and only the chief writes.

    Args:
        settled: the run and its settings.
        replicas: the devices to train on; without them, the default device alone.
        observers: callbacks and trackers.
        say: takes sentences for the user.
        progress: watches epochs and validations.

    Returns:
        The run.

    Raises:
        FacetError: a mistake that the user can mend; checkpoints written so far stay.
        Stopped: SIGINT or SIGTERM came; a checkpoint holds the place.
    """
    replicas, watching, stop = replicas or Replicas(), Observers(observers, say), StopFlag()
    settled = agreed(settled, replicas, say)
    settings, run = settled.settings, settled.run
    with ExitStack() as held:
        held.enter_context(stop)  # a signal while the model is built is heard at its first batch
        data = held.enter_context(open_training_data(settings, replicas, say))
        heads = settings_heads(data.reader, settings)
        began, earlier_phase = _begun(settled, data, replicas, held, say)
        now = surroundings(replicas.count, settings.precision, settings.gradient_accumulation)
        if sentence := changed(began.surroundings, now):
            say(sentence)
        metric, intervals = settings.best_metric, settings.intervals
        keeper = CheckpointKeeper(run, began.description, now, metric, **intervals, writes=replicas.chief)
        watched: dict[str, Any] = {"observers": watching, "stop": stop, "say": say, "progress": progress}
        limit = settled.options.cache_limit
        trainer = make_trainer(settings, heads, data, keeper, replicas=replicas, cache_limit=limit, **watched)
        if replicas.chief:
            _write_down(settled, held)
            _say_sizes(trainer, began.model)
        _check_shared(run, replicas)
        held.callback(watching.end)
        _check_equal(_run_phases(trainer, began, settings, earlier_phase), replicas, say)
    return run


def _begun(
    settled: Settled, data: HDF5Generator, replicas: Replicas, held: ExitStack, say: Say
) -> tuple[Checkpoint, str]:
    """Gives where a run goes on, under its lock, or where it begins."""
    if settled.resumed and replicas.chief:
        held.enter_context(settled.run.locked())
    restored = newest_checkpoint(settled.run, replicas, say) if settled.resumed else None
    return (restored, "") if restored else _beginning(settled, data, replicas, say)


def _beginning(settled: Settled, data: HDF5Generator, replicas: Replicas, say: Say) -> tuple[Checkpoint, str]:
    """Gives a run before its first step: a new model, or another run's and the phase that this one was in."""
    settings, heads = settled.settings, settings_heads(data.reader, settled.settings)
    if settings.start:
        with replicas.scope():
            started = load_checkpoint(start_checkpoint(settings))
        names = {output.label: output.known_names for output in started.description.outputs}
        check_same_classes(f"--from {settings.start}", names, heads, data.reader.path)
        say(f"starting from {settings.start}")
        description = replace(
            started.description,
            run=settled.run.name,
            images_digest=settings.images_digest,
            index_digest=settings.index_digest,
            fold=settings.fold,
        )
        return Checkpoint(started.model, description, TrainingState(), {}), started.state.phase
    description = describe_model(settings, heads, settled.run.name)
    say_preprocessing(settings, description, say)
    with replicas.scope():
        model = build_model(settings, description, heads, data)
    return Checkpoint(model, description, TrainingState(), {}), ""


def _say_sizes(trainer: Trainer, model: Any) -> None:
    """Says how much is read and written; Adam, which holds two numbers beside each weight, is the largest optimizer."""
    measured = trainer.validation.count if trainer.validation else 0
    training = trainer.training.steps * trainer.training.batch_size
    size = 3 * 4 * sum(int(np.prod(weight.shape)) for weight in model.weights)
    free = free_bytes(trainer.keeper.run.checkpoints)
    trainer.say(
        f"{training:,} training examples an epoch, {measured:,} for validation; a checkpoint takes up to"
        f" {bytes_text(size)}, {bytes_text(free)} free"
    )


def _write_down(settled: Settled, held: ExitStack) -> None:
    """Writes a run's settings into its folder, which a new run gets now, when nothing can be wrong with it any more."""
    run = settled.run
    if not settled.resumed:
        held.enter_context(run.locked())
        if run.exists() and not settled.overwrite:
            raise FacetError(f"run {run.name!r}: another process has begun it meanwhile, expected a new --run name")
        run.clear()
        run.create()
    write_text(run.config, to_yaml(settled.settings, settled.origins))


def _check_shared(run: Run, replicas: Replicas) -> None:
    """Makes sure that every worker sees what the chief writes; network storage may take its time."""
    replicas.chiefs(None)
    until = time.monotonic() + _TO_BE_SEEN
    while not run.config.is_file():
        if time.monotonic() > until:
            raise FacetError(f"{run.config}: this worker does not see it, expected history/ on storage that all share")
        time.sleep(0.1)


def _check_equal(model: Any, replicas: Replicas, say: Say) -> None:
    """Makes sure that all workers hold the same weights and optimizer at the end."""
    if replicas.workers == 1:
        return
    if not replicas.agree(variables_digest(model)):
        raise FacetError("the workers hold different weights at the end, expected equal ones: do not use this run")
    say(f"all {replicas.workers} workers hold the same weights")


def _run_phases(trainer: Trainer, began: Checkpoint, settings: Settings, earlier_phase: str) -> Any:
    """Trains phase after phase, and gives the last model."""
    model, state, phases = began.model, began.state, phases_of(settings)
    trainer.keeper.settle(state)
    names = [phase.name for phase in phases]
    done = names.index(state.phase) if state.phase in names else 0
    if state.phase == names[-1] and trainer.is_over(phases[-1], state):
        ended = "" if state.epoch >= phases[-1].epochs else ", which early stopping ended"
        trainer.say(f"run {trainer.keeper.run.name} is complete: {state.epoch} epochs of {state.phase}{ended}")
    for phase in phases[done:]:
        if state.phase == phase.name:
            prepare_optimizer(model.optimizer)
        else:
            model, began_from = _best_so_far(trainer, model, state)
            # moments come from another run alone: a phase of this run begins without
            earlier = model.optimizer if not state.phase and earlier_phase == phase.name else None
            with trainer.replicas.scope():
                trained = begin(model, phase, settings.batch_normalization)
            _announce(trainer, model, phase, trained, settings.batch_normalization)
            carry_over(earlier, model.optimizer, trainer.say)
            state.begin_phase(phase.name, began_from)
        trainer.run_phase(model, phase, state)
    trainer.keeper.settle(state)
    trainer.keeper.show(state)
    return model


def _best_so_far(trainer: Trainer, model: Any, state: TrainingState) -> tuple[Any, str]:
    """Gives the model that the next phase starts from, and its checkpoint: the best epoch's, where there was one."""
    if state.best is None or trainer.start_from == "last":
        return model, ""
    trainer.replicas.chiefs(None)  # the chief has written it
    path = trainer.keeper.run.checkpoints / state.best.checkpoint
    if not path.is_file():
        raise FacetError(f"{path}: the best warm-up epoch is gone, expected it to start fine-tuning from")
    trainer.say(f"starting from {state.best.phase} epoch {state.best.epoch}, the best so far")
    with trainer.replicas.scope():
        return load_model_file(path)[0], path.name


def _announce(trainer: Trainer, model: Any, phase: Phase, trained: list[str], batch_normalization: str) -> None:
    count = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    total = sum(int(np.prod(weight.shape)) for weight in model.weights)
    above = f" and the backbone's {', '.join(trained[:8])}{' …' if len(trained) > 8 else ''}" if trained else ""
    trainer.say(
        f"{phase.name}: {phase.epochs} epochs of {trainer.training.steps} steps, learning rate"
        f" {phase.learning_rate:g}; trains the head{above}: {count:,} parameters, {total - count:,} frozen"
    )
    if batch_normalization == "synchronized" and trained:
        trainer.say("BatchNormalization moves and trains too: other numbers of replicas end with other weights")
