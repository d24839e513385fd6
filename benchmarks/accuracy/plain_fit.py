"""The peer of `facet train`: the same data, network and schedule in plain `keras.Model.fit`, as a Keras user writes it.

Warm-up on a frozen backbone, then fine-tuning of its top layers from the best warm-up epoch, mirrored images, best
epoch by validation accuracy or mean absolute error. It leaves the best epoch's model as a `.keras` file, which `facet
evaluate` measures as it measures Facet's own:

    python -m benchmarks.accuracy.plain_fit faces.h5 mobilenet_1.0_224_faces_notop.weights.h5 peer.keras
"""

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from benchmarks.accuracy.experiments import Schedule
from hdf5_helper import HDF5Generator, HDF5Reader
from models.preprocessing import Preprocessing
from models.weights import read_weights_file

_BATCH = 64

#: By label: activation, loss, metric, and which way it improves.
_LEARNT = {
    "gender": ("sigmoid", "binary_crossentropy", "accuracy", "max"),
    "age": ("linear", "mean_absolute_error", "mean_absolute_error", "min"),
}

Split = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]


@dataclass(frozen=True)
class Job:
    """What is trained.

    Attributes:
        data, weights, out: the packed file, the backbone's weights, and where the model goes.
        label: `gender` or `age`.
        seed: of Keras and of the order.
        schedule: image size, epochs, rates and layers.
    """

    data: Path
    weights: Path
    out: Path
    label: str
    seed: int
    schedule: Schedule


def _network(job: Job, mean: float) -> tuple[keras.Model, keras.Model]:
    size, file = int(job.schedule.image_size), read_weights_file(job.weights)
    base = keras.applications.MobileNet(include_top=False, weights=None, input_shape=(size, size, 3), **file.arguments)
    base.load_weights(job.weights)
    kernel, bias = (file.preprocessing or Preprocessing()).kernel_and_bias()
    colours = keras.layers.Conv2D(3, 1, trainable=False)
    images = keras.Input((size, size, 3))
    values = base(colours(keras.layers.RandomFlip("horizontal", seed=1)(images)), training=False)
    colours.set_weights([kernel, bias])
    values = keras.layers.Dropout(0.2, seed=2)(keras.layers.GlobalAveragePooling2D()(values))
    values = keras.layers.Dense(256, activation="relu")(values)
    start = keras.initializers.Constant(mean if job.label == "age" else 0.0)
    top = keras.layers.Dense(1, activation=_LEARNT[job.label][0], bias_initializer=start, name=job.label)
    return keras.Model(images, top(values)), base


def _phase(job: Job, model: keras.Model, data: dict[str, Any], phase: int, best: Path) -> None:
    """Fits one phase; the best epoch of both phases so far lies in `best` afterwards."""
    _activation, loss, metric, mode = _LEARNT[job.label]
    train: HDF5Generator = data["train"]
    epochs, rate = (job.schedule.warm_up, job.schedule.fine_tuning)[phase], job.schedule.rates[phase]
    if phase == 1 and job.schedule.cosine:
        rate = keras.optimizers.schedules.CosineDecay(rate, epochs * train.steps_per_epoch)
    model.compile(keras.optimizers.Adam(rate), loss, metrics=[metric])
    keep = keras.callbacks.ModelCheckpoint(
        best,
        f"val_{metric}",
        mode=mode,
        save_best_only=True,
        save_weights_only=True,
        initial_value_threshold=data["best"],
    )
    history = model.fit(
        iter(train),
        steps_per_epoch=train.steps_per_epoch,
        epochs=epochs,
        validation_data=data["validation"],
        callbacks=[keep],
        verbose=2,
    )
    values = [*history.history[f"val_{metric}"], *([] if data["best"] is None else [data["best"]])]
    data["best"] = {"max": max, "min": min}[mode](values)
    model.load_weights(best)


def _split(job: Job, split: str) -> Split:
    side = int(job.schedule.image_size)
    with HDF5Reader(job.data, image_size=(side, side)) as reader:
        rows = reader.split(split)
        return reader.read(rows), reader.labels(job.label)[rows].astype(np.float32)[:, None]


def train(job: Job) -> None:
    """Trains both phases and saves the best epoch's model."""
    keras.utils.set_random_seed(job.seed)
    side = int(job.schedule.image_size)
    images = HDF5Generator(job.data, "train", _BATCH, job.label, image_size=(side, side), seed=job.seed)
    data: dict[str, Any] = {"train": images, "validation": _split(job, "validation"), "best": None}
    mean = float(np.mean(images.reader.labels(job.label)[images.order.rows], dtype=np.float64))
    model, base = _network(job, mean)
    base.trainable = False
    with tempfile.TemporaryDirectory() as folder:
        best = Path(folder) / "best.weights.h5"
        _phase(job, model, data, 0, best)
        base.trainable = True
        for place, layer in enumerate(base.layers):
            top = place >= len(base.layers) - job.schedule.trainable_layers
            layer.trainable = top and not isinstance(layer, keras.layers.BatchNormalization)
        _phase(job, model, data, 1, best)
    model.compile()
    model.save(job.out)


def main() -> None:
    """Trains what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("data", "weights", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--label", default="gender", choices=sorted(_LEARNT))
    parser.add_argument("--seed", type=int, default=0)
    plain = Schedule()
    parser.add_argument("--image-size", type=int, default=plain.image_size)
    parser.add_argument("--warm-up-epochs", type=int, default=plain.warm_up)
    parser.add_argument("--fine-tuning-epochs", type=int, default=plain.fine_tuning)
    parser.add_argument("--warm-up-learning-rate", type=float, default=plain.rates[0])
    parser.add_argument("--fine-tuning-learning-rate", type=float, default=plain.rates[1])
    parser.add_argument("--trainable-layers", type=int, default=plain.trainable_layers)
    parser.add_argument("--set", choices=["fine_tuning_schedule=cosine"])
    o = parser.parse_args()
    rates = o.warm_up_learning_rate, o.fine_tuning_learning_rate
    epochs = o.warm_up_epochs, o.fine_tuning_epochs
    schedule = Schedule(o.image_size, *epochs, rates, o.trainable_layers, cosine=o.set is not None)
    train(Job(o.data, o.weights, o.out, o.label, o.seed, schedule))


if __name__ == "__main__":
    main()
