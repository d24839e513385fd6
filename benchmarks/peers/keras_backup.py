"""A Keras user's own training that can be killed: `model.fit` with `keras.callbacks.BackupAndRestore`, at its best.

Two phases are two calls of `fit`, each with a backup folder and a model of its own (where a backup was restored, Keras
skips as many epochs of the same model's next `fit`), and a finished phase's weights are kept, so that a restart begins
at the phase that died. The backbone is Facet's, fresh weights and all. What the documentation allows is done:
`double_checkpoint=True` (a torn backup falls back to the one before), `delete_checkpoint=False`, op determinism, one
inter-op thread, `set_random_seed`, seeds for dropout, a learning rate that follows the optimizer's own counter, and
batches that are a pure function of (epoch, step), from Facet's own order and augmentation: a PyDataset gives them that
is told its epoch when one begins.

Forms: `epoch` backs up at the end of each epoch; `steps` every so many steps, as Facet does; `plain` as `epoch`, and
leaves dropout out, whose random state no backup holds.
"""

import json
import sys
from typing import Any

import numpy as np
import xxhash

from benchmarks.peers.dying import Death, Training, deterministic
from hdf5_helper.reading.generator import HDF5Generator
from hdf5_helper.reading.reader import HDF5Reader
from models.augmentation.applying import augmented
from models.augmentation.recipe import RECIPES
from models.backbones.building import build_backbone
from models.backbones.registry import backbone_named
from models.calibration import measure_batch_normalization

_PHASES = ("warm_up", "fine_tuning")


def train(job: Training) -> str:
    """Trains from the beginning or from the last backup to the end; gives the digest of all weights (hex)."""
    import keras

    deterministic()
    keras.utils.set_random_seed(job.seed)
    size = (job.side, job.side)
    with HDF5Generator(job.data, "train", job.batch, "gender", image_size=size, seed=job.seed) as images:
        faces = images.reader.read(images.order.rows)
        for phase, name in enumerate(_PHASES):
            model, base = _network(job, faces)
            _freeze(base, job.trained_layers if phase else 0)
            for earlier in _PHASES[:phase]:
                model.load_weights(job.folder / f"{earlier}.weights.h5")
            _phase(model, job, images, name)
    hasher = xxhash.xxh3_128()
    for weight in model.get_weights():
        hasher.update(np.ascontiguousarray(weight).tobytes())
    return hasher.hexdigest()


def _network(job: Training, faces: Any) -> tuple[Any, Any]:
    """Gives a model and its backbone, whose fresh weights are drawn as Facet draws them, so that features live."""
    import keras

    base = build_backbone("mobilenet", (job.side, job.side), {"alpha": job.alpha}, job.seed)
    kernel, bias = backbone_named("mobilenet").preprocessing.kernel_and_bias()
    colours = keras.layers.Conv2D(3, 1, trainable=False, name="preprocess")
    images = keras.Input((job.side, job.side, 3))
    values = keras.layers.GlobalAveragePooling2D()(base(colours(images), training=False))
    colours.set_weights([kernel, bias])
    if job.form != "plain":
        values = keras.layers.Dropout(job.dropout, seed=job.seed + 1)(values)
    values = keras.layers.Dense(job.units, activation="relu")(values)
    model = keras.Model(images, keras.layers.Dense(1, activation="sigmoid")(values))
    measure_batch_normalization(model, faces)
    return model, base


def _freeze(base: Any, top: int) -> None:
    import keras

    base.trainable = top > 0
    for place, layer in enumerate(base.layers):
        trains = place >= len(base.layers) - top
        layer.trainable = trains and not isinstance(layer, keras.layers.BatchNormalization)


def _phase(model: Any, job: Training, images: HDF5Generator, phase: str) -> None:
    """Fits one phase, or takes the weights with which it was finished before."""
    import keras

    finished = job.folder / f"{phase}.weights.h5"
    if finished.exists():
        model.load_weights(finished)
        return
    rate = keras.optimizers.schedules.CosineDecay(job.rates[phase], job.epochs * images.steps_per_epoch)
    model.compile(keras.optimizers.Adam(rate), "binary_crossentropy", metrics=["accuracy"])
    batches = _batches(images, job.seed, phase)
    backup = keras.callbacks.BackupAndRestore(
        job.folder / phase,
        save_freq=job.every_steps if job.form == "steps" else "epoch",
        double_checkpoint=True,
        delete_checkpoint=False,
    )
    model.fit(
        batches,
        epochs=job.epochs,
        validation_data=_validation(job),
        validation_batch_size=job.batch,
        callbacks=[_told(batches), _events(job.death, phase, backup), backup],
        shuffle=False,
        verbose=0,
    )
    part = job.folder / f"part-{phase}.weights.h5"
    model.save_weights(part, overwrite=True)
    part.rename(finished)


def _batches(images: HDF5Generator, seed: int, phase: str) -> Any:
    """Gives a PyDataset of the batches that Facet trains on in this phase."""
    import keras

    class Batches(keras.utils.PyDataset):  # type: ignore[misc]  # Keras carries no types
        epoch = 1 if phase == "warm_up" else 1 + (1 << 20)

        def __len__(self) -> int:
            return images.steps_per_epoch

        def __getitem__(self, step: int) -> tuple[Any, Any]:
            rows = images.indices(self.epoch, step)
            pixels, labels = images.read(rows)
            return augmented(pixels, RECIPES["mirror"], seed, self.epoch, rows).astype(np.float32), labels[
                "gender"
            ].astype(np.float32)

    return Batches()


def _told(batches: Any) -> Any:
    """Gives the callback that tells the batches which epoch begins, also after a restart."""
    import keras

    first = batches.epoch
    return keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, _logs: setattr(batches, "epoch", first + epoch))


def _validation(job: Training) -> tuple[Any, Any]:
    with HDF5Reader(job.data, image_size=(job.side, job.side)) as reader:
        rows = reader.split("validation")
        return reader.read(rows).astype(np.float32), reader.labels("gender")[rows].astype(np.float32)


def _events(death: Death, phase: str, backup: Any) -> Any:
    """Gives the callback that says what happens, and lets the backup say when it saves."""
    import keras

    class Events(keras.callbacks.Callback):  # type: ignore[misc]
        epoch, step = 1, 0

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
            self.epoch, self.step = epoch + 1, 0

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
            self.step = batch + 1
            death.happens(f"step {phase} {self.epoch} {self.step}")

        def on_test_begin(self, logs: Any = None) -> None:  # noqa: ARG002
            death.happens(f"validation {phase} {self.epoch}")

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
            death.happens(f"epoch {phase} {self.epoch}")

        def on_train_begin(self, logs: Any = None) -> None:  # noqa: ARG002
            death.happens(f"begin {phase}")

    events, save = Events(), backup._save_model  # noqa: SLF001 - the moment has no public name

    def saving() -> None:
        death.happens(f"save {phase} {events.epoch}")
        save()

    backup._save_model = saving  # noqa: SLF001
    return events


if __name__ == "__main__":
    print(json.dumps({"digest": train(Training.of(json.loads(sys.argv[1])))}))  # noqa: T201
