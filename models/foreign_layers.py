"""Layers in a file that Keras does not know, or that would run what the file brings: they are refused by name."""

from collections.abc import Iterator
from typing import Any

from hdf5_helper.errors import FacetError

Entry = dict[str, Any]

#: Layers of Keras that run code or graphs which a file brings along.
_RUNS_CODE = frozenset({"Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer"})


def foreign_layer(value: Any) -> FacetError | None:
    """Gives the sentence about a model's first layer that is not Keras's own or runs code, or None.

    Args:
        value: any part of the JSON of a Keras 2 or Keras 3 model.
    """
    for entry in _entries(value):
        module = str(entry.get("module") or "keras")
        registered = not entry.get("module") and entry.get("registered_name")  # as in a class of the user's own
        elsewhere = module.split(".", maxsplit=1)[0] not in {"keras", "builtins"}
        foreign = (elsewhere or registered) and isinstance(entry["config"], dict)
        if foreign or entry["class_name"] in _RUNS_CODE:
            return _refusal(entry)
    return None


def refuse_unknown(entry: Entry, class_name: str) -> None:
    """Looks a Keras 2 layer up among Keras 3's.

    Args:
        entry: of the layer, as the file's JSON has it.
        class_name: its class in Keras 3.

    Raises:
        FacetError: Keras 3 has no such class, or it runs code that a file brings, or it has an activation that changed.
    """
    import keras

    known = isinstance(getattr(keras.layers, class_name, None), type) and class_name not in _RUNS_CODE
    if not known or entry.get("registered_name") or not str(entry.get("module", "keras")).startswith("keras"):
        raise _refusal(entry)
    for key, value in entry["config"].items():
        if key.endswith("activation") and "hard_sigmoid" in (value, isinstance(value, dict) and value.get("config")):
            raise FacetError(
                f"layer {entry['config']['name']!r} uses hard_sigmoid, which was 0.2·x + 0.5 in Keras 2 and is x/6 + "
                "0.5 in Keras 3: build the model again in Python with a function of your own"
            )


def _entries(value: Any) -> Iterator[Entry]:
    if isinstance(value, dict):
        if "class_name" in value and "config" in value:
            yield value
        value = list(value.values())
    for item in value if isinstance(value, list) else ():
        yield from _entries(item)


def _refusal(entry: Entry) -> FacetError:
    name = entry.get("name") or entry["config"].get("name")
    code = entry["class_name"] in _RUNS_CODE | {"TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer"}
    reason = "brings code of its own, which is never run from a file" if code else "is not one of Keras 3"
    operator = entry["config"].get("function")
    of = f" ({operator})" if entry["class_name"] == "TFOpLambda" else ""
    return FacetError(
        f"layer {name!r} of class {entry['class_name']}{of} {reason}: load the model in Python, with custom_objects "
        "where it has classes of its own, and pass it to models.export.export_model"
    )
