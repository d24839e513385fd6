"""What a backbone's arguments may be: their names and kinds, as the function that builds it declares them."""

import inspect
from numbers import Integral, Real
from typing import Any

from hdf5_helper.errors import did_you_mean
from models.backbones.registry import Backbone

#: Arguments that are never the user's: Facet gives them itself, or they are no text.
_OURS = {"name", "input_shape", "input_tensor", "include_top", "weights"}


def check_arguments(backbone: Backbone, arguments: dict[str, Any]) -> None:
    """Refuses arguments that a backbone does not take, or takes only of another kind.

    Args:
        backbone: its defaults tell the kinds; one without a default of a kind, such as `pooling`, takes all.
        arguments: the user's, such as `{"alpha": 0.5}`.

    Raises:
        TypeError: which argument, what was found and what was expected, as `Backbone.build` raises it of the rest.
    """
    import keras

    build = backbone.builder or getattr(keras.applications, backbone.application)
    known = inspect.signature(build).parameters
    choices = known.keys() - _OURS - backbone.fixed.keys()
    for name, value in arguments.items():
        if name not in choices:
            raise TypeError(f"no argument {name!r}, {did_you_mean(str(name), choices)}")
        if expected := _expected_instead(value, known[name].default):
            raise TypeError(f"{name} is {value!r}, expected {expected}")


def _expected_instead(value: Any, default: Any) -> str:
    """Gives what was expected in place of `value`; nothing where it is of the default's kind."""
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    match default:
        case bool():
            return "" if isinstance(value, bool) else "true or false"
        case int():
            return "" if is_number and isinstance(value, Integral) else "a whole number"
        case float():
            return "" if is_number else "a number"
        case str():
            return "" if isinstance(value, str) else "a word"
        case (first, *_):
            fits = isinstance(value, list | tuple) and not any(_expected_instead(part, first) for part in value)
            return "" if fits else "a list such as " + repr(list(default))
    return ""
