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

#: So few faces are measured better where the larger part of the others is tested: 750 to learn from, 600 to test.
_HALVES = ("--split", "0.5,0.1,0.4")

#: A short training on few faces, that shows what a single choice changes.
_SHORT = Schedule(128, 3, 6, trainable_layers=_ALL)
_THREE = (0, 1, 2)

#: What is asked of Facet, beside plain Keras where that can do it.
_ASKED = (
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
        "age-gender-faces",
        _AGEGENDER,
        "faces",
        "gender,age",
        Schedule(192, 3, 6, trainable_layers=_TOP_BLOCKS),
        elsewhere=_ELSEWHERE,
        bars=(Bar("gender accuracy, test", "≥", 0.96), Bar("age mae, test", "≤", 6.2)),
    ),
    Experiment(
        "celeba-attributes",
        "celeba",
        "faces",
        "attributes",
        Schedule("160x128", 3, 6, trainable_layers=_TOP_BLOCKS),  # CelebA's own shape
        packing=("--split", "0.8,0.1,0.1"),
        bars=(Bar("attributes accuracy, test", "≥", 0.86),),
    ),
    Experiment(
        "adience-folds",
        "adience",
        "faces",
        "age_group,gender",
        Schedule(160, 3, 6, trainable_layers=_TOP_BLOCKS),
        folds=True,
        seeds=(0,),
    ),
    Experiment(
        "gender-imagenet",
        _AGEGENDER,
        "imagenet",
        "gender",
        # at a constant rate the last epochs' accuracies are 3 points apart
        Schedule(128, 2, 5, (1e-3, 2e-4), trainable_layers=_ALL, cosine=True),
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
        packing=_HALVES,
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
        packing=_HALVES,
        variants=_WEIGHTED,
        groups_by="gender",
    ),
)

#: What helps to choose: one question each.
_CHOICES = (
    Experiment(
        "weights",
        _AFAD,
        "faces",
        "gender",
        _SHORT,
        packing=_HALVES,
        variants={
            "MobileNet, faces": (),
            "MobileNet, ImageNet": ("--weights", "{imagenet}"),
            "MobileNetV2 × 0.35, ImageNet": ("--weights", "{imagenet_v2}", "--trainable-layers", "all"),
            "MobileNet, none": ("--weights", "none", "--backbone", "mobilenet"),
        },
        seeds=_THREE,
    ),
    Experiment(
        "image-size",
        _AFAD,
        "faces",
        "age",
        Schedule(128, 6, 0),
        packing=_HALVES,
        variants={str(side): ("--image-size", str(side)) for side in (64, 96, 128, 160, 224)},
        seeds=_THREE,
    ),
    Experiment(
        "phases",
        _AFAD,
        "imagenet",
        "gender",
        _SHORT,
        packing=_HALVES,
        variants={
            "warm-up alone": ("--fine-tuning-epochs", "0"),
            "top 4 layers": ("--trainable-layers", "4"),
            "top 16 layers": ("--trainable-layers", "16"),
            "all layers": (),
            "all layers, no warm-up": ("--warm-up-epochs", "0"),
        },
        seeds=_THREE,
    ),
    Experiment(
        "augmentation",
        _AFAD,
        "imagenet",
        "gender",
        _SHORT,
        packing=_HALVES,
        variants={name: ("--augment", name) for name in ("none", "mirror", "afad", "strong", "mirror,mixup=0.2")},
        seeds=_THREE,
    ),
)

EXPERIMENTS = _ASKED + _CHOICES
