"""From options, --set, sidecar, file and built-in values to the settings of one run: who wins, and who is asked."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hdf5_helper.errors import FacetError, did_you_mean
from hdf5_helper.reading.reader import HDF5Reader
from models.backbones import BACKBONES, backbone_named
from models.heads import heads_for, main_metric
from models.training.phase import FINE_TUNING
from models.training.setting_names import for_both_phases
from models.training.settings import Settings, flat, make_settings, setting_names, typed
from models.training.starting import Start
from models.weights import WeightsFile, check_architecture, read_weights_file

#: Image size where neither an option nor the file says one (seed sizes of AFAD models).
_BUILT_IN_SIZE = (150, 150)

#: What a run does not take from the one that it starts from.
_OWN = ("data", "images_digest", "index_digest", "start", "start_digest")


@dataclass(frozen=True)
class Resolved:
    """Settings, and by name where each value came from."""

    settings: Settings
    origins: dict[str, str] = field(default_factory=dict)


def resolve(given: dict[str, Any], sets: dict[str, Any], reader: HDF5Reader, start: Start | None = None) -> Resolved:
    """Settles every choice of a training.

    Precedence: option given > --set > run that it starts from > sidecar of the weights file > the HDF5 file's
    attributes > built-in. The name of one phase's setting beats the name for both.

    Args:
        given: options of the command line that the user gave, by setting name.
        sets: `--set key=value` pairs, as YAML values.
        reader: the data file.
        start: checkpoint of another run to start from.

    Raises:
        FacetError: an unknown name, an impossible value, or a choice that is asked for (backbone, weights, label).
    """
    sets = _typed_sets(sets)
    options = {name: value for name, value in for_both_phases(given).items() if name in given or name not in sets}
    chosen = for_both_phases(sets) | options
    weights = None if start else _weights_file(chosen)
    layers = [
        ("the HDF5 file", _from_file(reader, asked_for_label=not start and "label" not in chosen)),
        ("the weights file's sidecar", _from_sidecar(weights)),
        *([(f"run {start.run.name}", _from_start(start, chosen))] if start else []),
        ("--set", for_both_phases(sets)),
        ("option", options),
    ]
    values: dict[str, Any] = {"image_size": _BUILT_IN_SIZE, "precision": "auto"}
    values |= {name: value for _origin, layer in layers for name, value in layer.items()}
    origins = {name: origin for origin, layer in layers for name in layer}
    if start is None:
        _ask(values)
    values |= {"weights": start.settings.weights} if start else _settled_weights(weights, values)
    _check_labels(reader, values["label"])
    values["best_metric"] = _best_metric(values.get("best_metric"), tuple(values["label"]))
    return Resolved(make_settings(values), origins)


def settled_precision(asked: str, devices_have_bfloat16: bool) -> str:
    """Gives `float32` or `mixed_bfloat16` for a setting that may be `auto`.

    Args:
        asked: the setting.
        devices_have_bfloat16: the run is on GPUs that compute it natively.
    """
    if asked != "auto":
        return asked
    return "mixed_bfloat16" if devices_have_bfloat16 else "float32"


def _typed_sets(sets: dict[str, Any]) -> dict[str, Any]:
    for name in sets:
        if name not in setting_names():
            raise FacetError(f"--set {name}: {did_you_mean(name, setting_names())}")
    return {name: typed(name, value) for name, value in sets.items()}


def _from_start(start: Start, chosen: dict[str, Any]) -> dict[str, Any]:
    """Gives the settings of the run that a checkpoint belongs to, but for its data and its own beginnings.

    A checkpoint of fine-tuning has its warm-up behind it.
    """
    start.check_shape(chosen)
    values = {name: value for name, value in flat(start.settings).items() if name not in _OWN}
    if start.phase == FINE_TUNING:
        values["warm_up_epochs"] = 0
    return values | {"start": start.text, "start_digest": start.digest}


def _settled_weights(weights: WeightsFile | None, values: dict[str, Any]) -> dict[str, Any]:
    if weights is not None:
        check_architecture(weights, values["backbone"])
    return _weights_told(weights, values["weights"])


def _weights_told(file: WeightsFile | None, asked: str) -> dict[str, Any]:
    if file is None:
        return {"weights_digest": asked}
    return {"weights": str(file.path.absolute()), "weights_digest": file.digest()}


def _check_labels(reader: HDF5Reader, labels: tuple[str, ...]) -> None:
    for label in labels:
        if label not in reader.label_names:
            raise FacetError(
                f"--label {label}: {reader.path} does not have it, {did_you_mean(label, reader.label_names)}"
            )


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
    changes = for_both_phases(_typed_sets(asked))
    if "weights" in changes:
        changes |= _weights_told(_weights_file(changes), changes["weights"])
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
