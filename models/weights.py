"""Pretrained weights for a backbone: a file with its sidecar, Keras's ImageNet weights, or none."""

import json
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import xxhash

from hdf5_helper.errors import FacetError
from models.backbones.imagenet import load_imagenet
from models.backbones.registry import backbone_named, known_backbone
from models.preprocessing import Preprocessing


@dataclass(frozen=True)
class WeightsFile:
    """What the sidecar `FILE.json` says of a weights file.

    Attributes:
        path: the weights file.
        architecture: registry name of the backbone that it fits, empty where no sidecar says it.
        arguments: the backbone's arguments.
        preprocessing: what the weights want to see, None where no sidecar says it.
        trained_on: what the weights have seen, for model cards.
        holds: arguments of the larger network that the file holds, such as VGG-Face up to `fc7`; empty where it holds
            just the backbone.
    """

    path: Path
    architecture: str = ""
    arguments: dict[str, Any] = field(default_factory=dict)
    preprocessing: Preprocessing | None = None
    trained_on: str = ""
    holds: dict[str, Any] = field(default_factory=dict)

    def digest(self) -> str:
        """Gives the XXH3-128 of the file, hex."""
        hasher = xxhash.xxh3_128()
        with open(self.path, "rb") as file:
            while block := file.read(1 << 22):
                hasher.update(block)
        return hasher.hexdigest()


def read_weights_file(path: Path) -> WeightsFile:
    """Reads the sidecar of a weights file, if there is one.

    Raises:
        FacetError: the file is missing, or its sidecar is no JSON with Facet's keys.
    """
    if not path.is_file():
        raise FacetError(f"weights {path}: no such file, expected imagenet, none or a Keras weights file")
    sidecar = sidecar_of(path)
    if not sidecar.is_file():
        return WeightsFile(path)
    try:
        values = json.loads(sidecar.read_text(encoding="utf-8"))
        preprocessing = Preprocessing.from_dict(values["preprocessing"]) if "preprocessing" in values else None
        more = {name: dict(values.get(name, {})) for name in ("arguments", "holds")}
        trained_on = values.get("trained_on", "")
        return WeightsFile(path, values["architecture"], more["arguments"], preprocessing, trained_on, more["holds"])
    except (ValueError, KeyError, TypeError) as error:
        raise FacetError(f"{sidecar}: expected JSON with architecture, arguments and preprocessing ({error})") from None


def sidecar_of(path: Path) -> Path:
    """Gives where the sidecar of a weights file lies, whether there is one or not."""
    return path.with_name(f"{path.name}.json")


def check_architecture(weights: WeightsFile, backbone: str) -> None:
    """Refuses weights whose sidecar names another backbone."""
    found = weights.architecture
    known = known_backbone(found)
    if found and known != backbone_named(backbone):
        raise FacetError(
            f"weights {weights.path}: made for {found}, but --backbone is {backbone}"
            + ("" if known else f" (and this version has no {found})")
        )


def preprocessing_for(backbone: str, weights: WeightsFile | None) -> Preprocessing:
    """Gives what the weights want to see: their sidecar's word, else the backbone's own."""
    return (weights.preprocessing if weights else None) or backbone_named(backbone).preprocessing


def load_backbone_weights(model: Any, weights: str, backbone: str, arguments: dict[str, Any]) -> None:
    """Loads `--weights` into a fresh backbone.

    Args:
        model: as `build_backbone` gives it.
        weights: `none`, `imagenet` or a file's path.
        backbone: registry name.
        arguments: the backbone's arguments.

    Raises:
        FacetError: the file does not fit.
    """
    if weights == "none":
        return
    if weights == "imagenet":
        load_imagenet(model, backbone, model.input_shape[1:3], arguments)
        return
    file = read_weights_file(Path(weights))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # one line for each layer that does not fit, before the error
            _load_layers(model, file.path) if file.holds else model.load_weights(file.path)
    except Exception as error:  # noqa: BLE001 - Keras raises bare Exception and others here
        reason = " ".join(str(error).split()).partition(". ")[0]
        raise FacetError(f"weights {weights}: do not fit {backbone} with arguments {arguments} ({reason})") from None


def _load_layers(model: Any, path: Path) -> None:
    """Takes the layers of a model, by name, out of a `.weights.h5` of a larger one."""
    with h5py.File(path, "r") as file:
        stored = _layers_in(file)
        for layer in model.layers:
            if layer.weights:
                values = stored.get(layer.name, {})
                layer.set_weights([values[str(place)][()] for place in range(len(values))])


def _layers_in(file: h5py.File) -> dict[str, Any]:
    """Gives the groups of Keras's format in which the layers' arrays lie, called 0, 1, …, by the layers' names."""
    groups: dict[str, Any] = {}

    def note(place: str, item: Any) -> None:
        if place.endswith("/vars") and "name" in item.attrs:
            groups[str(item.attrs["name"])] = item

    file.visititems(note)
    return groups
