"""The experiments behind the tables of docs/training.md. Their choices were made on validation splits alone."""

from benchmarks.accuracy.experiments import Bar, Experiment, Schedule

_AGEGENDER, _AFAD = "agegender_cleaned", "afad_layout"
_ELSEWHERE = ("utkface", _AFAD)

#: All 86 layers of MobileNet, BatchNormalization frozen.
_ALL = 86

#: From conv_pw_11 on: the last two blocks of MobileNet and half of the one before.
_TOP_BLOCKS = 16

_WEIGHTED = {
    "balanced class weights": ("--class-weights", "balanced"),
    "no class weights": ("--class-weights", "none"),
}

EXPERIMENTS = (
    Experiment(
        "gender-faces",
        _AGEGENDER,
        "faces",
        "gender",
        peer=True,
        elsewhere=_ELSEWHERE,
        bars=(Bar("gender accuracy, test", "≥", 0.95),),
    ),
    Experiment(
        "age-faces",
        _AGEGENDER,
        "faces",
        "age",
        Schedule(160, 3, 4, trainable_layers=_TOP_BLOCKS),
        peer=True,
        elsewhere=_ELSEWHERE,
        bars=(Bar("age mae, test", "≤", 6.2),),
    ),
    Experiment(
        "gender-imagenet",
        _AGEGENDER,
        "imagenet",
        "gender",
        Schedule(128, 2, 5, trainable_layers=_ALL),
        peer=True,
        bars=(Bar("gender accuracy, test", "≥", 0.88),),
    ),
    Experiment(
        "afad-gender",
        _AFAD,
        "imagenet",
        "gender",
        Schedule(150, 3, 4, (1e-3, 5e-4)),
        more=("--recipe", "afad-gender", "--backbone", "mobilenet"),
        variants=_WEIGHTED,
        groups_by="gender",
    ),
    Experiment(
        "afad-age",
        _AFAD,
        "imagenet",
        "age",
        Schedule(150, 3, 4, (1e-3, 1e-3)),
        more=("--recipe", "afad-age", "--backbone", "mobilenet"),
        variants=_WEIGHTED,
        groups_by="gender",
    ),
)
