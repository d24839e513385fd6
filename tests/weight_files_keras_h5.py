"""Writes `.h5` weights and models as Keras 1, 2 and 3 do, without Keras.

After `save_weights_to_hdf5_group` of Keras 1.2 and 2.3.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

#: What an attribute may hold in an object's header; Keras splits longer ones.
HEADER_LIMIT = 64512

KERAS_1 = {"kernel": "W", "bias": "b", "moving_mean": "running_mean", "moving_variance": "running_std"}


def write_keras_h5(
    path: Path,
    layers: list[tuple[str, dict[str, np.ndarray]]],
    *,
    version: str | None = "2.3.1",
    config: str | None = None,
    backend: str = "tensorflow",
    **storage: Any,
) -> None:
    """Writes layers, each with its arrays by role: `kernel`, `bias`, `gamma`, …

    Args:
        path: the file.
        layers: in the model's order; those without arrays are written, too, as Keras does.
        version: of Keras; None as the first one, which did not tell.
        config: JSON of the model; makes the file one of a whole model.
        backend: what Keras ran on.
        storage: of every array, such as `compression="gzip"`.
    """
    weights = [(name, [(weight_name(name, role, version), a) for role, a in roles.items()]) for name, roles in layers]
    write_groups(path, weights, version=version, config=config, backend=backend, **storage)


def weight_name(layer: str, role: str, version: str | None) -> str:
    """Gives what Keras calls an array: `conv1/kernel:0`; `conv1_W:0` in the first one."""
    return f"{layer}_{KERAS_1.get(role, role)}:0" if version is None else f"{layer}/{role}:0"


def write_groups(
    path: Path,
    layers: list[tuple[str, list[tuple[str, np.ndarray]]]],
    *,
    version: str | None = "2.3.1",
    config: str | None = None,
    backend: str = "tensorflow",
    **storage: Any,
) -> None:
    """Writes layers, each with its arrays by their own names."""
    with h5py.File(path, "w") as file:
        if config is not None:
            file.attrs["model_config"] = config.encode()
        root = file if config is None else file.create_group("model_weights")
        write_names(root, "layer_names", [layer for layer, _ in layers])
        if version is not None:
            root.attrs["backend"] = backend.encode()
            root.attrs["keras_version"] = version.encode()
        for layer, weights in layers:
            group = root.create_group(layer)
            write_names(group, "weight_names", [name for name, _ in weights])
            for name, array in weights:
                group.create_dataset(name, data=array, **(storage if array.ndim else {}))


def write_names(group: Any, attribute: str, names: Iterable[str]) -> None:
    """Writes an attribute of names, in parts where it is too long for a header."""
    values = np.array([name.encode() for name in names] or np.zeros(0))
    parts = np.array_split(values, -(-values.nbytes // HEADER_LIMIT) or 1)
    for number, part in enumerate(parts):
        group.attrs[attribute if len(parts) == 1 else f"{attribute}{number}"] = part
