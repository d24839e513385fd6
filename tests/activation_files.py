"""Small activation files whose every row is known by its number."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from models.training.activations.activation_file import ActivationFile
from models.training.activations.key import ActivationKey

KEY = ActivationKey(
    images_digest="0123456789abcdef" * 2,
    rows=40,
    weights_digest="fedcba9876543210" * 2,
    cut="block5_pool",
    image_size=(48, 64),
    fit="crop",
    window=(48, 64),
    preprocessing="bgr - (103.939, 116.779, 123.68)",
    view="plain",
    precision="float32",
    dtype="float32",
    shape=(3, 2, 5),
    versions=("2.21.0", "3.15.1"),
)


def key_of(**changes: Any) -> ActivationKey:
    return replace(KEY, **changes)


def values_of(key: ActivationKey, rows: Any) -> np.ndarray:
    """Gives float32 activations for rows; every third has numbers that float16 has not."""
    values = [np.random.default_rng(int(row)).normal(0, 1, key.shape) * (1e6 if row % 3 == 2 else 1) for row in rows]
    return np.array(values, np.float32).reshape(-1, *key.shape)


def all_rows(key: ActivationKey) -> np.ndarray:
    return np.arange(key.rows)


def filled(folder: Path, key: ActivationKey = KEY, rows: Any = None) -> Path:
    """Stores rows (all if None) and gives the file."""
    rows = all_rows(key) if rows is None else np.asarray(rows)
    with ActivationFile.open(folder, key, print) as file:
        file.write(rows, values_of(key, rows))
        return file.path
