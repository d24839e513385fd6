"""Arithmetic that Keras 2 wrote as a `TFOpLambda`, such as `image / 127.5 - 1`, as layers which Keras 3 has."""

from collections.abc import Callable
from typing import Any

Entry = dict[str, Any]

# values and what stands beside them, in this order, as factor and offset of a Rescaling
_WITH_NUMBER: dict[str, Callable[[Any], tuple[Any, Any]]] = {
    "add": lambda number: (1.0, number),
    "subtract": lambda number: (1.0, _each(number, lambda value: -value)),
    "multiply": lambda number: (number, 0.0),
    "truediv": lambda number: (_each(number, lambda value: 1 / value), 0.0),
    "divide": lambda number: (_each(number, lambda value: 1 / value), 0.0),
}
_WITH_TENSOR = {"add": "Add", "subtract": "Subtract", "multiply": "Multiply"}
_OF_ONE: dict[str, tuple[str, Entry]] = {
    "relu": ("ReLU", {}),
    "relu6": ("ReLU", {"max_value": 6.0}),
    "sigmoid": ("Activation", {"activation": "sigmoid"}),
    "softmax": ("Softmax", {}),
}


def layer_of_operator(entry: Entry) -> Entry | None:
    """Gives the layer, with its call, that does what a `TFOpLambda` layer did.

    Args:
        entry: a layer of a Keras 2 functional model, as its JSON has it.

    Returns:
        An entry of Rescaling (to 1e-7 where it divides), Add, Subtract, Multiply, ReLU, Activation or Softmax, of the
        same name; None for any other layer, and for an operator that is none of them.
    """
    if entry["class_name"] != "TFOpLambda" or len(entry["inbound_nodes"]) != 1:
        return None
    operator = entry["config"]["function"].rsplit(".", 1)[-1]
    node = entry["inbound_nodes"][0]
    first, *others = [node] if isinstance(node[0], str) else node
    name, index, tensor, arguments = first
    other = {key: value for key, value in arguments.items() if key != "name" and value is not None}
    if others or name == "_CONSTANT_VALUE":
        return None
    values = [name, index, tensor, {}]
    found = _meaning(operator, values, other)
    if found is None:
        return None
    class_name, config, tensors = found
    shared = {key: entry["config"][key] for key in ("name", "dtype") if key in entry["config"]}
    return {**entry, "class_name": class_name, "config": {**shared, **config}, "inbound_nodes": [tensors]}


def _meaning(operator: str, values: list[Any], other: Entry) -> tuple[str, Entry, list[Any]] | None:
    """Gives class, settings and inputs of the layer, or None."""
    if operator in _OF_ONE and not other:
        return (*_OF_ONE[operator], [values])
    if set(other) != {"y"}:
        return None
    beside = other["y"]
    if _is_number(beside) and operator in _WITH_NUMBER:
        scale, offset = _WITH_NUMBER[operator](beside)
        return "Rescaling", {"scale": scale, "offset": offset}, [values]
    if not _is_number(beside) and operator in _WITH_TENSOR:
        return _WITH_TENSOR[operator], {}, [values, [*beside, {}]]
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) or (
        isinstance(value, list) and all(isinstance(v, int | float) for v in value)
    )


def _each(number: Any, change: Callable[[float], float]) -> Any:
    return [change(value) for value in number] if isinstance(number, list) else change(number)
