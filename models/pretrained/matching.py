"""Finds the array of a weights file for each array of an architecture: by the layers' names, else by their order."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from hdf5_helper.errors import FacetError
from models.pretrained.conversion import converted
from models.pretrained.named_arrays import Array, NamedArrays
from models.pretrained.targets import Target

#: What frameworks call the arrays of a layer, in Keras's words.
_ROLES = {"weight": "kernel", "running_mean": "moving_mean", "running_var": "moving_variance"}
#: A normalisation's factor and offset, which Torch and PyTorch call weight and bias.
_NORMALISATION = {"kernel": "gamma", "bias": "beta"}

#: Beside the weights, in files of PyTorch: how many batches BatchNormalization has seen.
_COUNTER = "num_batches_tracked"

#: Layers that tell apart what a network was trained for; a head takes their place.
_CLASSIFIER = re.compile(r"fc\d*|classifier(\.\d+)?|predictions|conv_preds|head(\.fc)?|logits|prob")

#: What helps where layers are left over, and all else fits.
_HINT = " (--leave-out LAYER leaves out those of an old head)"

#: How many arrays of a kind a sentence names.
_SHOWN = 3

#: Arrays of a layer by role.
_Layer = Mapping[str, Array]


@dataclass(frozen=True)
class Match:
    """What was found for an architecture.

    Attributes:
        arrays: by the targets' names, views to be reshaped to the targets' shapes, see `converted`.
        left_out: the file's layers that are its classifier.
        by_order: whether the order of layers told which is which, not their names.
    """

    arrays: Mapping[str, Array]
    left_out: tuple[str, ...]
    by_order: bool


def match(found: NamedArrays, targets: list[Target], *, plain_chain: bool) -> Match:
    """Gives an array for every target.

    Args:
        found: the file's arrays.
        targets: what the architecture wants, from below.
        plain_chain: whether the order of layers is as good as names, see `is_plain_chain`.

    Raises:
        FacetError: what is missing, left over or of another shape; nothing is guessed.
    """
    layers = _layers(found)
    wanted = list(dict.fromkeys(target.layer for target in targets))
    named = _by_plain_name(layers)
    by_order = not any(_plain(layer) in named for layer in wanted)
    if by_order and not plain_chain:
        raise FacetError(f"no layer is called as this architecture's are, such as {wanted[0]}")
    sources = (
        _in_order(found, list(layers), wanted) if by_order else {name: named.get(_plain(name), "") for name in wanted}
    )
    comparison = _Comparison(found.kernel_axes)
    arrays = {target.name: comparison.taken(target, layers.get(sources[target.layer], {})) for target in targets}
    left_out, spare = _spare(layers, set(sources.values()), named=found.named)
    comparison.spare = [f"{name}.{role}" for name in spare for role in layers[name]]
    comparison.unused = _unused(sources, layers, targets)
    comparison.refuse()
    return Match({name: array for name, array in arrays.items() if array is not None}, left_out, by_order)


@dataclass
class _Comparison:
    """Takes arrays, and collects what does not fit, so that one sentence tells all of it.

    `spare` are arrays of layers that nothing needs, `unused` those of layers that were taken.
    """

    kernel_axes: str
    missing: list[str] = field(default_factory=list)
    spare: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    misshapen: list[str] = field(default_factory=list)

    def taken(self, target: Target, layer: _Layer) -> Array | None:
        array = layer.get(target.role)
        if array is None:
            self.missing.append(target.name)
            return None
        view = converted(array, target, self.kernel_axes)
        if view is None:
            self.misshapen.append(f"{target.name} ({_sides(array.shape)} in the file, {_sides(target.shape)} in Keras)")
        return view

    def refuse(self) -> None:
        """Raises the sentence, if there is anything to tell."""
        left_over = self.spare + self.unused
        told = {"missing": self.missing, "left over": left_over, "of another shape": self.misshapen}
        if any(told.values()):
            hint = _HINT if self.spare and not (self.missing or self.unused or self.misshapen) else ""
            raise FacetError("; ".join(f"{what}: {_listed(names)}" for what, names in told.items() if names) + hint)


def _layers(found: NamedArrays) -> dict[str, dict[str, Array]]:
    """Gives the arrays by layer and Keras's role, in the file's order."""
    layers: dict[str, dict[str, Array]] = {}
    for name, array in found.arrays.items():
        layer, _dot, role = name.rpartition(".")
        if role != _COUNTER:
            layers.setdefault(layer, {})[_ROLES.get(role, role)] = array
    return {name: _in_words_of_keras(layer) for name, layer in layers.items()}


def _in_words_of_keras(layer: dict[str, Array]) -> dict[str, Array]:
    """Gives a layer's arrays under the roles that its kind has in Keras 3."""
    if "moving_mean" in layer:
        return {_NORMALISATION.get(role, role): array for role, array in layer.items()}
    if "depthwise_kernel" in layer and "pointwise_kernel" not in layer:  # what Keras 2 called DepthwiseConv2D's kernel
        return {"kernel" if role == "depthwise_kernel" else role: array for role, array in layer.items()}
    return layer


