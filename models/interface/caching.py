"""What a training keeps of its frozen backbone, from its settings."""

from hdf5_helper.images.fit import Size
from hdf5_helper.progress import Say
from hdf5_helper.reading.reader import HDF5Reader
from models.augmentation.recipe import parse_augmentation
from models.heads.head import Head
from models.network import window_margin
from models.preprocessing import Preprocessing
from models.training.activations.files import OpenFiles, Pictures, Storage
from models.training.activations.keeping import Keeping, Side
from models.training.activations.machine_speeds import speeds_here
from models.training.activations.planning import Planning
from models.training.activations.views import PLAIN, views_of
from models.training.distribution.replicas import Replicas
from models.training.feeding import EvaluationFeed, TrainingFeed
from models.training.settings import Settings


def keeping_for(
    settings: Settings,
    heads: tuple[Head, ...],
    feeds: tuple[TrainingFeed, EvaluationFeed | None],
    readers: tuple[HDF5Reader, HDF5Reader],
    *,
    preprocessing: Preprocessing,
    replicas: Replicas,
    limit: int | None,
    say: Say,
) -> Keeping | None:
    """Gives what makes a training's batches of kept activations.

    Args:
        settings: of the run.
        heads: of the model.
        feeds: batches of training and validation.
        readers: of the files that those come from.
        preprocessing: of the backbone.
        replicas: the devices.
        limit: bytes that files may take, None for half of the free space.
        say: takes sentences for the user.

    Returns:
        None where nothing can be kept: it is not wanted, images are others in every epoch, or a replica has one row of
        a batch alone, which is computed with other last digits.

    Raises:
        FacetError: views of an augmentation that mixes images.
    """
    margin = window_margin(settings.image_size, settings.window)
    views = views_of(parse_augmentation(settings.augment), settings.cache_views, settings.seed, margin)
    training, validation = feeds
    rows = training.batch_size // replicas.count
    if views is None or rows // settings.gradient_accumulation < 2:
        return None
    storage = Storage(settings.precision, settings.cache_dtype, rows // settings.gradient_accumulation)
    plain = Storage("float32", "exact", rows)
    seen, measured = (_pictures(reader, settings.window, preprocessing) for reader in readers)
    side = Side(training, seen, views, storage)
    count = validation.count if validation else 0
    return Keeping(
        heads,
        side,
        Side(validation, measured, PLAIN, plain) if validation else None,
        _planning(settings, side, count, replicas=replicas, limit=limit, say=say),
        replicas,
        OpenFiles(say),
    )


def _pictures(reader: HDF5Reader, window: Size, preprocessing: Preprocessing) -> Pictures:
    """Gives what a reader makes of its file's images; its own fit counts, whatever the settings say."""
    size, words = reader.image_size or window, preprocessing.in_words()
    return Pictures(reader.images_digest, len(reader), size, reader.fit, window, words)


def _planning(
    settings: Settings,
    training: Side,
    validation_rows: int,
    *,
    replicas: Replicas,
    limit: int | None,
    say: Say,
) -> Planning:
    import tensorflow as tf

    on_gpus = bool(tf.config.get_visible_devices("GPU"))
    return Planning(
        rows=training.feed.steps * training.feed.batch_size,
        validation_rows=validation_rows,
        views=len(training.views.names),
        epochs=(settings.warm_up.epochs, settings.fine_tuning.epochs),
        trainable_layers=settings.fine_tuning.trainable_layers,
        batch_normalization=settings.batch_normalization,
        number_format=training.storage.number_format,
        asked=settings.cache_views != "auto",
        limit=limit,
        speeds=speeds_here(settings.precision, replicas.count if on_gpus else 0),
        say=say,
    )
