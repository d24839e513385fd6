"""Puts a trainer together on the splits of one packed file."""

from hdf5_helper.errors import FacetError
from hdf5_helper.progress import Progress, Say
from hdf5_helper.reading.generator import HDF5Generator, known_rows
from hdf5_helper.reading.reader import HDF5Reader
from models.heads import Head
from models.training.class_weights import example_weights
from models.training.feeding import EvaluationFeed, TrainingFeed
from models.training.keeper import CheckpointKeeper
from models.training.settings import Settings
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


def open_training_data(settings: Settings, say: Say) -> HDF5Generator:
    """Gives the training batches of a run."""
    with HDF5Reader(settings.data) as reader:
        batch = largest_batch(reader, settings.label, settings.batch_size, say)
    return HDF5Generator(
        settings.data,
        "train",
        batch,
        settings.label,
        image_size=settings.image_size,
        fit=settings.fit,
        seed=settings.seed,
    )


def make_trainer(
    settings: Settings,
    heads: tuple[Head, ...],
    training: HDF5Generator,
    keeper: CheckpointKeeper,
    *,
    validation: HDF5Generator | None = None,
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
    held = validation.order.rows if validation else known_rows(reader, "validation", settings.label)
    measured = EvaluationFeed(validation.reader if validation else reader, held, settings.label, training.batch_size)
    if not len(held):
        keeper.metric = keeper.metric.removeprefix("val_")
        say("no validation split: the best epoch is chosen by training figures")
    return Trainer(
        heads,
        TrainingFeed(training, class_weights, settings.augment),
        measured if len(held) else None,
        keeper,
        settings.seed,
        stop,
        say=say,
        progress=progress,
        start_from=settings.fine_tuning_from,
    )
