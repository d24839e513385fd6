"""What a FaceModel records of itself: the settings and the description of its runs."""

from typing import Any

import numpy as np

from hdf5_helper.errors import FacetError
from hdf5_helper.progress import Say
from models.backbones.registry import made_by_keras
from models.description import ModelDescription
from models.heads.choosing import main_metric
from models.heads.head import Head
from models.interface.face_data import FaceData, Origin
from models.preprocessing import Preprocessing
from models.training.foreign import ForeignData
from models.training.phase import FINE_TUNING, WARM_UP, Phase
from models.training.settings import Settings
from models.training.surroundings import surroundings
from models.training.whole_model import is_whole


def preprocessing_of(conv_base: Any, training: FaceData, say: Say) -> Preprocessing:
    """Gives what a Keras application of Facet's registry wants, else (x - mean of the train split) / 127.5 in RGB.

    Says which of the two it is, since weights that see other colours than they were trained on are worth little. A
    whole model has its own inside.

    Raises:
        FacetError: another base on others' data, of which no mean is known.
    """
    if is_whole(conv_base):
        return Preprocessing()
    if backbone := made_by_keras(conv_base):
        say(f"{conv_base.name}: sees what the Keras application {backbone.application} wants")
        return backbone.preprocessing
    if isinstance(training, ForeignData):
        raise FacetError(
            f"{conv_base.name}: what it wants to see is not known, and {training.name} has no mean of a train split;"
            " expected preprocessing=Preprocessing(…)"
        )
    red, green, blue = training.reader.channel_means[training.order.rows].mean(axis=0, dtype=np.float64)
    say(f"{conv_base.name}: sees (x - mean of the train split) / 127.5 in RGB; another: preprocessing=Preprocessing(…)")
    return Preprocessing("RGB", (float(red), float(green), float(blue)), 127.5)


def describe(
    model: Any, heads: tuple[Head, ...], preprocessing: Preprocessing, origin: Origin, run: str
) -> ModelDescription:
    """Gives the description that goes into every checkpoint of a run; `model` is the base, or the whole one."""
    height, width = model.input_shape[1:3]
    return ModelDescription(
        outputs=tuple(head.output for head in heads),
        image_size=(height, width),
        fit=origin.fit,
        backbone=model.name,
        preprocessing=preprocessing,
        run=run,
        images_digest=origin.images_digest,
        index_digest=origin.index_digest,
        fold=origin.fold,
    )


def settings_of(description: ModelDescription, heads: tuple[Head, ...], origin: Origin, phase: Phase) -> Settings:
    """Gives the settings of one `fit` as its `config.yaml` shows them, with the head of `build_warmup_model`.

    Every checkpoint is kept, because this way of working chooses among them by hand.
    """
    other = Phase(WARM_UP if phase.name == FINE_TUNING else FINE_TUNING, 0, phase.learning_rate, phase.optimizer)
    phases = {one.name: one for one in (phase, other)}
    return Settings(
        data=origin.data,
        images_digest=description.images_digest,
        index_digest=description.index_digest,
        label=tuple(head.label for head in heads),
        heads={head.label: head.form for head in heads},
        backbone=description.backbone,
        weights="conv_base",
        image_size=description.image_size,
        fit=description.fit,
        fold=description.fold,
        best_metric=main_metric(heads),
        batch_size=origin.batch_size,
        pooling="flatten",
        units=(256, 256),
        keep="all",
        augment=origin.augment,
        seed=origin.seed,
        warm_up=phases[WARM_UP],
        fine_tuning=phases[FINE_TUNING],
    )


def class_weights_text(weights: list[float] | dict[int, float] | str | None) -> str:
    """Gives class weights by class number, a list or a dict, as the setting has them, which text is already."""
    if isinstance(weights, str):
        return weights
    if not weights:
        return "none"
    pairs = weights.items() if isinstance(weights, dict) else enumerate(weights)
    return ",".join(f"{number}:{float(weight):g}" for number, weight in pairs)


def warn_if_not_exact(say: Say) -> None:
    """Says what of this process keeps a resumed run from being that of an unbroken one to the last bit."""
    now = surroundings()
    if (now["op determinism"], now["inter-op threads"]) != ("True", "1"):
        say(
            "note: a resumed run equals an unbroken one to the last bit only with one inter-op thread and"
            " tf.config.experimental.enable_op_determinism(), set before TensorFlow's first operation"
        )
