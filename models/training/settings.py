"""The resolved configuration of a run: every choice that decides its result, and where each came from."""

import dataclasses
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from hdf5_helper.errors import FacetError, did_you_mean
from hdf5_helper.images.fit import FITS, parse_size
from models.network import HeadShape
from models.training.class_weights import parse_class_weights

OPTIMIZERS = ("adam", "adamax", "rmsprop", "sgd")
AUGMENTS = ("none", "mirror")


@dataclass(frozen=True)
class Settings:
    """What decides a training, by the names of the command line.

    Attributes:
        data: path of the HDF5 file.
        images_digest, index_digest: of that file, hex; a resume compares both.
        label: trained labels.
        backbone, backbone_arguments: registry name and what its Keras application is given.
        weights: `imagenet`, `none` or a file; weights_digest: XXH3-128 of that file, hex.
        image_size: (height, width) in pixels; fit: how images get there.
        batch_size: global batch, also of validation.
        pooling, units, dropout: see `models.network.HeadShape`.
        optimizer: of both phases.
        warm_up_epochs, warm_up_learning_rate, fine_tuning_epochs, fine_tuning_learning_rate: of each phase.
        trainable_layers: backbone layers that fine-tuning trains: a number from the top, a layer's name, or `all`.
        fine_tuning_from: warm-up epoch that fine-tuning starts from, `best` or `last`.
        class_weights: `none`, `balanced` or such as `0:1,1:1.582`.
        augment: `none` or `mirror`.
        best_metric: column of epochs.csv that chooses the best epoch.
        seed: of weights, order, augmentation and dropout.
        deterministic: same seed, same bits on the CPU.
        checkpoint_every, checkpoint_every_steps, checkpoint_every_minutes: intervals; 0 for never.
        keep: how many of the newest checkpoints stay beside best and the last of each phase, or `all`.
    """

    data: str
    images_digest: str
    index_digest: str
    label: tuple[str, ...]
    backbone: str
    weights: str
    image_size: tuple[int, int]
    best_metric: str
    weights_digest: str = ""
    backbone_arguments: dict[str, Any] = field(default_factory=dict)
    fit: str = "stretch"
    batch_size: int = 64
    pooling: str = "average"
    units: tuple[int, ...] = (256,)
    dropout: float = 0.2
    optimizer: str = "adam"
    warm_up_epochs: int = 24
    warm_up_learning_rate: float = 1e-3
    fine_tuning_epochs: int = 50
    fine_tuning_learning_rate: float = 1e-4
    trainable_layers: str = "4"
    fine_tuning_from: str = "best"
    class_weights: str = "none"
    augment: str = "mirror"
    seed: int = 0
    deterministic: bool = True
    checkpoint_every: int = 2
    checkpoint_every_steps: int = 0
    checkpoint_every_minutes: float = 15.0
    keep: str = "2"

    def __post_init__(self) -> None:
        """Refuses impossible values, naming each."""
        HeadShape(self.pooling, self.units, self.dropout)
        _check_choice("optimizer", self.optimizer, OPTIMIZERS)
        _check_choice("augment", self.augment, AUGMENTS)
        _check_choice("fit", self.fit, FITS)
        _check_choice("fine_tuning_from", self.fine_tuning_from, ("best", "last"))
        for name in ("batch_size", "warm_up_learning_rate", "fine_tuning_learning_rate"):
            _check_number(name, getattr(self, name), above=0)
        for name in ("warm_up_epochs", "fine_tuning_epochs", *(n for n in NEUTRAL if n.startswith("checkpoint"))):
            _check_number(name, getattr(self, name), least=0)
        if not self.label or len(set(self.label)) < len(self.label):
            raise FacetError(f"label {','.join(self.label)!r}: expected one or several different labels")
        if self.warm_up_epochs == self.fine_tuning_epochs == 0:
            raise FacetError("warm_up_epochs and fine_tuning_epochs: both are 0, expected at least one epoch")
        if self.class_weights not in ("none", "balanced"):
            parse_class_weights(self.class_weights)
        if self.keep != "all" and not (self.keep.isdecimal() and int(self.keep) >= 1):
            raise FacetError(f"keep {self.keep!r}: expected a number of at least 1, or all")

    @property
    def head_shape(self) -> HeadShape:
        """The new layers."""
        return HeadShape(self.pooling, self.units, self.dropout)

    @property
    def intervals(self) -> dict[str, Any]:
        """When checkpoints are due and how many stay, by the names of CheckpointKeeper."""
        return {
            "every_epochs": self.checkpoint_every,
            "every_steps": self.checkpoint_every_steps,
            "every_minutes": self.checkpoint_every_minutes,
            "keep": self.keep,
        }

    def differences(self, other: "Settings") -> list[str]:
        """Lists what differs and would change the result, as `name: own value, not the other's`."""
        mine, theirs = dataclasses.asdict(self), dataclasses.asdict(other)
        return [
            f"{name}: {mine[name]}, not {theirs[name]}"
            for name in mine
            if name not in NEUTRAL and mine[name] != theirs[name]
        ]


