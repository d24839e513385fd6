"""`--precision auto` on a CPU: a few steps in both precisions, before a run begins, say which one is faster."""

import gc
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdf5_helper.hashing import hash_integers
from hdf5_helper.progress import Say
from hdf5_helper.reading.generator import known_rows
from hdf5_helper.reading.reader import HDF5Reader
from models.backbones.building import build_backbone
from models.backbones.registry import backbone_named
from models.heads.head import Head
from models.interface.assembling import settings_heads, unknown_classes
from models.network import backbone_of, build_network, scores_model
from models.training.activations.cost import multiply_accumulates
from models.training.distribution.replicas import Replicas
from models.training.feeding import Batch, make_batch
from models.training.phase import Phase
from models.training.phases import begin, phases_of
from models.training.precision import computing_in
from models.training.precision_answers import Answer, answers_file, circumstances, remember, remembered
from models.training.precision_choice import HOPELESS, LEAST_GAIN, Trial, Work, agree, gain
from models.training.settings import Settings
from models.training.steps import TrainingStep, Update, training_step
from models.training.stopping import Flags
from models.weights import load_backbone_weights

_PRECISIONS = ("float32", "mixed_bfloat16")

#: Of the trial's images, and of weights that no file gives.
_SEED = 0x9EC1


@dataclass(frozen=True)
class Limits:
    """What a trial may cost.

    Attributes:
        short: seconds of a training, as estimated, for which no trial is worth its time.
        seconds: after which no further round begins.
        rounds, fewest: steps of each precision, at most, and before time may end them.
        rows: of a batch at most; multiplications: multiply-accumulates of its forward pass from which on it has fewer.
    """

    short: float = 60.0
    seconds: float = 10.0
    rounds: int = 7
    fewest: int = 3
    rows: int = 16
    multiplications: float = 4e10


@dataclass(frozen=True)
class _Task:
    """What is trained: settings, heads, known stored labels of some examples, and how much there is to do."""

    settings: Settings
    heads: tuple[Head, ...]
    labels: dict[str, NDArray[Any]]
    work: Work


