"""Puts a trainer together on the splits of one packed file."""

from hdf5_helper.errors import FacetError
from hdf5_helper.progress import Progress, Say
from hdf5_helper.reading.generator import HDF5Generator, known_rows
from hdf5_helper.reading.reader import HDF5Reader
from models.heads import Head
from models.training.class_weights import example_weights
from models.training.distribution.replicas import Replicas
from models.training.feeding import EvaluationFeed, TrainingFeed
from models.training.keeper import CheckpointKeeper
from models.training.observers import Observers
from models.training.settings import Settings
from models.training.steps import Update
from models.training.stopping import StopFlag
from models.training.trainer import Trainer


def largest_batch(reader: HDF5Reader, labels: tuple[str, ...], wanted: int, say: Say) -> int:
    """Gives the batch size to train with: `wanted`, or the whole train split where that is smaller, which is said."""
    if reader.attributes.get("channels_first"):
        raise FacetError(f"{reader.path}: was written with channels_first=True, expected channels last for training")
    count = len(known_rows(reader, "train", labels))
    if count == 0:
        raise FacetError(f"{reader.path}: its train split has no example with a known {' or '.join(labels)}")
    if count < wanted:
        say(f"batch size {count} instead of {wanted}: the train split has no more examples")
    return min(wanted, count)


def open_training_data(settings: Settings, replicas: Replicas, say: Say) -> HDF5Generator:
    """Gives this worker's share of the training batches of a run."""
    with HDF5Reader(settings.data) as reader:
        batch = largest_batch(reader, settings.label, settings.batch_size, say)
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
    )


def check_shares(batch: int, parts: int, replicas: Replicas) -> None:
    """Refuses a batch that replicas, each in `parts`, cannot share evenly: any number of them sees the same batches."""
    if batch % (replicas.count * parts):
        in_parts = f", each in {parts} parts" if parts > 1 else ""
        raise FacetError(
            f"batch size {batch}: {replicas.count} replicas{in_parts} cannot share it evenly, expected a multiple of"
            f" {replicas.count * parts}"
        )


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
) -> Trainer:
    """Puts a trainer on the training batches of a generator.

    Validation takes the rows of `validation`, else the validation split of the generator's own file.

    Raises:
        FacetError: class weights that mean nothing for the labels.
    """
    reader, rows = training.reader, training.order.rows
    class_weights = {
        label: example_weights(settings.class_weights, label, reader.labels(label), rows, say)
        for label in settings.label
    }
    measured = _validation_feed(validation or training, training, settings, replicas)
    if measured is None:
        keeper.metric = keeper.metric.removeprefix("val_")
        say("no validation split: the best epoch is chosen by training figures")
    return Trainer(
        heads,
        TrainingFeed(training, class_weights, settings.augment),
        measured,
        keeper,
        replicas,
        Update(settings.seed, parts=settings.gradient_accumulation, precision=settings.precision),
        observers,
        stop,
        say=say,
        progress=progress,
        start_from=settings.fine_tuning_from,
    )


def _validation_feed(
    source: HDF5Generator, training: HDF5Generator, settings: Settings, replicas: Replicas
) -> EvaluationFeed | None:
    """Gives what is validated on: a generator's own rows, or the validation split of the training generator's file."""
    own = source is not training
    rows = source.order.rows if own else known_rows(training.reader, "validation", settings.label)
    if not len(rows):
        return None
    share = {"worker": replicas.worker, "workers": replicas.workers}
    return EvaluationFeed(source.reader, rows, settings.label, training.batch_size, **share)
