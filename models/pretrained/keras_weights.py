"""Writes arrays as Keras's own `.weights.h5`, a slab at a time: a network of half a gigabyte is never in memory."""

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from hdf5_helper.errors import FacetError
from models.pretrained.named_arrays import Array
from models.pretrained.targets import Target, layers_with_variables, own_variables, targets_of

#: Bytes that are converted and written at once.
_SLAB = 1 << 24


def write_keras_weights(model: Any, arrays: Mapping[str, Array], path: Path) -> None:
    """Writes a file that `keras.Model.load_weights` reads.

    Keras itself lays out a small file, with the number of each array for its values, and that is copied with the values
    in place of the numbers. So the layout is the installed Keras's, and the model's variables need no memory.

    Args:
        model: as `abstract_network` gives it.
        arrays: by `LAYER.ROLE`, each reshapable to its variable's shape.
        path: of an HDF5 file, replaced.

    Raises:
        FacetError: values that are not finite.
    """
    targets = targets_of(model)
    with tempfile.TemporaryDirectory() as folder:
        layout = Path(folder) / "layout.weights.h5"
        _save_numbers(model, layout)
        with h5py.File(layout, "r") as laid_out, h5py.File(path, "w") as file:
            file.attrs.update(laid_out.attrs)
            laid_out.visititems(lambda name, item: _copy(name, item, file, targets, arrays))


def _save_numbers(model: Any, layout: Path) -> None:
    first = 0
    for layer in layers_with_variables(model):
        last = first + len(own_variables(layer))
        layer.save_own_variables = _numbering(range(first, last))
        first = last
    model.save_weights(layout)


def _numbering(numbers: range) -> Callable[[Any], None]:
    """Gives what replaces a layer's `save_own_variables`, Keras's hook for what it stores."""

    def save(store: Any) -> None:
        for place, number in enumerate(numbers):
            store[str(place)] = np.int64(number)

    return save


def _copy(
    name: str, item: h5py.Group | h5py.Dataset, file: h5py.File, targets: list[Target], arrays: Mapping[str, Array]
) -> None:
    if isinstance(item, h5py.Group):
        file.require_group(name).attrs.update(item.attrs)
        return
    target = targets[int(item[()])]
    _fill(file.create_dataset(name, target.shape, np.float32), arrays[target.name], target.name)


def _fill(dataset: h5py.Dataset, array: Array, name: str) -> None:
    """Writes slabs along the array's first axis, which holds a whole number of the data set's rows."""
    rows = dataset.shape[0] // array.shape[0]
    step = max(1, _SLAB // (array[:1].size * 4))
    for start in range(0, array.shape[0], step):
        with np.errstate(over="ignore"):  # what is too large for float32 becomes infinite, and is refused
            slab = np.ascontiguousarray(array[start : start + step], np.float32)
        if not np.isfinite(slab).all():
            raise FacetError(f"{name} holds values that are not finite in float32, expected a trained network's")
        dataset[start * rows : (start + len(slab)) * rows] = slab.reshape(-1, *dataset.shape[1:])
