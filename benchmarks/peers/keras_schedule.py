"""A schedule as a Keras user writes it: `model.fit` on `image_dataset_from_directory`, nothing cached.

The documented pipeline with prefetching added, Keras's own layer for mirroring, float32 unless told otherwise. Warm-up
on a frozen backbone, then fine-tuning of its top layers from the best warm-up epoch; each epoch is validated where
there are such images. XLA stays as `compile` has it by default.

    python -m benchmarks.peers.keras_schedule '{"folder": …}'
"""

import tempfile
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from benchmarks.peers.schedule_job import CLASSES, ScheduleJob, Teller

Dataset = Any


def network(job: ScheduleJob) -> tuple[Any, Any]:
    """Gives the model and its backbone, weights loaded, nothing frozen but the colours."""
    shape = (job.side, job.side, 3)
    if job.backbone == "mobilenet":
        base = keras.applications.MobileNet(include_top=False, weights=None, input_shape=shape, alpha=job.alpha)
    else:
        base = keras.applications.VGG19(include_top=False, weights=None, input_shape=shape)
    if job.weights != "none":
        base.load_weights(job.weights)
    images = keras.Input(shape)
    seen = keras.layers.RandomFlip("horizontal", seed=job.seed)(images) if job.augmentation else images
    colours = keras.layers.Conv2D(3, 1, trainable=False, dtype="float32")
    values = base(colours(seen), training=False)
    kernel, bias = job.colours
    colours.set_weights([np.array([[kernel]], np.float32), np.array(bias, np.float32)])
    values = keras.layers.Dropout(0.2)(keras.layers.GlobalAveragePooling2D()(values))
    values = keras.layers.Dense(256, activation="relu")(values)
    return keras.Model(images, keras.layers.Dense(1, activation="sigmoid", dtype="float32")(values)), base


def files(job: ScheduleJob, split: str) -> tuple[Dataset, int]:
    """Gives a split's batches, and its images; float32 (B, H, W, 3) and (B, 1)."""
    dataset = keras.utils.image_dataset_from_directory(
        job.folder / split,
        label_mode="binary",
        class_names=CLASSES,
        batch_size=job.batch,
        image_size=(job.side, job.side),
        shuffle=split == "train",
        seed=job.seed,
        verbose=False,
    )
    return dataset.prefetch(tf.data.AUTOTUNE), len(dataset.file_paths)


def _training(job: ScheduleJob) -> tuple[Any, int, dict[str, Any]]:
    """Gives what `fit` trains on, the images of an epoch, and further arguments of `fit`."""
    if job.reader == "files":
        return *files(job, "train"), {}
    from hdf5_helper import HDF5Generator

    side = (job.side, job.side)
    batches = HDF5Generator(job.data, "train", job.batch, "gender", image_size=side, seed=job.seed)
    steps = batches.steps_per_epoch
    return iter(batches), steps * job.batch, {"steps_per_epoch": steps}


class _Watch(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """Times the steps of each epoch, and tells of it."""

    def __init__(self, phase: int, images: int, teller: Teller, test: Dataset | None) -> None:
        super().__init__()
        self._phase, self._images, self._teller, self._test = phase, images, teller, test
        self._began = self._ended = 0.0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
        self._began = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
        self._ended = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
        seconds = self._ended - self._began
        self._teller.epoch(self._phase, epoch + 1, seconds, self._images, self._measure if self._test else None)

    def _measure(self) -> float:
        right = count = 0
        for images, labels in self._test or ():
            said = self.model.predict_on_batch(images) >= 0.5
            right, count = right + int((said == (labels.numpy() >= 0.5)).sum()), count + len(said)
        return right / max(1, count)


class _KeepBest(keras.callbacks.Callback):  # type: ignore[misc]
    """Keeps the weights of the best epoch in a file, as `ModelCheckpoint` does; runs behind a `_Watch`."""

    def __init__(self, path: Path, teller: Teller) -> None:
        super().__init__()
        self._path, self._teller = path, teller

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
        if "val_accuracy" not in logs or self._teller.validated(logs["val_accuracy"]):
            self.model.save_weights(self._path)


def _fit(job: ScheduleJob, model: Any, phase: int, teller: Teller, best: Path) -> None:
    train, images, more = _training(job)
    test = files(job, "test")[0] if job.has("test") else None
    model.compile(keras.optimizers.Adam(job.rates[phase]), "binary_crossentropy", metrics=["accuracy"])
    model.fit(
        train,
        epochs=job.epochs[phase],
        validation_data=files(job, "validation")[0] if job.has("validation") else None,
        callbacks=[_Watch(phase, images, teller, test), _KeepBest(best, teller)],
        verbose=0,
        **more,
    )
    model.load_weights(best)


def train(job: ScheduleJob) -> None:
    """Trains the phases that have epochs, and tells of them."""
    keras.utils.set_random_seed(job.seed)
    keras.config.set_dtype_policy(job.precision)
    teller = Teller()
    model, base = network(job)
    base.trainable = False
    with tempfile.TemporaryDirectory() as folder:
        best = Path(folder) / "best.weights.h5"
        if job.epochs[0]:
            _fit(job, model, 0, teller, best)
        if job.epochs[1]:
            base.trainable = True
            for place, layer in enumerate(base.layers):
                top = place >= len(base.layers) - job.trained_layers
                layer.trainable = top and not isinstance(layer, keras.layers.BatchNormalization)
            _fit(job, model, 1, teller, best)
    teller.end()


if __name__ == "__main__":
    train(ScheduleJob.of_command_line())
