import dataclasses
import json

import pytest
import yaml

from hdf5_helper import HDF5Reader
from hdf5_helper.errors import FacetError
from models.backbones.registry import BACKBONES
from models.training.phase import FINE_TUNING, WARM_UP, Phase
from models.training.resolve import resolve, settled_precision
from models.training.setting_names import PHASE_FIELDS
from models.training.settings import Settings, flat, make_settings
from models.training.settings_file import load_origins, load_settings, to_yaml

#: What `augment` may say, as the sentence lists it.
AUGMENTS = (
    "afad, brightness=, color, contrast=, crop-mirror, crop=, erasing, erasing=, fill=, mirror, mirror=, mixup, mixup=,"
    " none, resize-crop, resize_crop=, rotation=, saturation=, shear=, shift=, strong, zoom="
)

PLAIN = {
    "data": "faces.h5",
    "images_digest": "00",
    "index_digest": "123",
    "label": ["gender"],
    "backbone": "vgg19",
    "weights": "none",
    "image_size": [150, 150],
    "best_metric": "val_loss",
}


@pytest.fixture
def reader(packed):
    with HDF5Reader(packed("agegender", count=60)) as opened:
        yield opened


def test_built_in_values_are_those_of_the_design():
    settings = make_settings(PLAIN)
    assert settings.batch_size == 64
    assert settings.warm_up == Phase(WARM_UP, 24, 1e-3, "adam")
    assert settings.fine_tuning == Phase(FINE_TUNING, 50, 1e-4, "adam", "4")
    assert (settings.augment, settings.class_weights, settings.checkpoint_every) == ("mirror", "none", 2)


def test_settings_survive_their_yaml_file(tmp_path):
    settings = dataclasses.replace(
        make_settings(PLAIN),
        backbone_arguments={"alpha": 0.5},
        keep="all",
        dropout=0.0,
        start="afad@fine_tuning-epoch-0042",
        warm_up=Phase(WARM_UP, 3, 0.01, "sgd", early_stopping=2),
        fine_tuning=Phase(FINE_TUNING, 4, 0.001, "adamax", "block4", "plateau:3:0.1", 0.5, 1.0, 0.01, 0.1),
    )
    path = tmp_path / "config.yaml"
    path.write_text(to_yaml(settings, {"keep": "option"}))
    assert load_settings(path) == settings


def test_the_yaml_file_says_where_each_value_came_from():
    text = to_yaml(make_settings(PLAIN), {"backbone": "option"})
    assert "backbone: vgg19  # option\n" in text
    assert "batch_size: 64  # built-in\n" in text


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"batchsize": 3}, "setting 'batchsize': expected one of "),
        ({"batch_size": "big"}, "setting batch_size: expected int, found 'big'"),
        ({"batch_size": True}, "setting batch_size: expected int, found True"),
        ({"batch_size": 0}, "batch_size 0: expected a number above 0"),
        ({"warm_up_epochs": -1}, "warm_up_epochs -1: expected a number of at least 0"),
        ({"warm_up_learning_rate": 0}, "warm_up_learning_rate 0.0: expected a number above 0"),
        ({"schedule": "cosin"}, "schedule 'cosin': expected one of constant, cosine, plateau, step (did you mean 'cos"),
        ({"label_smoothing": 1}, "label_smoothing 1.0: expected a number of at least 0 and below 1"),
        ({"weight_decay": -0.1}, "weight_decay -0.1: expected a number of at least 0"),
        ({"gradient_clipping": "inf"}, "gradient_clipping inf: expected a finite number of at least 0"),
        ({"early_stopping": -1}, "early_stopping -1: expected a number of at least 0"),
        (
            {"learning_rate_warm_up": 30},
            "learning_rate_warm_up 30: expected no more than the 24 epochs of warm_up",
        ),
        (
            {"gradient_accumulation": 3},
            "gradient_accumulation 3: does not divide the batch size 64, expected a number of equal parts",
        ),
        ({"gradient_accumulation": 0}, "gradient_accumulation 0: expected a number above 0"),
        ({"batch_normalization": "on"}, "batch_normalization 'on': expected one of frozen, synchronized"),
        ({"precision": "float16"}, "precision 'float16': expected one of auto, float32, mixed_bfloat16"),
        ({"epochs": 3}, "setting 'epochs': expected one of "),
        ({"optimizer": "adm"}, "optimizer 'adm': expected one of adam, adamax, rmsprop, sgd (did you mean 'adam'?)"),
        ({"augment": "miror"}, f"augmentation 'miror': expected one of {AUGMENTS} (did you mean 'mirror'?)"),
        ({"units": ["a"]}, "setting units: expected tuple[int, ...], found ['a']"),
        ({"image_size": [64]}, "setting image_size: expected tuple[int, int], found [64]"),
        ({"warm_up_learning_rate": "fast"}, "setting warm_up_learning_rate: expected float, found 'fast'"),
        ({"label": "gender,gender"}, "label 'gender,gender': expected one or several different labels"),
        (
            {"warm_up_epochs": 0, "fine_tuning_epochs": 0},
            "warm_up_epochs and fine_tuning_epochs: both are 0, expected at least one epoch",
        ),
        ({"keep": "0"}, "keep '0': expected a number of at least 1, or all"),
        *[
            ({"cache_views": text}, f"cache_views {text!r}: expected auto, off or a number of views of at least 1")
            for text in ("0", "-1", "on", "1.5", "²")
        ],
        ({"cache_dtype": "int8"}, "cache_dtype 'int8': expected one of bfloat16, exact, float16"),
    ],
)
def test_impossible_settings_are_refused(values, sentence):
    with pytest.raises(FacetError) as error:
        make_settings(PLAIN | values)
    assert str(error.value).startswith(sentence)