def _plain(layer: str) -> str:
    """Gives one name for `layer1.0.conv1` and `layer1_0_conv1`, and one for `block1_conv1` and `conv1_1`."""
    plain = re.sub(r"[./-]", "_", layer).lower()
    return re.sub(r"^block(\d+)_conv(\d+)$", r"conv\1_\2", plain)


def _by_plain_name(layers: Mapping[str, _Layer]) -> dict[str, str]:
    """Gives the file's name of each layer by its plain one."""
    named: dict[str, str] = {}
    for name in layers:
        if other := named.get(_plain(name)):
            raise FacetError(f"layers {other} and {name} could be the same, expected one of them")
        named[_plain(name)] = name
    return named


def _in_order(found: NamedArrays, names: list[str], wanted: list[str]) -> dict[str, str]:
    """Pairs the file's layers with those wanted, one by one; what is only numbered goes by its numbers."""
    parts = [name.rpartition(".") for name in names]
    if len({prefix for prefix, _dot, _number in parts}) == 1 and all(number.isdecimal() for _, _dot, number in parts):
        names = sorted(names, key=lambda name: int(name.rpartition(".")[2]))
    elif not found.in_order:
        raise FacetError("layers have other names than this architecture's, and stand in no known order")
    return dict(zip(wanted, names + [""] * len(wanted), strict=False))


def _spare(layers: Mapping[str, _Layer], used: set[str], *, named: bool) -> tuple[tuple[str, ...], list[str]]:
    """Gives the layers that nothing needs: those of the classifier, and all others.

    A classifier has dense layers, or convolutions of 1×1, called so, or behind all others where layers have no names.
    """
    names = list(layers)
    last = max((place for place, name in enumerate(names) if name in used), default=-1)
    spare = [(place, name) for place, name in enumerate(names) if name not in used]
    classifier = [
        name
        for place, name in spare
        if _is_dense(layers[name]) and (_CLASSIFIER.fullmatch(name.lower()) if named else place > last)
    ]
    return tuple(classifier), [name for _place, name in spare if name not in classifier]


def _is_dense(layer: _Layer) -> bool:
    kernel = layer.get("kernel")
    return kernel is not None and (kernel.ndim == 2 or (kernel.ndim == 4 and sorted(kernel.shape)[:2] == [1, 1]))


def _unused(sources: Mapping[str, str], layers: Mapping[str, _Layer], targets: list[Target]) -> list[str]:
    """Gives the arrays of layers that were taken which no target asked for, such as the bias of one without."""
    asked = {(target.layer, target.role) for target in targets}
    pairs = [(layer, name) for layer, name in sources.items() if name]
    return [f"{name}.{role}" for layer, name in pairs for role in layers[name] if (layer, role) not in asked]


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _sides(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "a number"
