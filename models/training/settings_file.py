"""`config.yaml`: the settings of a run, each with where its value came from."""

from pathlib import Path

import yaml

from hdf5_helper.errors import FacetError
from models.training.settings import Settings, flat, make_settings


def to_yaml(settings: Settings, origins: dict[str, str]) -> str:
    """Gives `config.yaml`: one setting a line, with a comment that says where its value came from."""
    lines = ["# The resolved configuration of this run; each value with where it came from."]
    for name, value in flat(settings).items():
        plain = list(value) if isinstance(value, tuple) else value
        flow = None if isinstance(plain, list | dict) else False
        text = yaml.safe_dump({name: plain}, default_flow_style=flow, width=10_000).strip()
        lines.append(f"{text}  # {origins.get(name, 'built-in')}")
    return "\n".join(lines) + "\n"


def load_settings(path: Path) -> Settings:
    """Reads a `config.yaml`."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise FacetError(f"{path}: not a configuration that Facet wrote ({' '.join(str(error).split())})") from None
    if not isinstance(values, dict):
        raise FacetError(f"{path}: expected settings by name, found {type(values).__name__}")
    return make_settings(values)


def load_origins(path: Path) -> dict[str, str]:
    """Reads back, by setting name, what the comments of a `config.yaml` say of where each value came from."""
    lines = (line.rpartition("  # ") for line in path.read_text(encoding="utf-8").splitlines())
    return {setting.partition(":")[0]: origin for setting, mark, origin in lines if mark}