def tried_precision(settings: Settings, replicas: Replicas, say: Say, limits: Limits | None = None) -> str | None:
    """Gives the precision that is faster on this machine's CPU, by an earlier trial or a new one.

    A trial leaves nothing behind but its answer: it has a thread of its own, since Keras's names and settings belong
    to a thread, and a model of its own.

    Args:
        settings: of a run that has not begun.
        replicas: that will train it.
        say: is told the answer in one sentence.
        limits: what a trial may cost; without them, the built-in ones.

    Returns:
        `float32` or `mixed_bfloat16`; None where the training is too short for a trial to be worth its time.
    """
    limits = limits or Limits()
    share = max(1, settings.batch_size // (replicas.count * settings.gradient_accumulation))
    task = _task(settings, min(share, limits.rows))
    if task.work.seconds() < limits.short:
        return None
    path, now = answers_file(), circumstances(settings, share, replicas.local)
    if known := remembered(path, now):
        say(f"{known.in_words()} in an earlier trial; remembered in {path}")
        return known.precision
    found = _on_a_thread(lambda: _trial(task, limits))
    if found is None:
        return None
    where = remember(path, Answer(now, found), say)
    say(f"{found.in_words()} in a trial of {found.seconds:.0f} s; {where}; --precision {found.precision} leaves it out")
    return found.precision


def _task(settings: Settings, rows: int) -> _Task:
    fold = settings.fold if settings.fold >= 0 else None
    with HDF5Reader(settings.data, fold=fold) as reader:
        heads = settings_heads(reader, settings)
        known = known_rows(reader, "train", settings.label, unknown_classes(heads))
        labels = {head.label: reader.labels(head.label)[known[:rows]] for head in heads}
    epochs = settings.warm_up.epochs + settings.fine_tuning.epochs
    return _Task(settings, heads, labels, Work(settings.window[0] * settings.window[1], len(known) * epochs))


def _on_a_thread(work: Callable[[], Trial | None]) -> Trial | None:
    """Gives what `work` gives on a thread of its own, or raises what it raises."""
    found: list[Trial | None] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            found.append(work())
        except BaseException as error:  # noqa: BLE001 - raised again where it can be seen
            errors.append(error)

    thread = threading.Thread(target=run, name="precision trial", daemon=True)  # Ctrl-C need not wait for it
    thread.start()
    thread.join()
    gc.collect()  # models and their functions hold each other
    if errors:
        raise errors[0].with_traceback(None)
    return found[0]


def _trial(task: _Task, limits: Limits) -> Trial | None:
    """Gives what steps in both precisions say; None where the backbone shows that the training is short after all."""
    began = time.monotonic()
    model = _network(task.settings, task.heads)
    each = multiply_accumulates(backbone_of(model))
    if task.work.seconds(each) < limits.short:
        return None
    phase = phases_of(task.settings)[-1]
    # steps that move no weight: all of them compute the same
    begin(model, _standing(phase), task.settings.batch_normalization)
    batch = _batch(task, max(1, min(limits.rows, int(limits.multiplications / max(1, each)))))
    update = Update(clipping=phase.gradient_clipping, smoothing=phase.label_smoothing)
    steps = [training_step(model, task.heads, Replicas(), replace(update, precision=p)) for p in _PRECISIONS]
    times = gain(*_timed(steps, batch, limits, began))
    agrees = times < LEAST_GAIN or agree(*_figures(model, task.heads, batch))
    return Trial(times, agrees, time.monotonic() - began)


def _network(settings: Settings, heads: tuple[Head, ...]) -> Any:
    """Gives the run's network; weights that it cannot have are a mistake to hear of before any trial."""
    base = build_backbone(settings.backbone, settings.window, settings.backbone_arguments, _SEED)
    load_backbone_weights(base, settings.weights, settings.backbone, settings.backbone_arguments)
    preprocessing = backbone_named(settings.backbone).preprocessing
    return build_network(base, preprocessing, heads, settings.head_shape, _SEED, settings.image_size)


def _standing(phase: Phase) -> Phase:
    return Phase(phase.name, 1, 1e-30, phase.optimizer, phase.trainable_layers, weight_decay=phase.weight_decay)


def _batch(task: _Task, most: int) -> Batch:
    """Gives noise of any colour, with labels of the run's own."""
    labels = {name: values[:most] for name, values in task.labels.items()}
    rows = len(next(iter(labels.values())))
    shape = (rows, *task.settings.image_size, 3)
    images = (hash_integers(_SEED, np.arange(int(np.prod(shape)))) & np.uint64(255)).astype(np.uint8).reshape(shape)
    return make_batch(images, labels, task.heads, dict.fromkeys(labels, np.ones(rows, np.float32)))


def _timed(steps: list[TrainingStep], batch: Batch, limits: Limits, began: float) -> tuple[list[float], list[float]]:
    """Gives the seconds of both kinds of step, one after the other in every round; the first round only compiles."""
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(limits.rounds + 1):
        for step, taken in zip(steps, times, strict=True):
            start = time.perf_counter()
            step(batch, number, Flags())
            if number:
                taken.append(time.perf_counter() - start)
        late = number >= limits.fewest and time.monotonic() - began > limits.seconds
        if number and (late or gain(*times) < HOPELESS):
            break
    return times


def _figures(model: Any, heads: tuple[Head, ...], batch: Batch) -> list[dict[str, NDArray[Any]]]:
    """Gives scores and losses in float32, in mixed_bfloat16, and in float32 from rounded weights, in that order."""
    import tensorflow as tf

    scores = scores_model(model, heads)

    def computed(precision: str) -> dict[str, NDArray[Any]]:
        with computing_in(precision, model, heads):
            found = scores(tf.cast(batch.inputs, tf.float32), training=False)
        found = {head.label: tf.cast(found[head.label], tf.float32) for head in heads}
        losses = {head.loss_name: head.losses(found[head.label], batch.targets[head.label]) for head in heads}
        return {name: values.numpy() for name, values in (found | losses).items()}

    figures = [computed(precision) for precision in _PRECISIONS]
    for weight in model.weights:
        weight.assign(tf.cast(tf.cast(weight.value, tf.bfloat16), tf.float32))
    return [*figures, computed("float32")]
