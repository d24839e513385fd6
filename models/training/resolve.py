"""From options, --set, recipe, sidecar, file and built-in values to the settings of a run: who wins, who is asked."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hdf5_helper.errors import FacetError, did_you_mean
from hdf5_helper.reading.reader import HDF5Reader
from models.backbones.registry import BACKBONES, backbone_named
from models.heads.choosing import main_metric, metric_choices
from models.heads.head import Head
from models.heads.on_file import heads_on
from models.training.phase import FINE_TUNING
from models.training.recipe_files import Recipe
from models.training.setting_names import for_both_phases
from models.training.settings import Settings, flat, make_settings, setting_names, typed
from models.training.starting import Start
from models.weights import WeightsFile, check_architecture, read_weights_file

#: Settings by label: who sets one for a label leaves those of the others.
_BY_LABEL = ("heads", "loss_weights")

#: What a run does not take from the one that it starts from.
_OWN = ("data", "images_digest", "index_digest", "start", "start_digest")


@dataclass(frozen=True)
class Resolved:
    """Settings, and by name where each value came from."""

    settings: Settings
    origins: dict[str, str] = field(default_factory=dict)


def resolve(
    given: dict[str, Any],
    sets: dict[str, Any],
    reader: HDF5Reader,
    start: Start | None = None,
    recipe: Recipe | None = None,
) -> Resolved:
    """Settles every choice of a training.

    Precedence: option given > --set > recipe > run that it starts from > sidecar of the weights file > the HDF5 file's
    attributes > built-in. Of options and --set, the name of one phase's setting beats the name for both.

    Args:
        given: options of the command line that the user gave, by setting name.
        sets: `--set key=value` pairs, as YAML values.
        reader: the data file.
        start: checkpoint of another run to start from; it has weights, so those of a recipe do not count.
        recipe: settings that belong together.

    Raises:
        FacetError: an unknown name, an impossible value, or a choice that is asked for (backbone, weights, label).
    """
    sets = typed_sets(sets)
    options = {name: value for name, value in for_both_phases(given).items() if name in given or name not in sets}
    recipe = recipe or Recipe("")
    advised = from_recipe(recipe, for_both_phases(sets) | options, starts=start is not None)
    chosen = advised | for_both_phases(sets) | options
    weights = None if start else _weights_file(chosen)
    layers = [
        ("the HDF5 file", _from_file(reader, asked_for_label=not start and "label" not in chosen)),
        ("the weights file's sidecar", _from_sidecar(weights)),
        *([(f"run {start.run.name}", _from_start(start, chosen))] if start else []),
        (recipe.origin, advised),
        ("--set", for_both_phases(sets)),
        ("option", options),
    ]
    values = laid_over(*(layer for _origin, layer in layers))
    origins = {name: origin for origin, layer in layers for name in layer}
    if start is None:
        _ask(values, recipe)
    values |= {"weights": start.settings.weights} if start else _settled_weights(weights, values)
    try:
        return Resolved(_made(values, reader), origins)
    except FacetError as error:
        raise (FacetError(f"{error} (with recipe {recipe.name})") if recipe.name else error) from None


def from_recipe(recipe: Recipe, chosen: dict[str, Any], *, starts: bool) -> dict[str, Any]:
    """Gives what a recipe sets, by flat name.

    Args:
        recipe: to follow.
        chosen: what the user has set in other ways, by flat name.
        starts: from a checkpoint, which has weights of its own.
    """
    advised = for_both_phases(recipe.values_under(chosen))
    return {name: value for name, value in advised.items() if not (starts and name == "weights")}


def laid_over(*layers: dict[str, Any]) -> dict[str, Any]:
    """Gives values by name, those of later layers over those of earlier ones; settings by label are laid by label."""
    values: dict[str, Any] = {}
    for layer in layers:
        by_label = {name: {**values.get(name, {}), **layer[name]} for name in _BY_LABEL if name in layer}
        values |= layer | by_label
    return values


def _made(values: dict[str, Any], reader: HDF5Reader) -> Settings:
    """Makes the settings, with what follows from the others and with what the file knows."""
    size = backbone_named(values["backbone"]).size
    built_in = {"image_size": (size, size), "precision": "auto"}
    values = built_in | values
    label = tuple(values["label"])
    _check_labels(reader, label)
    heads = heads_on(reader, label, values.get("heads", {}), values.get("loss_weights", {}))
    settings = make_settings(values | {"best_metric": _best_metric(values.get("best_metric"), heads)})
    if settings.fold >= 0:
        reader.check_folds(settings.fold)
    return settings


def settled_precision(asked: str, devices_have_bfloat16: bool) -> str:
    """Gives `float32` or `mixed_bfloat16` for a setting that may be `auto`, where no trial has said which.

    Args:
        asked: the setting.
        devices_have_bfloat16: the run is on GPUs that compute it natively.
    """
    if asked != "auto":
        return asked
    return "mixed_bfloat16" if devices_have_bfloat16 else "float32"


def typed_sets(sets: dict[str, Any]) -> dict[str, Any]:
    """Gives `--set` pairs in the settings' own types; raises FacetError for an unknown name or another type."""
    for name in sets:
        if name not in setting_names():
            raise FacetError(f"--set {name}: {did_you_mean(name, setting_names())}")
    return {name: typed(name, value) for name, value in sets.items()}


def _from_start(start: Start, chosen: dict[str, Any]) -> dict[str, Any]:
    """Gives the settings of the run that a checkpoint belongs to, but for its data and its own beginnings.

    A checkpoint of fine-tuning has its warm-up behind it.
    """
    before = flat(start.settings)
    start.check_shape(chosen | {"heads": {**before["heads"], **chosen.get("heads", {})}})
    values = {name: value for name, value in before.items() if name not in _OWN}
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


def _ask(values: dict[str, Any], recipe: Recipe) -> None:
    """Asks for what nobody has said: nothing ever trains from random or downloaded weights by accident."""
    none = f"none given, and recipe {recipe.name} leaves it to you" if recipe.name else "none given"
    if "backbone" not in values:
        run = ", or --from RUN" if recipe.name else ""
        raise FacetError(f"--backbone: {none}, expected one of {', '.join(sorted(BACKBONES))}{run}")
    backbone = backbone_named(str(values["backbone"]))
    if "weights" not in values:
        nothing = "none (train from nothing) or a Keras weights file"
        known = f"{nothing}, as of {backbone.weights_at}" if backbone.weights_at else f"imagenet, {nothing}"
        raise FacetError(f"--weights: {none}, expected {known}")


def typed_changes(asked: dict[str, Any], before: Settings, reader: HDF5Reader) -> dict[str, Any]:
    """Gives what a resume asks for anew, in the settings' own types.

    Args:
        asked: options and `--set` pairs, by setting name.
        before: the run's settings.
        reader: its data.
    """
    changes = for_both_phases(typed_sets(asked))
    if "weights" in changes:
        changes |= _weights_told(_weights_file(changes), changes["weights"])
    if "best_metric" in changes:
        heads = heads_on(reader, before.label, before.heads, before.loss_weights)
        changes["best_metric"] = _best_metric(changes["best_metric"], heads)
    return changes


def _best_metric(asked: str | None, heads: tuple[Head, ...]) -> str:
    choices = metric_choices(heads)
    metric = asked or main_metric(heads)
    metric = metric if metric.startswith("val_") else f"val_{metric}"
    if metric not in choices:
        raise FacetError(f"best_metric {metric!r}: {did_you_mean(metric, choices)}")
    return metric
