"""Recipes: YAML files of settings, those of the project by their names and anybody's own by their paths."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hdf5_helper.errors import FacetError, did_you_mean
from models.backbones.registry import backbone_named
from models.heads.choosing import heads_for
from models.training.located_yaml import Located, read_located
from models.training.settings import make_settings, setting_names, typed

_FOLDER = Path(__file__).resolve().parent.parent / "recipes"
_SUFFIXES = (".yaml", ".yml")
_DESCRIPTION = "description"

#: What a recipe need not say: with it, the recipe must be a possible run.
_ANY_RUN = {
    "data": "",
    "images_digest": "",
    "index_digest": "",
    "label": ("gender",),
    "backbone": "",
    "weights": "",
    "image_size": (1 << 20, 1 << 20),  # any crop fits inside
    "best_metric": "",
}

#: The classes of a label are known to the file of the data alone.
_ANY_CLASSES = ("no", "yes")

#: Settings that mean something for one backbone alone.
_OF_A_BACKBONE = ("backbone", "backbone_arguments", "weights")


@dataclass(frozen=True)
class Recipe:
    """Settings that belong together.

    Attributes:
        name: as `--recipe` takes it: a name of the project's, or the path of a file.
        values: settings by name, each of its setting's type.
        description: what it is, in one line.
    """

    name: str
    values: dict[str, Any] = field(default_factory=dict)
    description: str = ""

    @property
    def origin(self) -> str:
        """Gives what `config.yaml` says beside each value that comes from it."""
        return f"recipe {self.name}"

    def values_under(self, chosen: dict[str, Any]) -> dict[str, Any]:
        """Gives the settings that it still has a say in.

        Args:
            chosen: settings that the user has chosen. Another backbone takes the arguments, weights and layer names of
                the recipe's own away; other labels the heads and loss weights of those that are not trained, the best
                metric, and class weights by class number.
        """
        values = dict(self.values)
        others = {name for name in ("backbone", "label") if chosen.get(name, values.get(name)) != values.get(name)}
        if "backbone" in others & values.keys():
            layers = str(values.get("trainable_layers", "all"))
            named = () if layers.isdecimal() or layers == "all" else ("trainable_layers",)
            values = _without(values, (*_OF_A_BACKBONE, *named))
        if "label" in others & values.keys():
            by_number = ("class_weights",) if ":" in values.get("class_weights", "") else ()
            values = _without(values, ("best_metric", *by_number))
            for name in values.keys() & {"heads", "loss_weights"}:
                values[name] = {label: value for label, value in values[name].items() if label in chosen["label"]}
        return values


def _without(values: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names}


def recipe_names() -> tuple[str, ...]:
    """Gives the names of the project's recipes, sorted."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.yaml")))


def recipe_table() -> str:
    """Gives the project's recipes with their descriptions, one a line."""
    width = max(map(len, recipe_names()))
    return "\n".join(f"{name:<{width}}  {read_recipe(name).description}" for name in recipe_names())


def read_recipe(text: str) -> Recipe:
    """Reads a recipe.

    Args:
        text: the name of one of the project's, or the path of a YAML file.

    Raises:
        FacetError: no such recipe, or one with an unknown name, a wrong type or an impossible value: the file, the
            line, the setting and what was expected.
    """
    path = _FOLDER / f"{text}.yaml"
    if text not in recipe_names():
        path = Path(text)
        if path.suffix not in _SUFFIXES and not path.is_file():
            raise FacetError(f"--recipe {text!r}: {did_you_mean(text, recipe_names())}, or a YAML file")
    found = read_located(path)
    description = found.pop(_DESCRIPTION, Located("", 0))
    if not isinstance(description.value, str):
        raise FacetError(f"{path} line {description.line}: description: expected text, found {description.value!r}")
    values = {name: _typed(path, name, item) for name, item in found.items()}
    _check(path, values, found)
    return Recipe(text, values, " ".join(description.value.split()))


def _typed(path: Path, name: str, item: Located) -> Any:
    if name not in setting_names():
        raise FacetError(f"{path} line {item.line}: setting {name!r}, {did_you_mean(name, setting_names())}")
    try:
        return typed(name, item.value)
    except FacetError as error:
        raise FacetError(f"{path} line {item.line}: {error}") from None


def _check(path: Path, values: dict[str, Any], found: dict[str, Located]) -> None:
    """Refuses impossible values, with the line of the one that is impossible by itself."""
    try:
        _check_together(values)
    except FacetError as error:
        for name, value in values.items():
            if _sentence({name: value}) == str(error):
                raise FacetError(f"{path} line {found[name].line}: {error}") from None
        raise FacetError(f"{path}: {error}") from None


def _sentence(values: dict[str, Any]) -> str | None:
    """Gives what is wrong with settings, None for nothing."""
    try:
        _check_together(values)
    except FacetError as error:
        return str(error)
    return None


def _check_together(values: dict[str, Any]) -> None:
    make_settings(_ANY_RUN | values)
    if "backbone" in values:
        backbone_named(values["backbone"])
    forms, weights = values.get("heads", {}), values.get("loss_weights", {})
    labels = values.get("label") or tuple(dict.fromkeys((*forms, *weights)))
    heads_for(labels, dict.fromkeys(labels, _ANY_CLASSES), forms, weights)
