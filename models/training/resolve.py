"""From options, --set, sidecar, file and built-in values to the settings of one run: who wins, and who is asked."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hdf5_helper.errors import FacetError, did_you_mean
from hdf5_helper.reading.reader import HDF5Reader
from models.backbones import BACKBONES, backbone_named
from models.heads import heads_for, main_metric
from models.training.settings import Settings, make_settings, setting_names, typed
from models.weights import WeightsFile, check_architecture, read_weights_file

#: Image size where neither an option nor the file says one (seed sizes of AFAD models).
_BUILT_IN_SIZE = (150, 150)


@dataclass(frozen=True)
class Resolved:
    """Settings, and by name where each value came from."""

    settings: Settings
    origins: dict[str, str] = field(default_factory=dict)


def resolve(given: dict[str, Any], sets: dict[str, Any], reader: HDF5Reader) -> Resolved:
    """Settles every choice of a training.

    Precedence: option given > --set > sidecar of the weights file > the HDF5 file's attributes > built-in.

    Args:
        given: options of the command line that the user gave, by setting name.
        sets: `--set key=value` pairs, as YAML values.
        reader: the data file.

    Raises:
        FacetError: an unknown name, an impossible value, or a choice that is asked for (backbone, weights, label).
    """
    for name in sets:
        if name not in setting_names():
            raise FacetError(f"--set {name}: {did_you_mean(name, setting_names())}")
    sets = {name: typed(name, value) for name, value in sets.items()}
    chosen = sets | given
    weights = _weights_file(chosen)
    layers = [
        ("the HDF5 file", _from_file(reader, asked_for_label="label" not in chosen)),
        ("the weights file's sidecar", _from_sidecar(weights)),
        ("--set", sets),
        ("option", given),
    ]
    values = {name: value for _origin, layer in layers for name, value in layer.items()}
    origins = {name: origin for origin, layer in layers for name in layer}
    _ask(values)
    if weights is not None:
        check_architecture(weights, values["backbone"])
    for label in values["label"]:
        if label not in reader.label_names:
            raise FacetError(
                f"--label {label}: {reader.path} does not have it, {did_you_mean(label, reader.label_names)}"
            )
    values |= {"image_size": values.get("image_size", _BUILT_IN_SIZE), "label": tuple(values["label"])}
    if weights is not None:
        values |= {"weights": str(weights.path.absolute())}
    values["weights_digest"] = weights.digest() if weights else values["weights"]
    values["best_metric"] = _best_metric(values.get("best_metric"), values["label"])
    return Resolved(make_settings(values), origins)


def _weights_file(chosen: dict[str, Any]) -> WeightsFile | None:
    weights = chosen.get("weights")
    return None if weights in (None, "none", "imagenet") else read_weights_file(Path(str(weights)))


def _from_sidecar(weights: WeightsFile | None) -> dict[str, Any]:
    if weights is None or not weights.architecture:
        return {}
    return {"backbone": weights.architecture, "backbone_arguments": dict(weights.arguments)}


def _from_file(reader: HDF5Reader, *, asked_for_label: bool) -> dict[str, Any]:
    values: dict[str, Any] = {
        "data": str(reader.path.absolute()),
        "images_digest": reader.images_digest,
        "index_digest": reader.index_digest,
        "fit": reader.fit,
    }
    if reader.image_size is not None:
        values["image_size"] = reader.image_size
    if asked_for_label:
        values["label"] = (_only_label(reader),)
    return values


def _only_label(reader: HDF5Reader) -> str:
    names = reader.label_names
    if "gender" in names:
        return "gender"
    if len(names) != 1:
        raise FacetError(f"--label: {reader.path} has several labels, expected one of {', '.join(sorted(names))}")
    return str(names[0])


def _ask(values: dict[str, Any]) -> None:
    if "backbone" not in values:
        raise FacetError(f"--backbone: none given, expected one of {', '.join(sorted(BACKBONES))}")
    backbone_named(str(values["backbone"]))
    if "weights" not in values:
        raise FacetError("--weights: none given, expected imagenet, none (train from nothing) or a Keras weights file")


def typed_changes(asked: dict[str, Any], label: tuple[str, ...]) -> dict[str, Any]:
    """Gives what a resume asks for anew, in the settings' own types.

    Args:
        asked: options and `--set` pairs, by setting name.
        label: the run's labels.
    """
    for name in asked:
        if name not in setting_names():
            raise FacetError(f"--set {name}: {did_you_mean(name, setting_names())}")
    changes = {name: typed(name, value) for name, value in asked.items()}
    if "best_metric" in changes:
        changes["best_metric"] = _best_metric(changes["best_metric"], label)
    return changes


def _best_metric(asked: str | None, label: tuple[str, ...]) -> str:
    heads = heads_for(label)
    choices = ["val_loss", *(f"val_{head.metric_name}" for head in heads)]
    metric = asked or main_metric(heads)
    metric = metric if metric.startswith("val_") else f"val_{metric}"
    if metric not in choices:
        raise FacetError(f"best_metric {metric!r}: {did_you_mean(metric, choices)}")
    return metric