def test_values_are_read_as_users_write_them():
    settings = make_settings(PLAIN | {"label": "age, gender", "image_size": 64, "warm_up_learning_rate": "1e-3"})
    assert (settings.label, settings.image_size, settings.warm_up.learning_rate) == (("age", "gender"), (64, 64), 1e-3)


def test_off_and_bare_numbers_of_yaml_are_read_as_views_to_keep():
    read = [make_settings(PLAIN | yaml.safe_load(f"cache_views: {text}")).cache_views for text in ("off", "auto", "4")]
    assert read == ["off", "auto", "4"]


def test_a_bare_name_means_both_phases_and_a_phases_own_name_beats_it():
    settings = make_settings(PLAIN | {"optimizer": "sgd", "fine_tuning_optimizer": "adamax", "early_stopping": 3})
    assert (settings.warm_up.optimizer, settings.fine_tuning.optimizer) == ("sgd", "adamax")
    assert (settings.warm_up.early_stopping, settings.fine_tuning.early_stopping) == (3, 3)


def test_every_field_of_a_phase_has_one_flat_name():
    built_in = make_settings(PLAIN)
    own = {name: value for name, value in flat(built_in).items() if name in PHASE_FIELDS}
    assert make_settings(PLAIN | own) == built_in
    fields = {field.name for field in dataclasses.fields(Phase)} - {"name"}
    assert {name for phase, name in PHASE_FIELDS.values() if phase == FINE_TUNING} == fields
    assert {name for phase, name in PHASE_FIELDS.values() if phase == WARM_UP} == fields - {"trainable_layers"}


def test_a_configuration_of_an_earlier_version_is_read(tmp_path):
    path = tmp_path / "config.yaml"
    old = {"optimizer": "rmsprop", "warm_up_epochs": 2, "fine_tuning_learning_rate": 0.5, "trainable_layers": "all"}
    path.write_text(yaml.safe_dump(PLAIN | old))
    settings = load_settings(path)
    assert settings.warm_up == Phase(WARM_UP, 2, 1e-3, "rmsprop")
    assert settings.fine_tuning == Phase(FINE_TUNING, 50, 0.5, "rmsprop", "all")
    assert (settings.precision, settings.batch_normalization, settings.start) == ("float32", "frozen", "")


def test_a_configuration_that_lacks_a_setting_is_refused():
    with pytest.raises(FacetError, match="settings: backbone not found, expected every setting of a run"):
        make_settings({name: value for name, value in PLAIN.items() if name != "backbone"})


def test_origins_are_read_back_from_the_comments(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(to_yaml(make_settings(PLAIN), {"backbone": "option", "data": "the HDF5 file"}))
    found = load_origins(path)
    assert (found["backbone"], found["data"], found["seed"]) == ("option", "the HDF5 file", "built-in")


def test_differences_name_only_what_changes_the_result():
    settings = make_settings(PLAIN)
    slower = dataclasses.replace(settings.fine_tuning, learning_rate=1e-5)
    other = dataclasses.replace(
        settings, data="moved.h5", keep="all", checkpoint_every=5, start="moved@last", seed=3, fine_tuning=slower
    )
    assert settings.differences(other) == ["seed: 0, not 3", "fine_tuning_learning_rate: 0.0001, not 1e-05"]


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [("auto", "off", []), ("auto", "4", ["cache_views: auto, not 4"]), ("4", "8", ["cache_views: 4, not 8"])],
)
def test_kept_views_change_the_result_where_they_are_numbered(before, after, said):
    one, other = (make_settings(PLAIN | {"cache_views": value}) for value in (before, after))
    assert one.differences(other) == said


