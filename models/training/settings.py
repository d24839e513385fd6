"""The resolved configuration of a run: every choice that decides its result, and where each came from."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from hdf5_helper.errors import FacetError, did_you_mean
from hdf5_helper.images.fit import FITS, parse_size
from models.augmentation.recipe import parse_augmentation
from models.network import HeadShape
from models.training.class_weights import parse_class_weights
from models.training.phase import FINE_TUNING, WARM_UP, Phase
from models.training.setting_names import NEUTRAL, PHASE_FIELDS, PROVENANCE, SHARED, changes_result, for_both_phases
from models.training.typed_values import as_kind, kind_name
from models.training.value_checks import check_choice, check_number

BATCH_NORMALIZATIONS = ("frozen", "synchronized")
PRECISIONS = ("auto", "float32", "mixed_bfloat16")
CACHE_DTYPES = ("exact", "float16", "bfloat16")

_WARM_UP, _FINE_TUNING = Phase(WARM_UP, 24, 1e-3, "adam"), Phase(FINE_TUNING, 50, 1e-4, "adam", "4")


@dataclass(frozen=True)
class Settings:
    """What decides a training, by the names of the command line.

    In `config.yaml`, `--set` and options the phases are flat: `warm_up_epochs` is `warm_up.epochs`, `trainable_layers`
    is `fine_tuning.trainable_layers`, and a name of `SHARED` such as `optimizer` means both phases.

    Attributes:
        data: path of the HDF5 file.
        images_digest, index_digest: of that file, hex; a resume compares both.
        label: trained labels.
        backbone, backbone_arguments: registry name and what its Keras application is given.
        weights: `imagenet`, `none` or a file; weights_digest: XXH3-128 of that file, hex.
        start: checkpoint that the run starts from, as `RUN@NAME`, empty for new layers on `weights`; start_digest:
            XXH3-128 of that file, hex.
        image_size: (height, width) in pixels; fit: how images get there.
        batch_size: global batch, also of validation.
        gradient_accumulation: parts that a global batch is done in, one after the other, with one update: less memory,
            the same result up to rounding, but for dropout's masks.
        crop: (height, width) of the window in the middle of an image that the backbone sees; (0, 0) for all of it.
        heads: by label the form of its head where it is not the label's first, see `models.heads.choosing.FORMS`.
        loss_weights: factor of each label's loss in the sum of several, by label; see `models.heads.choosing`.
        pooling, normalization, units, dropout, hidden_dropout: see `models.network.HeadShape`.
        batch_normalization: `frozen`, or `synchronized` to train it over all replicas in fine-tuning.
        precision: `float32` or `mixed_bfloat16`; `auto` until the devices are known, see `settled_precision`.
        warm_up, fine_tuning: the two phases.
        fine_tuning_from: warm-up epoch that fine-tuning starts from, `best` or `last`.
        class_weights: `none`, `balanced` or such as `0:1,1:1.582`.
        augment: `none`, `mirror` or any other text of `models.augmentation.recipe`.
        fold: of a file with folds: K makes fold K the test split, K - 1 the validation split and the rest the train
            split; -1 takes the splits of the file.
        best_metric: column of epochs.csv that chooses the best epoch.
        cache_views: `auto` keeps the activations of a frozen backbone where that changes nothing but time, `off` keeps
            none, `K` those of K augmented views of each image, see `models.training.activations`.
        cache_dtype: what they are kept in: `exact` (the precision's own), or half of float32's size in `float16` or
            `bfloat16`.
        seed: of weights, order, augmentation and dropout.
        deterministic: same seed, same bits on the CPU; on GPUs it is asked for only where the user sets it.
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
    start: str = ""
    start_digest: str = ""
    backbone_arguments: dict[str, Any] = field(default_factory=dict)
    fit: str = "stretch"
    fold: int = -1
    crop: tuple[int, int] = (0, 0)
    heads: dict[str, str] = field(default_factory=dict)
    loss_weights: dict[str, float] = field(default_factory=dict)
    batch_size: int = 64
    gradient_accumulation: int = 1
    pooling: str = "average"
    normalization: str = "none"
    units: tuple[int, ...] = (256,)
    dropout: float = 0.2
    hidden_dropout: float = 0.0
    batch_normalization: str = "frozen"
    precision: str = "float32"
    warm_up: Phase = _WARM_UP
    fine_tuning: Phase = _FINE_TUNING
    fine_tuning_from: str = "best"
    class_weights: str = "none"
    augment: str = "mirror"
    cache_views: str = "auto"
    cache_dtype: str = "exact"
    seed: int = 0
    deterministic: bool = True
    checkpoint_every: int = 2
    checkpoint_every_steps: int = 0
    checkpoint_every_minutes: float = 15.0
    keep: str = "2"

    def __post_init__(self) -> None:
        """Refuses impossible values, naming each; the phases have refused theirs."""
        self._check_images()
        _ = self.head_shape
        for name, choices in _CHOICES.items():
            check_choice(name, getattr(self, name), choices)
        for name in ("batch_size", "gradient_accumulation"):
            check_number(name, getattr(self, name), above=0)
        for name in (name for name in NEUTRAL if name.startswith("checkpoint")):
            check_number(name, getattr(self, name), least=0)
        if self.batch_size % self.gradient_accumulation:
            raise FacetError(
                f"gradient_accumulation {self.gradient_accumulation}: does not divide the batch size"
                f" {self.batch_size}, expected a number of equal parts"
            )
        if not self.label or len(set(self.label)) < len(self.label):
            raise FacetError(f"label {','.join(self.label)!r}: expected one or several different labels")
        if self.warm_up.epochs == self.fine_tuning.epochs == 0:
            raise FacetError("warm_up_epochs and fine_tuning_epochs: both are 0, expected at least one epoch")
        if self.cache_views not in ("auto", "off") and not (
            self.cache_views.isdecimal() and int(self.cache_views) >= 1
        ):
            raise FacetError(f"cache_views {self.cache_views!r}: expected auto, off or a number of views of at least 1")
        if self.class_weights not in ("none", "balanced"):
            parse_class_weights(self.class_weights)
        if self.keep != "all" and not (self.keep.isdecimal() and int(self.keep) >= 1):
            raise FacetError(f"keep {self.keep!r}: expected a number of at least 1, or all")

    def _check_images(self) -> None:
        check_number("image_size", min(self.image_size), above=0)
        check_number("fold", self.fold, least=-1)
        if parse_augmentation(self.augment).crop and self.crop == (0, 0):
            raise FacetError(f"augment {self.augment!r}: moves the window of a crop, expected crop, such as crop=224")
        fits = all(0 < inner <= outer for inner, outer in zip(self.crop, self.image_size, strict=True))
        if self.crop != (0, 0) and not fits:
            raise FacetError(f"crop {self.crop}: expected a window inside the image size {self.image_size}")

    @property
    def window(self) -> tuple[int, int]:
        """(height, width) of what the backbone sees."""
        return self.image_size if self.crop == (0, 0) else self.crop

    @property
    def head_shape(self) -> HeadShape:
        """The new layers."""
        return HeadShape(self.pooling, self.units, self.dropout, self.hidden_dropout, self.normalization)

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
        mine, theirs = flat(self), flat(other)
        return [
            f"{name}: {mine[name]}, not {theirs[name]}"
            for name in mine
            if changes_result(name, mine[name], theirs[name])
        ]


_CHOICES = {
    "fit": FITS,
    "fine_tuning_from": ("best", "last"),
    "batch_normalization": BATCH_NORMALIZATIONS,
    "precision": PRECISIONS,
    "cache_dtype": CACHE_DTYPES,
}

_COMMON = {f.name: f for f in dataclasses.fields(Settings) if f.type is not Phase}
_PHASE_KINDS = {f.name: f.type for f in dataclasses.fields(Phase)}
_KINDS = {
    **{name: f.type for name, f in _COMMON.items()},
    **{key: _PHASE_KINDS[name] for key, (_phase, name) in PHASE_FIELDS.items()},
    **{name: _PHASE_KINDS[name] for name in SHARED},
}
_NEEDED = tuple(
    name for name, f in _COMMON.items() if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
)


def setting_names() -> tuple[str, ...]:
    """Gives the names of the settings that a user may choose."""
    return tuple(name for name in _KINDS if name not in PROVENANCE)


def flat(settings: Settings) -> dict[str, Any]:
    """Gives every setting by its flat name, the phases' own last."""
    common = {name: getattr(settings, name) for name in _COMMON}
    phases = {key: getattr(getattr(settings, phase), name) for key, (phase, name) in PHASE_FIELDS.items()}
    return common | phases


def make_settings(values: dict[str, Any]) -> Settings:
    """Makes settings of plain flat values, as a YAML file or --set gives them.

    Raises:
        FacetError: an unknown or missing name, or a value of another type.
    """
    for name in values:
        if name not in _KINDS:
            raise FacetError(f"setting {name!r}: {did_you_mean(name, _KINDS)}")
    missing = [name for name in _NEEDED if name not in values]
    if missing:
        raise FacetError(f"settings: {', '.join(missing)} not found, expected every setting of a run")
    values = {name: typed(name, value) for name, value in for_both_phases(values).items()}
    common = {name: value for name, value in values.items() if name in _COMMON}
    return Settings(**common, warm_up=_phase(_WARM_UP, values), fine_tuning=_phase(_FINE_TUNING, values))


def _phase(built_in: Phase, values: dict[str, Any]) -> Phase:
    """Gives a phase with its own flat values, and built-in ones otherwise."""
    own = {flat_name: name for flat_name, (phase, name) in PHASE_FIELDS.items() if phase == built_in.name}
    return dataclasses.replace(built_in, **{name: values[key] for key, name in own.items() if key in values})


def typed(name: str, value: Any) -> Any:
    """Brings a YAML value, or an option's text, to its setting's type, or refuses it."""
    kind = _KINDS[name]
    if name in ("image_size", "crop") and isinstance(value, str | int) and not isinstance(value, bool):
        return parse_size(str(value), "image size" if name == "image_size" else name)
    if name == "cache_views" and value is False:  # what YAML 1.1 makes of off
        return "off"
    if name == "label" and isinstance(value, str):
        return tuple(part.strip() for part in value.split(","))
    try:
        return as_kind(kind, value)
    except (TypeError, ValueError):
        raise FacetError(f"setting {name}: expected {kind_name(kind)}, found {value!r}") from None
