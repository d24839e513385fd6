"""The experiments behind the tables of docs/training.md. Their choices were made on validation splits alone."""

from benchmarks.accuracy.experiments import Experiment, Schedule

_AGEGENDER, _AFAD = "agegender_cleaned", "afad_layout"
_ELSEWHERE = ("utkface", _AFAD)

#: All 86 layers of MobileNet, BatchNormalization frozen.
_ALL = 86

EXPERIMENTS = (
    Experiment(
        "gender-faces", _AGEGENDER, "faces", "gender", Schedule(), peer=True, elsewhere=_ELSEWHERE, bar=("≥", 0.95)
    ),
    Experiment(
        "gender-imagenet",
        _AGEGENDER,
        "imagenet",
        "gender",
        Schedule(128, 3, 9, trainable_layers=_ALL),
        peer=True,
        bar=("≥", 0.88),
    ),
)
