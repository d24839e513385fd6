"""The configuration of a Keras 2 model in Keras 3's own form: functions of the JSON that a file holds.

Only what Keras 3 itself gets wrong is translated.
"""

from typing import Any

from models.foreign_layers import refuse_unknown
from models.keras2_operators import layer_of_operator

Entry = dict[str, Any]

_RENAMED = {
    "BatchNormalizationV1": "BatchNormalization",  # TensorFlow 1.13 and 1.14
    "BatchNormalizationV2": "BatchNormalization",
    "SyncBatchNormalization": "BatchNormalization",
}

_ONE_GROUP = frozenset({"groups", "kernel_regularizer", "kernel_constraint"})
_NO_STATE = frozenset({"trainable", "noise_shape"})

#: What Keras 2 wrote of a layer without its meaning anything there, and Keras 3 does not take.
_GONE = {
    **dict.fromkeys(("DepthwiseConv1D", "DepthwiseConv2D", "SeparableConv1D", "SeparableConv2D"), _ONE_GROUP),
    **dict.fromkeys(("Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"), frozenset({"groups"})),
    **dict.fromkeys(("SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D"), _NO_STATE),
    "BatchNormalization": frozenset({"fused", "virtual_batch_size"}),
}


def modern(entry: Entry) -> Entry:
    """Gives a Keras 2 model as `keras.saving.deserialize_keras_object` takes it.

    Args:
        entry: `class_name` and `config` of a Functional ("Model" until TensorFlow 2.3) or Sequential model.
            Initializers are left out, as all weights come from the file. A `/` in a layer's name, which Keras 3
            does not allow, becomes `_`; all other names stay.

    Raises:
        FacetError: a layer that Keras 3 does not have, or has with another meaning; the sentence names no file.
    """
    sequential = entry["class_name"] == "Sequential"
    config = _sequential(entry) if sequential else _functional(entry["config"])
    return {
        "module": "keras",
        "class_name": "Sequential" if sequential else "Model",
        "config": config,
        "registered_name": None,
    }


def one_replica(entry: Entry) -> Entry:
    """Gives the model that `multi_gpu_model` put on each GPU, or the entry itself where it is no such wrapper.

    Such a wrapper cuts the batch into shares with Lambda layers, calls one model on each, and joins the answers along
    the batch: the inner model alone gives the same answers, under the same names.
    """
    if entry["class_name"] == "Sequential":
        return entry
    layers = entry["config"]["layers"]
    inner = [layer for layer in layers if _is_model(layer)]
    shares = [layer for layer in layers if layer["class_name"] == "Lambda"]
    joins = [layer for layer in layers if layer["class_name"] == "Concatenate"]
    inputs = [layer for layer in layers if layer["class_name"] == "InputLayer"]
    if len(inner) != 1 or not joins or len(inner) + len(shares) + len(joins) + len(inputs) != len(layers):
        return entry
    parts = len(inner[0]["inbound_nodes"])
    cut = [(share["config"].get("arguments") or {}).get("parts") for share in shares]
    cuts_batch = cut == [parts] * parts * len(inputs)
    joins_batch = all(join["config"]["axis"] == 0 for join in joins)
    return inner[0] if cuts_batch and joins_batch else entry


def _is_model(entry: Entry) -> bool:
    return entry["class_name"] in {"Model", "Functional", "Sequential"}


def _layers_of(entry: Entry) -> list[Entry]:
    """Gives the layers of a model; until Keras 2.2.2 a Sequential's configuration was their list."""
    config = entry["config"]
    layers: list[Entry] = config if isinstance(config, list) else config["layers"]
    return layers


def _sequential(entry: Entry) -> Entry:
    layers = _layers_of(entry)
    name = entry["config"]["name"] if isinstance(entry["config"], dict) else entry.get("name", "sequential")
    shape = _input_shape(entry)
    translated = [_layer(layer) for layer in layers]
    if shape and layers[0]["class_name"] != "InputLayer":
        first = {"batch_shape": shape, "name": f"{translated[0]['config']['name']}_input"}
        translated.insert(0, {"module": "keras.layers", "class_name": "InputLayer", "config": first})
    return {"name": name, "layers": translated}


