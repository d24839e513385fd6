"""Keras 2's `.h5` models in Keras 3, their layers' code never run."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py

from hdf5_helper.errors import FacetError
from hdf5_helper.storage import file_format
from models.foreign_layers import foreign_layer
from models.keras2_config import modern, one_replica


def load_keras2_file(path: Path) -> Any:
    """Loads a whole model out of an HDF5 file that Keras 2 or Keras 3 wrote.

    A wrapper that `multi_gpu_model` made is left out: the model inside it, with its weights and output names, is given.
    Layers keep their names, but for a `/`, which becomes `_`. Losses, metrics and the optimizer's state are not read.

    Args:
        path: `.h5` or `.hdf5`.

    Returns:
        keras.Model, not compiled.

    Raises:
        FacetError: the file cannot be read or is no whole Keras model, or it has a layer that is not one of Keras 3 or
            brings code of its own.
    """
    try:
        with h5py.File(path, "r") as file:
            text, version = _configuration(file)
    except OSError as error:
        raise FacetError(f"{path}: {_unreadable(error)}, expected a Keras model") from error
    except FacetError as error:
        raise FacetError(f"{path}: {error}") from None
    try:
        model = _of_keras3(path, text) if version.startswith("3") else _of_keras2(path, text)
    except FacetError as error:
        raise FacetError(f"{path}: {error}") from None
    except Exception as error:
        raise FacetError(f"{path}: Keras cannot load this model: {reason_of(error)}") from error
    _finish(model)
    return model


def reason_of(error: Exception) -> str:
    """Gives the part of an error of Keras that says why, in one line of at most 300 characters."""
    text = str(error).strip() or type(error).__name__
    # Keras puts the whole configuration before this
    _before, _mark, cause = text.rpartition("Exception encountered: ")
    line = (cause or text).strip().splitlines()[0]
    return line if len(line) <= 300 else f"{line[:297]}..."


def _unreadable(error: OSError) -> str:
    if error.errno is not None:
        return f"cannot be read ({error.strerror or error})"
    if "truncated" in str(error):
        return "this HDF5 file is cut short"
    return "not an HDF5 file" if "signature" in str(error) else f"this HDF5 file is damaged ({reason_of(error)})"


def _configuration(file: h5py.File) -> tuple[str, str]:
    """Gives the model's JSON and the version of Keras that wrote it."""
    text = _text(file.attrs.get("model_config"))
    if text is not None:
        # the first Keras did not write its version
        version = _text(file.attrs.get("keras_version")) or "1"
        if version.startswith("1"):
            raise FacetError(
                "a model of Keras 1, expected one of Keras 2 or 3: load it with Keras 2.2 and save it again"
            )
        return text, version
    if _text(file.attrs.get(file_format.ATTRIBUTE_FORMAT)) == file_format.FORMAT:
        raise FacetError("a data set that Facet packed, expected a Keras model")
    if "layer_names" in file.attrs or {"model_weights", "layers", "_layer_checkpoint_dependencies"} & set(file):
        raise FacetError(
            "holds weights alone, expected a whole model: build the model in Python, call its load_weights on this "
            "file and save it as a .keras file"
        )
    raise FacetError("an HDF5 file of another program, expected a Keras model")


def _text(value: Any) -> str | None:
    return value.decode() if isinstance(value, bytes) else value if isinstance(value, str) else None


def _of_keras3(path: Path, text: str) -> Any:
    import keras

    foreign = foreign_layer(json.loads(text))
    if foreign:
        raise foreign
    return keras.models.load_model(path, compile=False)


def _of_keras2(path: Path, text: str) -> Any:
    import keras

    entry = json.loads(text)
    chosen = one_replica(entry)
    model = keras.saving.deserialize_keras_object(modern(chosen), safe_mode=True)
    # the file's weights of an inner model are those of one layer
    outer = model if chosen is entry else keras.Model(model.inputs, model(model.inputs))
    with tempfile.TemporaryDirectory() as folder:
        # Keras tells Keras 2's layout from its own by the name, and "best.weights.h5" may hold either
        link = Path(folder) / "model.h5"
        link.symlink_to(path.resolve())
        outer.load_weights(link)
    return model


def _finish(model: Any) -> None:
    """Lets each Normalization inside of inner models take its loaded mean: Keras does so for outer layers alone."""
    for layer in _layers(model):
        if hasattr(layer, "finalize_state"):
            layer.finalize_state()


def _layers(model: Any) -> Iterator[Any]:
    for layer in model.layers:
        yield layer
        if hasattr(layer, "layers"):
            yield from _layers(layer)
