"""A run's model before its first step, and the description that travels with it."""

from pathlib import Path
from typing import Any

from hdf5_helper.errors import FacetError
from hdf5_helper.hashing import hash_integer
from hdf5_helper.progress import Say
from hdf5_helper.reading.generator import HDF5Generator
from models.backbones.building import build_backbone
from models.calibration import measure_batch_normalization
from models.description import ModelDescription
from models.heads.head import Head
from models.network import build_network, start_at
from models.training.phases import set_trainable
from models.training.settings import Settings
from models.weights import WeightsFile, load_backbone_weights, preprocessing_for, read_weights_file

#: Training images that an untrained backbone's BatchNormalization is measured on.
_MEASURED = 128


def describe_model(settings: Settings, heads: tuple[Head, ...], run: str) -> ModelDescription:
    """Gives the description that goes into every checkpoint of a run."""
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
        fold=settings.fold,
        notes=(f"backbone weights trained on: {file.trained_on}",) if file and file.trained_on else (),
    )


def build_model(settings: Settings, description: ModelDescription, heads: tuple[Head, ...], data: HDF5Generator) -> Any:
    """Gives the keras.Model before its first step; the same settings give the same weights in every process."""
    arguments = settings.backbone_arguments
    base = build_backbone(settings.backbone, settings.window, arguments, hash_integer(settings.seed, 1))
    load_backbone_weights(base, settings.weights, settings.backbone, arguments)
    set_trainable(
        base, settings.fine_tuning.trainable_layers
    )  # a wrong name is a mistake to hear of before the warm-up
    seed = hash_integer(settings.seed, 2)
    model = build_network(base, description.preprocessing, heads, settings.head_shape, seed, settings.image_size)
    if settings.weights == "none":
        measure_batch_normalization(model, data.reader.read(data.order.rows[:_MEASURED]))
    for head in heads:
        start_at_labels(model, head, data)
    return model


def start_at_labels(model: Any, head: Head, data: HDF5Generator) -> None:
    """Starts a head where the labels of the training rows ask for it, such as age at its mean."""
    values = data.reader.labels(head.label)[data.order.rows]
    start_at(model, head, values[head.known(values)])


def say_preprocessing(settings: Settings, description: ModelDescription, say: Say) -> None:
    """Says what weights without a sidecar are taken to want."""
    file = _weights_file(settings)
    if file is not None and file.preprocessing is None:
        wants = description.preprocessing.in_words()
        say(f"{file.path} has no sidecar: taking {settings.backbone}'s own preprocessing, {wants}")


def _weights_file(settings: Settings) -> WeightsFile | None:
    if settings.weights in ("none", "imagenet"):
        return None
    file = read_weights_file(Path(settings.weights))
    if file.digest() != settings.weights_digest:
        raise FacetError(
            f"weights {file.path}: have changed since the run began, expected digest {settings.weights_digest}"
        )
    return file