def _input_shape(entry: Entry) -> list[int | None] | None:
    """Gives the shape that a layer or model says it takes, or None."""
    if not _is_model(entry):
        shape: list[int | None] | None = _plain(entry["config"].get("batch_input_shape"))
        return shape
    layers = _layers_of(entry)
    return _input_shape(layers[0]) if layers else None


def _functional(config: Entry) -> Entry:
    layers = [layer_of_operator(layer) or layer for layer in config["layers"]]
    names = _allowed_names([layer["name"] for layer in layers])
    first_calls = {layer["name"]: _first_call(layer, layers, config) for layer in layers if _is_model(layer)}

    def reference(found: list[Any]) -> list[Any]:
        name, node, tensor, *arguments = found
        return [names[name], node - first_calls.get(name, 0), tensor, *map(_plain, arguments)]

    def output(found: list[Any]) -> list[Any]:
        # Keras 3 alone counts from 1 here, and for functional models alone
        name, node, tensor = reference(found)
        functional = {names[layer["name"]] for layer in layers if layer["class_name"] in {"Model", "Functional"}}
        return [name, node + (name in functional), tensor]

    def named(layer: Entry) -> Entry:
        translated = _layer(layer)
        translated["config"]["name"] = names[layer["name"]]
        nodes = [[reference(found) for found in _of_node(node)] for node in layer["inbound_nodes"]]
        return {**translated, "name": names[layer["name"]], "inbound_nodes": nodes}

    return {
        "name": config["name"],
        "trainable": config.get("trainable", True),
        "layers": [named(layer) for layer in layers],
        "input_layers": _bare([reference(found) for found in _of_node(config["input_layers"])]),
        "output_layers": _bare([output(found) for found in _of_node(config["output_layers"])]),
    }


def _of_node(node: list[Any]) -> list[list[Any]]:
    """Gives what a call took as a list; Keras 2.4 and later wrote a single tensor by itself."""
    return [node] if node and isinstance(node[0], str) else node


def _bare(tensors: list[Any]) -> list[Any]:
    """Gives a single tensor by itself: Keras 3 would take and give a list of one instead."""
    return tensors[0] if len(tensors) == 1 else tensors


def _first_call(model: Entry, layers: list[Entry], config: Entry) -> int:
    """Gives the number of an inner model's first call, 0 or 1: Keras 2 counted its making too, if that was a call."""
    nodes = [node for layer in layers for node in layer["inbound_nodes"]] + [config["output_layers"]]
    used = [found[1] for node in nodes for found in _of_node(node) if found[0] == model["name"]]
    return int(max(used, default=0) >= len(model["inbound_nodes"]))


def _allowed_names(names: list[str]) -> dict[str, str]:
    allowed: dict[str, str] = {name: name for name in names if "/" not in name}
    for name in names:
        free = name.replace("/", "_")
        while name not in allowed and free in allowed.values():
            free += "_"
        allowed.setdefault(name, free)
    return allowed


def _layer(entry: Entry) -> Entry:
    if _is_model(entry):
        return modern(entry)
    class_name = _RENAMED.get(entry["class_name"]) or str(entry["class_name"])
    refuse_unknown(entry, class_name)
    gone = _GONE.get(class_name, frozenset()) | {"rng_type"}
    config = {
        key: _layer(value) if key in {"layer", "backward_layer"} and value else _plain(value)
        for key, value in entry["config"].items()
        if key not in gone and not key.endswith("_initializer")
    }
    match config.get("axis"):
        case [axis]:
            config["axis"] = axis
    shape = config.pop("batch_input_shape", None)
    if class_name == "InputLayer":
        config = {"batch_shape": shape, "dtype": config.get("dtype"), "name": config["name"]}
    return {"module": "keras.layers", "class_name": class_name, "config": config, "registered_name": None}


def _plain(value: Any) -> Any:
    """Gives a value as Keras 3 writes it: shapes as lists, policies and Keras's own functions as names."""
    match value:
        case {"class_name": "__tuple__" | "TensorShape", "items": inner} | {"type": "ndarray", "value": inner}:
            return _plain(inner)
        case {"class_name": "function", "module": "builtins", "config": str(name)}:
            return name
        case {"class_name": "Policy" | "PolicyV1", "config": {"name": str(name)}}:
            return name
        case list():
            return [_plain(item) for item in value]
        case dict():
            return {key: _plain(item) for key, item in value.items()}
    return value
