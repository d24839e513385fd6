"""Puts a trainer together on the splits of one packed file."""

from collections.abc import Mapping
from typing import Any

from hdf5_helper.errors import FacetError
from hdf5_helper.progress import Progress, Say
from hdf5_helper.reading.generator import HDF5Generator, known_rows
from hdf5_helper.reading.reader import HDF5Reader
from models.augmentation.recipe import parse_augmentation
from models.heads.head import Head
from models.heads.on_file import class_names_in, heads_on
from models.interface.caching import keeping_for
from models.network import window_margin
from models.training.class_weights import example_weights
from models.training.distribution.replicas import Replicas
from models.training.feeding import EvaluationFeed, TrainingFeed
from models.training.keeper import CheckpointKeeper
from models.training.observers import Observers
from models.training.settings import Settings
from models.training.steps import Update
from models.training.stopping import StopFlag
from models.training.trainer import Trainer


def settings_heads(reader: HDF5Reader, settings: Settings) -> tuple[Head, ...]:
    """Gives the heads of a run on a file, whose classes have the file's names."""
    return heads_on(reader, settings.label, settings.heads, settings.loss_weights)


def check_same_classes(who: str, theirs: Mapping[str, tuple[str, ...]], heads: tuple[Head, ...], ours: object) -> None:
    """Refuses classes or attributes in another order or number than those that `heads` learn.

    Args:
        who: has `theirs`, the names by label, for the sentence.
        theirs: names by label; a label that is missing is not compared.
        heads: with names of their own.
        ours: where these come from.

    Raises:
        FacetError: with both sides.
    """
    for head in heads:
        names = head.output.known_names
        if theirs.get(head.label, names) != names:
            raise FacetError(
                f"{who}: {head.label} is {', '.join(theirs[head.label])} there and {', '.join(names)} in {ours},"
                " expected the same in the same order"
            )


def unknown_classes(heads: tuple[Head, ...]) -> tuple[str, ...]:
    """Gives the labels whose unknown ones are a class of their own, so that no example is left out for them."""
    return tuple(head.label for head in heads if head.output.unknown_is_a_class)


def largest_batch(
    reader: HDF5Reader, labels: tuple[str, ...], wanted: int, say: Say, unknown_counts: tuple[str, ...] = ()
) -> int:
    """Gives the batch size to train with: `wanted`, or the whole train split where that is smaller, which is said."""
    if reader.attributes.get("channels_first"):
        raise FacetError(f"{reader.path}: was written with channels_first=True, expected channels last for training")
    count = len(known_rows(reader, "train", labels, unknown_counts))
    if count == 0:
        raise FacetError(f"{reader.path}: its train split has no example with a known {' or '.join(labels)}")
    if count < wanted:
        say(f"batch size {count} instead of {wanted}: the train split has no more examples")
    return min(wanted, count)


def open_training_data(settings: Settings, replicas: Replicas, say: Say) -> HDF5Generator:
    """Gives this worker's share of the training batches of a run."""
    fold = settings.fold if settings.fold >= 0 else None
    with HDF5Reader(settings.data, fold=fold) as reader:
        unknown_counts = unknown_classes(settings_heads(reader, settings))
        batch = largest_batch(reader, settings.label, settings.batch_size, say, unknown_counts)
    check_shares(batch, settings.gradient_accumulation, replicas)
    return HDF5Generator(
        settings.data,
        "train",
        batch,
        settings.label,
        image_size=settings.image_size,
        fit=settings.fit,
        seed=settings.seed,
        replica=replicas.worker,
        replicas=replicas.workers,
        fold=fold,
        unknown_counts=unknown_counts,
    )


def check_shares(batch: int, parts: int, replicas: Replicas) -> None:
    """Refuses a batch that replicas, each in `parts`, cannot share evenly: any number of them sees the same batches."""
    if batch % (replicas.count * parts):
        in_parts = f", each in {parts} parts" if parts > 1 else ""
        raise FacetError(
            f"batch size {batch}: {replicas.count} replicas{in_parts} cannot share it evenly, expected a multiple of"
            f" {replicas.count * parts}"
        )


def training_feed(settings: Settings, heads: tuple[Head, ...], training: HDF5Generator, say: Say) -> TrainingFeed:
    """Gives the batches of a generator, augmented and weighted; raises FacetError for class weights without meaning."""
    reader, rows = training.reader, training.order.rows
    class_weights = {
        head.label: example_weights(settings.class_weights, head, reader.labels(head.label), rows, say)
        for head in heads
    }
    margin = window_margin(settings.image_size, settings.window)
    return TrainingFeed(training, heads, class_weights, parse_augmentation(settings.augment), margin)


def make_trainer(
    settings: Settings,
    heads: tuple[Head, ...],
    training: HDF5Generator,
    keeper: CheckpointKeeper,
    *,
    replicas: Replicas,
    validation: HDF5Generator | None = None,
    observers: Observers,
    stop: StopFlag,
    say: Say,
    progress: Progress,
    cache_limit: int | None = None,
) -> Trainer:
    """Puts a trainer on the training batches of a generator.

    Where it is faster, and `settings.cache_views` allows it, they are made of kept activations, in files of at most
    `cache_limit` bytes, by default of half of the free space.

    Validation takes the rows of `validation`, else the validation split of the generator's own file.

    Raises:
        FacetError: class weights that mean nothing for the labels.
    """
    fed = training_feed(settings, heads, training, say)
    measured = _validation_feed(validation or training, training, heads, replicas)
    if measured is None:
        keeper.metric = keeper.metric.removeprefix("val_")
        say("no validation split: the best epoch is chosen by training figures")
    readers, seen = (training.reader, (validation or training).reader), keeper.description.preprocessing
    how: dict[str, Any] = {"preprocessing": seen, "replicas": replicas, "limit": cache_limit, "say": say}
    keeping = keeping_for(settings, heads, (fed, measured), readers, **how)
    return Trainer(
        heads,
        fed,
        measured,
        keeper,
        replicas,
        Update(settings.seed, parts=settings.gradient_accumulation, precision=settings.precision),
        observers,
        stop,
        say=say,
        progress=progress,
        start_from=settings.fine_tuning_from,
        sources_of=keeping.sources if keeping else None,
    )


def _validation_feed(
    source: HDF5Generator, training: HDF5Generator, heads: tuple[Head, ...], replicas: Replicas
) -> EvaluationFeed | None:
    """Gives what is validated on: a generator's own rows, or the validation split of the training generator's file."""
    own, labels = source is not training, tuple(head.label for head in heads)
    names = class_names_in(source.reader, labels)
    check_same_classes(f"validation data {source.reader.path}", names, heads, training.reader.path)
    rows = source.order.rows if own else known_rows(training.reader, "validation", labels, training.unknown_counts)
    if not len(rows):
        return None
    share = {"worker": replicas.worker, "workers": replicas.workers}
    return EvaluationFeed(source.reader, rows, heads, training.batch_size, **share)
