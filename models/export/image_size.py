"""A model for images of another size, with the same weights."""

from typing import Any

from hdf5_helper.errors import FacetError
from models.foreign_layers import foreign_layer

Size = tuple[int | None, ...]


def at_image_size(model: Any, image_size: tuple[int, int]) -> Any:
    """Gives a model's twin for another image size.

    Args:
        model: keras.Model of one input (N, H, W, 3), functional; nested models inside it too.
        image_size: (height, width) that the twin takes.

    Returns:
        The model itself where it has that size already.

    Raises:
        FacetError: the model is not fully convolutional: its weights fit one size alone; or it has layers that
            cannot be made anew.
    """
    import keras

    found = tuple(model.inputs[0].shape[1:3])
    if found == image_size:
        return model
    config = _resized(keras.saving.serialize_keras_object(model), found, image_size)
    try:
        twin = keras.saving.deserialize_keras_object(config)
        twin.set_weights(model.get_weights())
    except (ValueError, TypeError) as error:
        raise foreign_layer(config) or FacetError(
            f"the model was trained at {found[0]}x{found[1]} and is not fully convolutional, expected one trained with"
            f" --image-size {image_size[0]}x{image_size[1]}"
        ) from error
    return twin


def _resized(config: Any, found: Size, wanted: Size) -> Any:
    """Gives a model's configuration with input layers of another size, nested ones too; layers forget what they saw."""
    if isinstance(config, list | tuple):
        return type(config)(_resized(value, found, wanted) for value in config)
    if not isinstance(config, dict):
        return config
    values = {key: _resized(value, found, wanted) for key, value in config.items() if key != "build_config"}
    shape = values["config"].get("batch_shape") if values.get("class_name") == "InputLayer" else None
    if shape and tuple(shape[1:3]) == found:
        values["config"]["batch_shape"] = (shape[0], *wanted, *shape[3:])
    return values