def test_an_option_beats_set_which_beats_the_sidecar_which_beats_the_file(reader, tmp_path):
    weights = tmp_path / "some.weights.h5"
    weights.write_bytes(b"x")
    sidecar = {"architecture": "mobilenet", "arguments": {"alpha": 0.5}}
    (tmp_path / "some.weights.h5.json").write_text(json.dumps(sidecar))
    resolved = resolve(
        {"weights": str(weights), "batch_size": 8}, {"batch_size": 16, "image_size": [48, 48], "seed": 4}, reader
    )
    settings = resolved.settings
    assert (settings.batch_size, settings.seed, settings.image_size) == (8, 4, (48, 48))
    assert (settings.backbone, settings.backbone_arguments) == ("mobilenet", {"alpha": 0.5})
    names = ("batch_size", "seed", "image_size", "backbone", "images_digest")
    assert [resolved.origins[name] for name in names] == [
        "option",
        "--set",
        "--set",
        "the weights file's sidecar",
        "the HDF5 file",
    ]


def test_gender_is_learnt_where_the_file_has_it_at_the_files_own_size(reader):
    settings = resolve({"backbone": "vgg19", "weights": "none"}, {}, reader).settings
    assert (settings.label, settings.image_size, settings.best_metric) == (("gender",), (64, 64), "val_gender_accuracy")


def test_several_labels_are_judged_by_the_sum_of_losses(reader):
    given = {"backbone": "vgg19", "weights": "none", "label": ("age", "gender")}
    assert resolve(given, {}, reader).settings.best_metric == "val_loss"
    assert resolve(given | {"best_metric": "age_mae"}, {}, reader).settings.best_metric == "val_age_mae"


def test_an_option_for_both_phases_leaves_the_phase_that_set_names(reader):
    given = {"backbone": "vgg19", "weights": "none", "schedule": "cosine"}
    resolved = resolve(given, {"warm_up_schedule": "constant", "optimizer": "sgd"}, reader)
    warm_up, fine_tuning = resolved.settings.warm_up, resolved.settings.fine_tuning
    assert (warm_up.schedule, fine_tuning.schedule) == ("constant", "cosine")
    assert (warm_up.optimizer, fine_tuning.optimizer) == ("sgd", "sgd")
    names = ("warm_up_schedule", "fine_tuning_schedule", "warm_up_optimizer")
    assert [resolved.origins[name] for name in names] == ["--set", "option", "--set"]


@pytest.mark.parametrize(
    ("asked", "bfloat16", "settled"),
    [
        ("auto", False, "float32"),
        ("auto", True, "mixed_bfloat16"),
        ("float32", True, "float32"),
        ("mixed_bfloat16", False, "mixed_bfloat16"),
    ],
)
def test_precision_is_settled_by_the_devices_unless_it_is_asked_for(reader, asked, bfloat16, settled):
    given = {"backbone": "vgg19", "weights": "none"} | ({} if asked == "auto" else {"precision": asked})
    found = resolve(given, {}, reader).settings.precision
    assert (found, settled_precision(found, bfloat16)) == (asked, settled)


@pytest.mark.parametrize(
    ("given", "sets", "sentence"),
    [
        ({"weights": "none"}, {}, f"--backbone: none given, expected one of {', '.join(sorted(BACKBONES))}"),
        (
            {"backbone": "vgg19"},
            {},
            "--weights: none given, expected imagenet, none (train from nothing) or a Keras weights file",
        ),
        (
            {"backbone": "vgg19", "weights": "no.h5"},
            {},
            "weights no.h5: no such file, expected imagenet, none or a Keras weights file",
        ),
        (
            {"backbone": "vgg19", "weights": "none", "best_metric": "acuracy"},
            {},
            "best_metric 'val_acuracy': expected one of val_gender_accuracy, val_loss",
        ),
        ({"backbone": "vgg19", "weights": "none"}, {"bach_size": 3}, "--set bach_size: expected one of "),
        ({"backbone": "vgg19", "weights": "none"}, {"images_digest": "ab"}, "--set images_digest: expected one of "),
    ],
)
def test_what_is_missing_is_asked_for(reader, given, sets, sentence):
    with pytest.raises(FacetError) as error:
        resolve(given, sets, reader)
    assert str(error.value).startswith(sentence)


def test_settings_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        make_settings(PLAIN).seed = 3
    assert isinstance(make_settings(PLAIN), Settings)
