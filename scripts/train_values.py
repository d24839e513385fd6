"""What the options of `facet train` say, by setting name and in the settings' own types."""

from typing import Any

from hdf5_helper.errors import FacetError


def pairs(values: tuple[str, ...]) -> dict[str, Any]:
    """Reads `key=value` pairs, each value as YAML."""
    import yaml

    found: dict[str, Any] = {}
    for text in values:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise FacetError(f"--set {text!r}: expected key=value")
        try:
            found[name.replace("-", "_")] = yaml.safe_load(value)
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise FacetError(f"--set {text!r}: the value is no YAML ({' '.join(str(error).split())})") from None
    return found


def given(options: dict[str, Any]) -> dict[str, Any]:
    """Gives the options that the user gave."""
    from models.training.settings import typed

    found = {name: value for name, value in options.items() if value is not None and value != ()}
    if "heads" in found:
        found["heads"] = dict(_by_label("--head", text, "gender=softmax") for text in found["heads"])
    if "loss_weights" in found:
        parts = found["loss_weights"].split(",")
        found["loss_weights"] = dict(_by_label("--loss-weights", part, "age=1,gender=500") for part in parts)
    return {name: typed(name, value) for name, value in found.items()}


def _by_label(option: str, text: str, example: str) -> tuple[str, str]:
    label, equals, value = (part.strip() for part in text.partition("="))
    if not (label and equals and value):
        raise FacetError(f"{option} {text!r}: expected {example}")
    return label, value
