"""Where a backbone can be cut in two: layers through which every path from the images to the features goes."""

from typing import Any


def cut_points(model: Any) -> tuple[str, ...]:
    """Gives the names of the layers that every path from the inputs to the outputs goes through, from below.

    The input layer is one, where there is one alone. A layer that is used more than once is none.

    Args:
        model: a functional or sequential keras.Model; a nested model in it counts as one layer.
    """
    nodes = _nodes(model)
    place = {id(node): number for number, node in enumerate(nodes)}
    reach = _reach(model, nodes, place)
    layers = set(_graph(model).layers)
    uses = [node.operation for node in nodes]
    # All ancestors of a node stand before it. It is on every path where no value jumps over it.
    furthest, found = max((place[id(node)] for node in nodes if not node.parent_nodes), default=0), []
    for number, node in enumerate(nodes):
        layer = node.operation
        if furthest <= number and layer in layers and uses.count(layer) == 1:
            found.append(str(layer.name))
        furthest = max(furthest, reach[number])
    return tuple(found)


def _nodes(model: Any) -> list[Any]:
    """Gives the calls that the graph is made of, each behind all those whose values it takes."""
    by_depth = _graph(model)._nodes_by_depth  # noqa: SLF001 - Keras has no public walk through its graph
    return [node for depth in sorted(by_depth, reverse=True) for node in by_depth[depth]]


def _graph(model: Any) -> Any:
    """Gives the functional model that a sequential one keeps inside, or the model itself."""
    return getattr(model, "_functional", None) or model


def _reach(model: Any, nodes: list[Any], place: dict[int, int]) -> list[int]:
    """Gives for each call the place of the last one that takes its value; outputs reach behind all."""
    reach = list(range(len(nodes)))
    for number, node in enumerate(nodes):
        for parent in node.parent_nodes:
            reach[place[id(parent)]] = max(reach[place[id(parent)]], number)
    for tensor in model.outputs:
        history = tensor._keras_history  # noqa: SLF001 - the same
        reach[place[id(history.operation._inbound_nodes[history.node_index])]] = len(nodes)  # noqa: SLF001 - the same
    return reach


def cut_below(model: Any, first_trained: str | int) -> str:
    """Gives the layer to cut at: what it gives changes in no training, and can be computed once for each image.

    Args:
        model: the backbone.
        first_trained: the lowest layer that trains, by name or by its place in `model.layers`; a place behind the last
            where none does.

    Returns:
        The highest cut point at or below that layer; that layer itself only if it has no weights. Frozen layers between
        the cut and the first trained one have to be computed live. It never parts a convolution, a dense layer or a
        normalization from the BatchNormalization or activation behind it: TensorFlow computes these as one, and apart
        with other last digits.
    """
    names = [layer.name for layer in model.layers]
    first = names.index(first_trained) if isinstance(first_trained, str) else first_trained
    if first < len(names) and not model.layers[first].weights:
        first += 1
    entrance, *others = cut_points(model)
    whole = _computed_with_the_next(model)
    return [entrance, *(name for name in others if name in names[:first] and name not in whole)][-1]


def _computed_with_the_next(model: Any) -> set[str]:
    """Gives the names of the layers that TensorFlow computes as one with a layer that takes their values."""
    import keras

    layers = keras.layers
    dense = layers.Dense, layers.EinsumDense
    convolutions = layers.Conv1D, layers.Conv2D, layers.Conv3D, layers.DepthwiseConv2D, layers.SeparableConv2D
    first = (*dense, *convolutions, layers.BatchNormalization, layers.LayerNormalization)
    activations = layers.Activation, layers.ReLU, layers.LeakyReLU, layers.PReLU, layers.ELU, layers.Softmax
    return {
        str(parent.operation.name)
        for node in _nodes(model)
        for parent in node.parent_nodes
        if isinstance(node.operation, (layers.BatchNormalization, *activations)) and isinstance(parent.operation, first)
    }