#: What may differ between a run and its resume without changing the result. Paths may: the files' digests may not.
NEUTRAL = ("data", "weights", "checkpoint_every", "checkpoint_every_steps", "checkpoint_every_minutes", "keep")

#: What a resume may raise.
EXTENDABLE = ("warm_up_epochs", "fine_tuning_epochs")


_KINDS = {f.name: f.type for f in dataclasses.fields(Settings)}
_NEEDED = tuple(
    f.name
    for f in dataclasses.fields(Settings)
    if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
)

#: What the data and weights files say of themselves: no option or --set may say otherwise.
PROVENANCE = ("data", "images_digest", "index_digest", "weights_digest")


def setting_names() -> tuple[str, ...]:
    """Gives the names of the settings that a user may choose."""
    return tuple(name for name in _KINDS if name not in PROVENANCE)


def make_settings(values: dict[str, Any]) -> Settings:
    """Makes settings of plain values, as a YAML file or --set gives them.

    Raises:
        FacetError: an unknown or missing name, or a value of another type.
    """
    for name in values:
        if name not in _KINDS:
            raise FacetError(f"setting {name!r}: {did_you_mean(name, _KINDS)}")
    missing = [name for name in _NEEDED if name not in values]
    if missing:
        raise FacetError(f"settings: {', '.join(missing)} not found, expected every setting of a run")
    return Settings(**{name: typed(name, value) for name, value in values.items()})


def typed(name: str, value: Any) -> Any:
    """Brings a YAML value, or an option's text, to its setting's type, or refuses it."""
    kind = _KINDS[name]
    if name == "image_size" and isinstance(value, str | int) and not isinstance(value, bool):
        return parse_size(str(value))
    if name == "label" and isinstance(value, str):
        return tuple(part.strip() for part in value.split(","))
    try:
        return _as(kind, value)
    except (TypeError, ValueError):
        raise FacetError(f"setting {name}: expected {_kind_name(kind)}, found {value!r}") from None


def _as(kind: Any, value: Any) -> Any:
    """Gives `value` as `kind`; raises TypeError or ValueError where it is something else."""
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin is tuple and isinstance(value, list | tuple):
        kinds = [parts[0]] * len(value) if parts[-1] is Ellipsis else parts
        return tuple(_as(part, item) for part, item in zip(kinds, value, strict=True))
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind is float and (is_number or isinstance(value, str)):
        return float(value)  # YAML 1.1 takes 1e-3 for text
    if kind is str and is_number:
        return str(value)
    if not isinstance(value, origin or kind) or (kind is int and not is_number):
        raise TypeError
    return value


def _kind_name(kind: Any) -> str:
    return str(getattr(kind, "__name__", kind)) if typing.get_origin(kind) is None else str(kind)


def to_yaml(settings: Settings, origins: dict[str, str]) -> str:
    """Gives `config.yaml`: one setting a line, with a comment that says where its value came from."""
    lines = ["# The resolved configuration of this run; each value with where it came from."]
    for name, value in dataclasses.asdict(settings).items():
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


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise FacetError(f"{name} {value!r}: {did_you_mean(value, choices)}")


def _check_number(name: str, value: float, *, above: float | None = None, least: float | None = None) -> None:
    if (above is not None and not value > above) or (least is not None and not value >= least):
        raise FacetError(f"{name} {value}: expected a number {'above' if above is not None else 'of at least'} 0")
