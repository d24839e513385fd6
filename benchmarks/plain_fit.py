"""The peer of `facet train`: the same data, network and schedule in plain `keras.Model.fit`, as a Keras user writes it.

Warm-up on a frozen backbone, then fine-tuning of its top layers from the best warm-up epoch, mirrored images, best
epoch by validation accuracy. Run it beside `facet train` and `facet evaluate` on the same packed file:

    python -m benchmarks.plain_fit faces.h5 mobilenet_1.0_224_faces_notop.weights.h5
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np

from hdf5_helper import HDF5Generator, HDF5Reader
from models.preprocessing import Preprocessing
from models.weights import read_weights_file

_BATCH, _TRAINED_LAYERS = 64, 4


def _network(size: int, weights: Path) -> tuple[keras.Model, keras.Model]:
    file = read_weights_file(weights)
    base = keras.applications.MobileNet(include_top=False, weights=None, input_shape=(size, size, 3), **file.arguments)
    base.load_weights(weights)
    kernel, bias = (file.preprocessing or Preprocessing()).kernel_and_bias()
    colours = keras.layers.Conv2D(3, 1, trainable=False)
    images = keras.Input((size, size, 3))
    values = base(colours(keras.layers.RandomFlip("horizontal", seed=1)(images)), training=False)
    colours.set_weights([kernel, bias])
    values = keras.layers.Dropout(0.2, seed=2)(keras.layers.GlobalAveragePooling2D()(values))
    values = keras.layers.Dense(256, activation="relu")(values)
    return keras.Model(images, keras.layers.Dense(1, activation="sigmoid")(values)), base


def _phase(model: keras.Model, data: dict[str, Any], epochs: int, rate: float, best: Path) -> list[float]:
    """Fits one phase, leaves the best epoch's weights in `best`, and gives the validation accuracies."""
    model.compile(keras.optimizers.Adam(rate), "binary_crossentropy", metrics=["accuracy"])
    keep = keras.callbacks.ModelCheckpoint(
        best,
        "val_accuracy",
        mode="max",
        save_best_only=True,
        save_weights_only=True,
        initial_value_threshold=data["best"],
    )
    train = data["train"]
    history = model.fit(
        iter(train),
        steps_per_epoch=train.steps_per_epoch,
        epochs=epochs,
        validation_data=data["validation"],
        callbacks=[keep],
        verbose=2,
    )
    accuracies = [float(value) for value in history.history["val_accuracy"]]
    data["best"] = max([*accuracies, *([data["best"]] if data["best"] is not None else [])])
    return accuracies


def _split(path: Path, split: str, size: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    with HDF5Reader(path, image_size=(size, size)) as reader:
        rows = reader.split(split)
        return reader.read(rows), reader.labels("gender")[rows].astype(np.float32)[:, None]


def main() -> None:
    """Trains, and prints one JSON line: validation accuracies of both phases, test accuracy of the best epoch."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--image-size", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=4, help="of each phase")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    keras.utils.set_random_seed(options.seed)
    size = options.image_size
    train = HDF5Generator(options.data, "train", _BATCH, "gender", image_size=(size, size), seed=options.seed)
    data: dict[str, Any] = {"train": train, "validation": _split(options.data, "validation", size), "best": None}
    model, base = _network(size, options.weights)
    base.trainable = False
    with tempfile.TemporaryDirectory() as folder:
        best = Path(folder) / "best.weights.h5"
        warm_up = _phase(model, data, options.epochs, 1e-3, best)
        model.load_weights(best)
        base.trainable = True
        for place, layer in enumerate(base.layers):
            top = place >= len(base.layers) - _TRAINED_LAYERS
            layer.trainable = top and not isinstance(layer, keras.layers.BatchNormalization)
        fine_tuning = _phase(model, data, options.epochs, 1e-4, best)
        model.load_weights(best)
    model.compile(loss="binary_crossentropy", metrics=["accuracy"])
    images, genders = _split(options.data, "test", size)
    accuracy = model.evaluate(images, genders, batch_size=_BATCH, verbose=0)[1]
    print(json.dumps({"warm_up": warm_up, "fine_tuning": fine_tuning, "test_accuracy": accuracy}))  # noqa: T201


if __name__ == "__main__":
    main()
