"""A run's model before its first step, and the description that travels with it."""

from pathlib import Path
from typing import Any

import numpy as np

from hdf5_helper.errors import FacetError
from hdf5_helper.hashing import hash_integer
from hdf5_helper.progress import Say
from hdf5_helper.reading.generator import HDF5Generator
from models.backbones import build_backbone
from models.calibration import measure_batch_normalization
from models.description import ModelDescription
from models.heads import Head
from models.network import build_network, set_age_bias
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
        notes=(f"backbone weights trained on: {file.trained_on}",) if file and file.trained_on else (),
    )


def build_model(settings: Settings, description: ModelDescription, heads: tuple[Head, ...], data: HDF5Generator) -> Any:
    """Gives the keras.Model before its first step; the same settings give the same weights in every process."""
    arguments = settings.backbone_arguments
    base = build_backbone(settings.backbone, settings.image_size, arguments, hash_integer(settings.seed, 1))
    load_backbone_weights(base, settings.weights, settings.backbone, arguments)
    set_trainable(
        base, settings.fine_tuning.trainable_layers
    )  # a wrong name is a mistake to hear of before the warm-up
    seed = hash_integer(settings.seed, 2)
    model = build_network(base, description.preprocessing, heads, settings.head_shape, seed)
    if settings.weights == "none":
        measure_batch_normalization(model, data.reader.read(data.order.rows[:_MEASURED]))
    start_at_mean_age(model, data)
    return model


def start_at_mean_age(model: Any, data: HDF5Generator) -> None:
    """Starts an age head, where there is one, at the mean age of the training rows."""
    if "age" in data.labels:
        set_age_bias(model, float(np.nanmean(data.reader.labels("age")[data.order.rows])))


def say_preprocessing(settings: Settings, description: ModelDescription, say: Say) -> None:
    """Says what weights without a sidecar are taken to want."""
    file = _weights_file(settings)
    if file is not None and file.preprocessing is None:
        wants = description.preprocessing
        say(
            f"{file.path} has no sidecar: taking {settings.backbone}'s own preprocessing, {wants.color}"
            f" (x - {wants.mean}) / {wants.scale:g}"
        )


def _weights_file(settings: Settings) -> WeightsFile | None:
    if settings.weights in ("none", "imagenet"):
        return None
    file = read_weights_file(Path(settings.weights))
    if file.digest() != settings.weights_digest:
        raise FacetError(
            f"weights {file.path}: have changed since the run began, expected digest {settings.weights_digest}"
        )
    return file
