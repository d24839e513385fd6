"""A `.keras` file with Facet's own members: plain Keras opens it, and it says what its model is for."""

import json
import re
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from hdf5_helper.atomic import written_whole
from hdf5_helper.errors import FacetError
from models.backbones.grouped import group_natively
from models.description import ModelDescription, output_named
from models.foreign_layers import foreign_layer
from models.keras2_file import load_keras2_file, reason_of

#: Zip members that Facet adds to a `.keras` file; Keras ignores members it does not know.
DESCRIPTION_MEMBER = "facet/description.json"

_NO_MEMBERS: Mapping[str, object] = MappingProxyType({})


def read_description(path: Path) -> ModelDescription | None:
    """Gives the description inside a `.keras` file, or None where a program other than Facet wrote it."""
    try:
        with zipfile.ZipFile(path) as archive:
            if DESCRIPTION_MEMBER not in archive.namelist():
                return None
            return ModelDescription.from_dict(json.loads(archive.read(DESCRIPTION_MEMBER)))
    except (zipfile.BadZipFile, zlib.error):
        raise FacetError(f"{path}: not a .keras file (a zip archive that Keras or Facet wrote)") from None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise FacetError(f"{path}: the description that Facet put into it is damaged ({reason})") from None


def save_model_file(
    model: Any, description: ModelDescription, path: Path, *, members: Mapping[str, object] = _NO_MEMBERS
) -> None:
    """Writes a model as a `.keras` file that says what it is for, whole or not at all.

    Args:
        model: keras.Model.
        description: of it.
        path: ends in `.keras`; a file there is replaced.
        members: what else goes into the archive: values that JSON can hold, by member name.

    Raises:
        OSError, RuntimeError, ValueError: as Keras and the file system raise them, such as for a full disk.
    """
    values = {DESCRIPTION_MEMBER: description.to_dict(), **members}
    with written_whole(path) as part:
        model.save(part)
        with zipfile.ZipFile(part, "a") as archive:
            for name, value in values.items():
                archive.writestr(name, json.dumps(value))


def load_model_file(path: Path) -> tuple[Any, ModelDescription]:
    """Loads a `.keras` file, or a `.h5` of Keras 2 or 3, and its description.

    Returns:
        The keras.Model (not compiled), and its description; for a file without one, the description that the
        model's own shapes and output names give.

    Raises:
        FacetError: no such file, one that Keras cannot load, or a model of something else than images that does not
            describe itself.
    """
    try:
        if not path.is_file():
            raise FacetError(f"{path}: no such file, expected a Keras model")
        if path.suffix in {".h5", ".hdf5"}:
            model, described = load_keras2_file(path), None
        else:
            described = read_description(path) if path.suffix == ".keras" else None
            model = _load(path)
    except OSError as error:
        raise FacetError(f"{path}: cannot be read ({error.strerror or error}), expected a Keras model") from error
    return model, described or describe(model, str(path))


def _load(path: Path) -> Any:
    import keras

    try:
        return group_natively(keras.models.load_model(path, compile=False))
    except Exception as error:
        known = _why_not(path) if path.suffix == ".keras" else None
        raise FacetError(f"{path}: {known or f'Keras cannot load this model: {reason_of(error)}'}") from error


def _why_not(path: Path) -> str | None:
    """Gives what keeps Keras from loading a `.keras` file: damage, a newer Keras, a layer; None for anything else."""
    import keras

    with zipfile.ZipFile(path) as archive:
        missing = {"metadata.json", "config.json", "model.weights.h5"} - set(archive.namelist())
        try:
            damaged = archive.testzip()
        except zlib.error:
            damaged = "one of its members"
        if missing or damaged:
            found = f"it has no {min(missing)}" if missing else f"{damaged} does not match its checksum"
            return f"this .keras file is damaged ({found})"
        version = json.loads(archive.read("metadata.json"))["keras_version"]
        foreign = foreign_layer(json.loads(archive.read("config.json")))
    if foreign:
        return str(foreign)
    theirs, ours = (tuple(map(int, re.findall(r"\d+", text)[:2])) for text in (version, keras.__version__))
    return f"Keras {version} wrote it, and Keras {keras.__version__} cannot load it" if theirs > ours else None


def describe(model: Any, name: str) -> ModelDescription:
    """Gives what can be told of a Keras model by itself: outputs by name and image size; RGB 0–255 is assumed.

    Args:
        model: keras.Model with one input (N, H, W, 3); a side that is not fixed becomes 0.
        name: of its file, for the error.

    Raises:
        FacetError: the model takes something else.
    """
    shapes = [tuple(tensor.shape) for tensor in getattr(model, "inputs", ())]
    if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][3] != 3:
        found = ", ".join(map(str, shapes)) or "inputs of unknown shape"
        raise FacetError(f"{name}: the model takes {found}, expected one colour image (None, H, W, 3)")
    _batch, height, width, _channels = shapes[0]
    outputs = tuple(output_named(label, _activation(model, layer)) for label, layer in _outputs(model).items())
    return ModelDescription(outputs=outputs, image_size=(height or 0, width or 0), backbone=model.name)


def _outputs(model: Any) -> dict[str, str]:
    """Gives the name of each output's layer by label: the keys of a dict of outputs, else the layers' own names."""
    import keras

    # Sequential has neither of the two once it is loaded
    layers = list(getattr(model, "output_names", ())) or [model.layers[-1].name]
    structure = getattr(model, "output", None)
    labels = keras.tree.flatten({key: key for key in structure}) if isinstance(structure, Mapping) else layers
    return dict(zip(labels, layers, strict=True))


def _activation(model: Any, layer: str) -> str:
    try:
        return str(getattr(model.get_layer(layer).activation, "__name__", "linear"))
    except (ValueError, AttributeError):
        return "linear"
