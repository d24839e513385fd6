"""What a FaceModel records of itself: the settings and the description of its runs."""

from typing import Any

import numpy as np

from hdf5_helper.errors import FacetError
from hdf5_helper.progress import Say
from hdf5_helper.reading.generator import HDF5Generator
from models.backbones import BACKBONES
from models.description import ModelDescription
from models.heads import Head, main_metric
from models.preprocessing import Preprocessing
from models.training.phases import Phase
from models.training.settings import Settings


def preprocessing_of(conv_base: Any, training: HDF5Generator, say: Say) -> Preprocessing:
    """Gives what a Keras application of Facet's registry wants, else (x - mean of the train split) / 127.5 in RGB.

    Says which of the two it is, since weights that see other colours than they were trained on are worth little.
    """
    for backbone in BACKBONES.values():
        if conv_base.name.startswith(backbone.keras_name):
            say(f"{conv_base.name}: sees what the Keras application {backbone.application} wants")
            return backbone.preprocessing
    red, green, blue = training.reader.channel_means[training.order.rows].mean(axis=0, dtype=np.float64)
    say(f"{conv_base.name}: sees (x - mean of the train split) / 127.5 in RGB; another: preprocessing=Preprocessing(…)")
    return Preprocessing("RGB", (float(red), float(green), float(blue)), 127.5)


def describe(
    conv_base: Any, heads: tuple[Head, ...], preprocessing: Preprocessing, training: HDF5Generator, run: str
) -> ModelDescription:
    """Gives the description that goes into every checkpoint of a run."""
    height, width = conv_base.input_shape[1:3]
    return ModelDescription(
        outputs=tuple(head.output for head in heads),
        image_size=(height, width),
        fit=training.reader.fit,
        backbone=conv_base.name,
        preprocessing=preprocessing,
        run=run,
        images_digest=training.reader.images_digest,
        index_digest=training.reader.index_digest,
    )


def settings_of(
    description: ModelDescription, heads: tuple[Head, ...], training: HDF5Generator, phase: Phase
) -> Settings:
    """Gives the settings of one `fit` as its `config.yaml` shows them, with the head of `build_warmup_model`.

    Every checkpoint is kept, because this way of working chooses among them by hand.
    """
    values: dict[str, Any] = {f"{phase.name}_epochs": phase.epochs, f"{phase.name}_learning_rate": phase.learning_rate}
    return Settings(
        data=str(training.reader.path),
        images_digest=description.images_digest,
        index_digest=description.index_digest,
        label=training.labels,
        backbone=description.backbone,
        weights="conv_base",
        image_size=description.image_size,
        best_metric=main_metric(heads),
        batch_size=training.batch_size,
        pooling="flatten",
        units=(256, 256),
        optimizer=phase.optimizer,
        keep="all",
        seed=training.order.seed,
        **values,
    )


def class_weights_text(weights: list[float] | dict[int, float] | None) -> str:
    """Gives class weights by class number, a list or a dict, as the setting has them."""
    if not weights:
        return "none"
    pairs = weights.items() if isinstance(weights, dict) else enumerate(weights)
    return ",".join(f"{number}:{float(weight):g}" for number, weight in pairs)


def check_gpus(num_gpus: int) -> None:
    """Refuses more GPUs than there are, or than this version trains on."""
    import tensorflow as tf

    there = len(tf.config.list_physical_devices("GPU"))
    if num_gpus > there:
        raise FacetError(f"num_gpus={num_gpus}: this machine has {there}, expected a number up to that")
    if num_gpus > 1:
        raise FacetError(f"num_gpus={num_gpus}: this version trains on one device, expected 0 or 1")
