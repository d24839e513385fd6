"""Networks with random weights as other frameworks would store them: what importers must bring back unchanged."""

import numpy as np

from models.backbones.registry import backbone_named
from models.pretrained.named_arrays import NamedArrays
from models.pretrained.targets import abstract_network, targets_of

#: VGG-Face a sixteenth as wide.
NARROW = {"output": "fc7", "width": 1 / 16}


def random_arrays(targets, seed=0):
    """Gives float32 arrays by `LAYER.ROLE` in Keras's shapes; variances are positive."""
    rng = np.random.default_rng(seed)
    found = {}
    for target in targets:
        values = rng.normal(0, 0.5, target.shape).astype(np.float32)
        found[target.name] = np.abs(values) + 0.5 if target.role in ("moving_variance", "gamma") else values
    return found


def keras_targets(architecture, arguments):
    """Gives what an architecture wants of a file."""
    return targets_of(abstract_network(backbone_named(architecture), arguments))


def channels_first(targets, arrays):
    """Gives [(layer, {role: array})] as Torch7, Caffe and PyTorch have them: (out, in, height, width), (out, in)."""
    layers = {}
    for target in targets:
        array = arrays[target.name]
        if target.role == "kernel" and array.ndim == 4:
            array = array.transpose(3, 2, 0, 1)
        elif target.role == "kernel":
            height, width, channels = target.feature_map or (1, 1, target.shape[0])
            array = array.reshape(height, width, channels, -1).transpose(3, 2, 0, 1).reshape(array.shape[::-1])
        layers.setdefault(target.layer, {})[target.role] = np.ascontiguousarray(array)
    return list(layers.items())


def in_words(layers):
    """Gives the same layers with roles as Torch7, Caffe and PyTorch call them."""
    words = {"kernel": "weight", "gamma": "weight", "beta": "bias"}
    words |= {"moving_mean": "running_mean", "moving_variance": "running_var"}
    return [(name, {words.get(role, role): array for role, array in layer.items()}) for name, layer in layers]


def torchvision_layers(targets, arrays):
    """Gives ResNeXt50's layers as torchvision names them, their arrays as PyTorch has them."""
    layers = in_words(channels_first(targets, arrays))
    return [(name.replace("_", ".") if name.startswith("layer") else name, layer) for name, layer in layers]


def channels_last(layers, targets):
    """Gives layers as MatConvNet has them: kernels (h, w, in, out), dense layers as convolutions over all they see."""
    maps = {target.layer: target.feature_map for target in targets if target.feature_map}
    found = []
    for name, layer in layers:
        weight = layer["weight"]
        if weight.ndim == 2:
            height, width, channels = maps.get(name, (1, 1, weight.shape[1]))
            weight = weight.reshape(len(weight), channels, height, width)
        found.append((name, {"weight": weight.transpose(2, 3, 1, 0), "bias": layer["bias"]}))
    return found


def foreign_layers(architecture, arguments, *, last):
    """Gives all layers of VGG-Face or ResNeXt50 with random weights, output channels first, or last as MatConvNet's."""
    targets = keras_targets(architecture, {"output": "fc7"} | arguments if architecture == "vggface" else arguments)
    arrays = {name: array / 8 for name, array in random_arrays(targets).items()}
    layers = torchvision_layers(targets, arrays)
    return channels_last(layers, targets) if last else layers


def named(layers, axes="OIHW", **more):
    """Gives NamedArrays of [(layer, {role: array})]."""
    arrays = {f"{layer}.{role}": array for layer, found in layers for role, array in found.items()}
    return NamedArrays("test", arrays, axes, **more)


def assert_same(arrays, wanted):
    """Compares arrays by name: the same ones in the same order, with the same bits of the same type."""
    assert list(arrays) == list(wanted)
    for name, array in wanted.items():
        np.testing.assert_array_equal(arrays[name], array, strict=True)
