"""The names of settings, and what each group of them may do."""

from typing import Any

from models.training.phase import FINE_TUNING, WARM_UP

#: What may differ between a run and its resume without changing the result, or its last digits alone. Paths may: the
#: files' digests may not.
NEUTRAL = (
    "data",
    "weights",
    "start",
    "gradient_accumulation",
    "checkpoint_every",
    "checkpoint_every_steps",
    "checkpoint_every_minutes",
    "keep",
)

#: What a resume may raise, unless the phase's schedule depends on it.
EXTENDABLE = ("warm_up_epochs", "fine_tuning_epochs")

#: Settings of a phase whose bare name sets them for both.
SHARED = (
    "optimizer",
    "schedule",
    "learning_rate_warm_up",
    "gradient_clipping",
    "weight_decay",
    "label_smoothing",
    "early_stopping",
)

#: What the data, weights and checkpoint files say of themselves: no option or --set may say otherwise.
PROVENANCE = ("data", "images_digest", "index_digest", "weights_digest", "start", "start_digest")

#: What shapes the model, and with it every checkpoint: a run that starts from one keeps them.
SHAPING = (
    "label",
    "heads",
    "backbone",
    "backbone_arguments",
    "weights",
    "image_size",
    "fit",
    "crop",
    "pooling",
    "normalization",
    "units",
    "dropout",
    "hidden_dropout",
)

#: Phase and its field by flat name.
PHASE_FIELDS = {
    **{f"{phase}_{name}": (phase, name) for phase in (WARM_UP, FINE_TUNING) for name in ("epochs", "learning_rate")},
    "trainable_layers": (FINE_TUNING, "trainable_layers"),
    **{f"{phase}_{name}": (phase, name) for name in SHARED for phase in (WARM_UP, FINE_TUNING)},
}


def changes_result(name: str, before: Any, after: Any) -> bool:
    """Says whether another value of a setting would give another result, beyond the last digits."""
    if name == "cache_views":  # both leave every bit of the training
        return before != after and not {before, after} <= {"auto", "off"}
    return name not in NEUTRAL and before != after


def for_both_phases(values: dict[str, Any]) -> dict[str, Any]:
    """Gives flat values with each name of `SHARED` set for the phases that have no value of their own."""
    shared = {f"{phase}_{name}": values[name] for name in SHARED if name in values for phase in (WARM_UP, FINE_TUNING)}
    return shared | {name: value for name, value in values.items() if name not in SHARED}
