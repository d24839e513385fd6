"""A `.keras` file with Facet's own members: plain Keras opens it, and it says what its model is for."""

import json
import zipfile
from pathlib import Path
from typing import Any

from hdf5_helper.atomic import written_whole
from hdf5_helper.errors import FacetError
from models.description import ModelDescription, Output

#: Zip members that Facet adds to a `.keras` file; Keras ignores members it does not know.
DESCRIPTION_MEMBER = "facet/description.json"


def read_description(path: Path) -> ModelDescription | None:
    """Gives the description inside a `.keras` file, or None where a program other than Facet wrote it."""
    try:
        with zipfile.ZipFile(path) as archive:
            if DESCRIPTION_MEMBER not in archive.namelist():
                return None
            return ModelDescription.from_dict(json.loads(archive.read(DESCRIPTION_MEMBER)))
    except zipfile.BadZipFile:
        raise FacetError(f"{path}: not a .keras file (a zip archive that Keras or Facet wrote)") from None


def save_model_file(model: Any, description: ModelDescription, path: Path) -> None:
    """Writes a model as a `.keras` file that says what it is for, whole or not at all.

    Args:
        model: keras.Model.
        description: of it.
        path: ends in `.keras`; a file there is replaced.
    """
    with written_whole(path) as part:
        model.save(part)
        with zipfile.ZipFile(part, "a") as archive:
            archive.writestr(DESCRIPTION_MEMBER, json.dumps(description.to_dict()))


def load_model_file(path: Path) -> tuple[Any, ModelDescription]:
    """Loads a `.keras` file, or a Keras `.h5`, and its description.

    Returns:
        The keras.Model (not compiled), and its description; for a file without one, the description that the
        model's own shapes and output names give.
    """
    import keras

    if not path.is_file():
        raise FacetError(f"{path}: no such file, expected a Keras model")
    described = read_description(path) if path.suffix == ".keras" else None
    try:
        model = keras.models.load_model(path, compile=False)
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise FacetError(f"{path}: Keras cannot load this model: {reason}") from error
    return model, described or describe(model)


def describe(model: Any) -> ModelDescription:
    """Gives what can be told of a Keras model by itself: outputs by name and image size; RGB 0–255 is assumed."""
    height, width = model.input_shape[1:3]
    outputs = tuple(Output(name, _activation(model, name)) for name in model.output_names)
    return ModelDescription(outputs=outputs, image_size=(height or 0, width or 0), backbone=model.name)


def _activation(model: Any, name: str) -> str:
    try:
        return str(getattr(model.get_layer(name).activation, "__name__", "linear"))
    except (ValueError, AttributeError):
        return "linear"
