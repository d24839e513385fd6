"""One training from settings to a finished run: build or restore, then phase after phase."""

from contextlib import ExitStack
from typing import Any

import numpy as np

from hdf5_helper.atomic import write_text
from hdf5_helper.disk import free_bytes
from hdf5_helper.errors import FacetError
from hdf5_helper.progress import Progress, Say
from hdf5_helper.wording import bytes_text
from models.heads import heads_for
from models.interface.assembling import make_trainer, open_training_data
from models.interface.building import build_model, describe_model, say_preprocessing
from models.interface.settling import Settled
from models.model_file import load_model_file
from models.training.checkpoints import Checkpoint, load_checkpoint
from models.training.keeper import CheckpointKeeper
from models.training.phases import Phase, begin, phases_of
from models.training.runs import Run
from models.training.settings import to_yaml
from models.training.state import TrainingState
from models.training.stopping import StopFlag
from models.training.surroundings import changed, surroundings
from models.training.trainer import Trainer


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
    settings, run, stop = settled.settings, settled.run, StopFlag()
    heads = heads_for(settings.label)
    with ExitStack() as held, open_training_data(settings, say) as data:
        if settled.resumed:
            held.enter_context(run.locked())
        restored = _newest(run, say) if settled.resumed else None
        if restored is None:
            description = describe_model(settings, heads, run.name)
            say_preprocessing(settings, description, say)
            model, state = build_model(settings, description, heads, data), TrainingState()
        else:
            description, model, state = restored.description, restored.model, restored.state
        keeper = CheckpointKeeper(run, description, surroundings(), settings.best_metric, **settings.intervals)
        trainer = make_trainer(settings, heads, data, keeper, stop=stop, say=say, progress=progress)
        if restored is not None and (sentence := changed(restored.surroundings, keeper.surroundings)):
            say(sentence)
        if not settled.resumed:
            held.enter_context(run.locked())
            _begin_folder(settled)
        write_text(run.config, to_yaml(settings, settled.origins))
        _say_sizes(trainer, model)
        with stop:
            _run_phases(trainer, model, phases_of(settings), state)


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


def _begin_folder(settled: Settled) -> None:
    """Makes the run's folder empty, unless another process has begun the run since it was settled."""
    if settled.run.exists() and not settled.overwrite:
        raise FacetError(f"run {settled.run.name!r}: another process has begun it meanwhile, expected a new --run name")
    settled.run.clear()
    settled.run.create()


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
    path = trainer.keeper.run.checkpoints / state.best.checkpoint
    if not path.is_file():
        raise FacetError(f"{path}: the best warm-up epoch is gone, expected it to start fine-tuning from")
    trainer.say(f"starting from {state.best.phase} epoch {state.best.epoch}, the best so far")
    return load_model_file(path)[0]


def _announce(trainer: Trainer, model: Any, phase: Phase, trained: list[str]) -> None:
    count = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    total = sum(int(np.prod(weight.shape)) for weight in model.weights)
    above = f" and the backbone's {', '.join(trained[:8])}{' …' if len(trained) > 8 else ''}" if trained else ""
    trainer.say(
        f"{phase.name}: {phase.epochs} epochs of {trainer.training.steps} steps, learning rate"
        f" {phase.learning_rate:g}; trains the head{above}: {count:,} parameters, {total - count:,} frozen"
    )
