"""Values of YAML files and options, brought to the types of the fields that they are for."""

import typing
from typing import Any


def as_kind(kind: Any, value: Any) -> Any:
    """Gives `value` as `kind`; raises TypeError or ValueError where it is something else."""
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin is tuple and isinstance(value, list | tuple):
        kinds = [parts[0]] * len(value) if parts[-1] is Ellipsis else parts
        return tuple(as_kind(part, item) for part, item in zip(kinds, value, strict=True))
    if origin is dict and isinstance(value, dict):
        return {as_kind(parts[0], key): as_kind(parts[1], item) for key, item in value.items()}
    if kind is Any:
        return value
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind is float and (is_number or isinstance(value, str)):
        return float(value)  # YAML 1.1 takes 1e-3 for text
    if kind is str and is_number:
        return str(value)
    if not isinstance(value, origin or kind) or (kind is int and not is_number):
        raise TypeError
    return value


def kind_name(kind: Any) -> str:
    """Gives a type as an error sentence names it."""
    return str(getattr(kind, "__name__", kind)) if typing.get_origin(kind) is None else str(kind)
