"""What a recipe has a say in: under options and --set, over everything else."""

import json

import pytest
from small_models import small_model
from trees import agegender_paths, encoded, picture, write

from hdf5_helper import HDF5Reader
from hdf5_helper.errors import FacetError
from hdf5_helper.packing.packer import pack
from models.interface.settling import TrainRequest, settle
from models.training.checkpoints import checkpoint_name, save_checkpoint
from models.training.phase import FINE_TUNING, Phase
from models.training.phases import begin
from models.training.recipe_files import read_recipe
from models.training.resolve import resolve
from models.training.settings_file import load_origins, to_yaml
from models.training.state import TrainingState


@pytest.fixture(scope="module")
def file(packed):
    return packed("agegender", count=60)


@pytest.fixture
def reader(file):
    with HDF5Reader(file) as opened:
        yield opened


@pytest.fixture(autouse=True)
def own_history(tmp_path, monkeypatch):
    monkeypatch.setenv("FACET_HISTORY", str(tmp_path / "history"))


@pytest.fixture
def recipe(tmp_path):
    """Writes a recipe, and gives its path."""

    def write(text, name="mine.yaml"):
        path = tmp_path / name
        path.write_text(text)
        return str(path)

    return write


def resolved(reader, recipe, given=None, sets=None):
    return resolve(given or {}, sets or {}, reader, recipe=read_recipe(recipe))


def test_an_option_beats_set_which_beats_the_recipe_which_beats_sidecar_and_file(reader, recipe, tmp_path):
    weights = tmp_path / "some.weights.h5"
    weights.write_bytes(b"x")
    sidecar = {"architecture": "mobilenet", "arguments": {"alpha": 0.5}}
    (tmp_path / "some.weights.h5.json").write_text(json.dumps(sidecar))
    mine = recipe(f"weights: {weights}\nimage_size: 48\nbatch_size: 4\nseed: 5\ndropout: 0.7\nkeep: all\n")
    found = resolved(reader, mine, {"batch_size": 8}, {"batch_size": 16, "seed": 6})
    settings = found.settings
    assert (settings.batch_size, settings.seed, settings.image_size, settings.dropout) == (8, 6, (48, 48), 0.7)
    assert (settings.backbone, settings.backbone_arguments) == ("mobilenet", {"alpha": 0.5})
    names = ("batch_size", "seed", "image_size", "keep", "backbone", "label", "weights")
    assert [found.origins[name] for name in names] == [
        "option",
        "--set",
        f"recipe {mine}",
        f"recipe {mine}",
        "the weights file's sidecar",
        "the HDF5 file",
        f"recipe {mine}",
    ]


def test_the_configuration_of_a_run_names_the_recipe_beside_each_of_its_values(reader, tmp_path):
    found = resolved(reader, "afad-gender", {"weights": "none"})
    path = tmp_path / "config.yaml"
    path.write_text(to_yaml(found.settings, found.origins))
    assert "dropout: 0.2  # recipe afad-gender\n" in path.read_text()
    assert "warm_up_optimizer: rmsprop  # recipe afad-gender\n" in path.read_text()
    assert load_origins(path)["weights"] == "option"


def test_an_option_for_both_phases_beats_the_recipes_word_for_one(reader):
    found = resolved(reader, "afad-gender", {"optimizer": "sgd"}).settings
    assert (found.warm_up.optimizer, found.fine_tuning.optimizer) == ("sgd", "sgd")


@pytest.mark.parametrize("layer", ["given", "sets"])
def test_another_backbone_is_asked_for_its_own_weights(reader, recipe, layer):
    mine = recipe("backbone: resnext50\nbackbone_arguments: {width: 0.5}\nweights: none\ntrainable_layers: layer2\n")
    with pytest.raises(FacetError, match=f"--weights: none given, and recipe {mine} leaves it to you, expected image"):
        resolved(reader, mine, **{layer: {"backbone": "mobilenet"}})
    found = resolved(reader, mine, **{layer: {"backbone": "mobilenet", "weights": "imagenet"}}).settings
    assert (found.backbone_arguments, found.fine_tuning.trainable_layers) == ({}, "4")
    assert resolved(reader, mine, **{layer: {"backbone": "resnext50"}}).settings.backbone_arguments == {"width": 0.5}


@pytest.mark.parametrize(
    ("name", "start", "end"),
    [
        (
            "adience-vggface",
            "--weights: none given, and recipe adience-vggface leaves it to you, expected none (train from nothing) or",
            "vgg_face/",
        ),
        (
            "afad-gender-again",
            "--backbone: none given, and recipe afad-gender-again leaves it to you, expected one of ",
            "or --from RUN",
        ),
    ],
)
def test_what_a_recipe_leaves_out_is_asked_for(reader, name, start, end):
    with pytest.raises(FacetError) as error:
        resolved(reader, name)
    assert str(error.value).startswith(start)
    assert str(error.value).endswith(end)


def test_what_cannot_be_together_names_the_recipe(reader, recipe):
    mine = recipe("backbone: vgg19\nweights: none\ngradient_accumulation: 4\n")
    with pytest.raises(FacetError, match=rf"does not divide the batch size 6, .* \(with recipe {mine}\)"):
        resolved(reader, mine, {"batch_size": 6})
    with pytest.raises(FacetError, match=r"--label attributes: .* does not have it, .* \(with recipe celeba-"):
        resolved(reader, "celeba-attributes", {"weights": "none"})


def test_heads_and_loss_weights_are_laid_over_each_other_label_by_label(reader):
    given = {"weights": "none", "heads": {"gender": "softmax"}}
    settings = resolved(reader, "afad-age-gender", given, {"loss_weights": {"gender": 5}}).settings
    assert settings.heads == {"age": "mse", "gender": "softmax"}
    assert settings.loss_weights == {"age": 1.0, "gender": 5.0}


def test_fewer_labels_keep_what_the_recipe_says_of_them(reader):
    found = resolved(reader, "afad-age-gender", {"weights": "none", "label": ("age",)}).settings
    assert (found.heads, found.loss_weights, found.best_metric) == ({"age": "mse"}, {"age": 1.0}, "val_age_mae")


def test_images_have_the_backbones_own_size_where_nobody_says_another(tmp_path):
    tree = tmp_path / "tree"
    for number, path in enumerate(agegender_paths(6)):
        write(tree, path, encoded(picture(number, height=40 + number % 2)))
    pack([tree], tmp_path / "sizes.h5")
    with HDF5Reader(tmp_path / "sizes.h5") as reader:
        assert reader.image_size is None
        sizes = [
            resolve({"backbone": name, "weights": "none"}, {}, reader).settings.image_size
            for name in ("mobilenet", "xception")
        ]
    assert sizes == [(224, 224), (299, 299)]


def written(settled):
    """Lays the folder of a run out as if it had trained to its second epoch of fine-tuning."""
    run, (model, description) = settled.run, small_model()
    run.create()
    run.config.write_text(to_yaml(settled.settings, settled.origins))
    begin(model, Phase(FINE_TUNING, 3, 0.01, "adam"))
    name = checkpoint_name(FINE_TUNING, 2)
    save_checkpoint(run.checkpoints / name, model, description, TrainingState(FINE_TUNING, 2), {})
    run.point("latest", name)
    run.point("best", name, value=0.5, phase=FINE_TUNING, epoch=2)


@pytest.fixture
def first(file):
    """A run of the recipe `afad-gender`."""
    request = TrainRequest(file, run="first", given={"weights": "none"}, recipe="afad-gender")
    written(settle(request))
    return request


def test_the_same_command_again_goes_on_and_another_recipe_is_refused(first, file):
    assert settle(first).resumed
    other = TrainRequest(file, run="first", given={"weights": "none"}, recipe="afad-age")
    with pytest.raises(FacetError, match=r"run 'first' exists with other settings \(label: "):
        settle(other)


def test_a_recipe_and_a_resume_do_not_go_together(first):
    with pytest.raises(FacetError) as error:
        settle(TrainRequest(resume="first", recipe="afad-gender"))
    assert str(error.value) == (
        "--recipe and --resume: both given, expected one of them; a resume keeps its run's settings"
    )


def test_a_recipe_goes_over_the_settings_of_the_run_that_is_started_from(first):
    request = TrainRequest(run="again", start_from="first@best", recipe="afad-gender-again")
    settled = settle(request)
    settings, origins = settled.settings, settled.origins
    assert (settings.warm_up.epochs, settings.fine_tuning.epochs, settings.fine_tuning.learning_rate) == (0, 20, 1e-4)
    assert (settings.backbone, settings.weights, settings.class_weights) == ("vgg19", "none", "balanced")
    assert [origins[name] for name in ("warm_up_epochs", "dropout")] == ["recipe afad-gender-again", "run first"]
    written(settled)
    assert settle(request).resumed


def test_the_command_of_a_run_begun_from_another_is_refused_with_another_recipe(first, recipe):
    settled = settle(TrainRequest(run="again", start_from="first@best", recipe="afad-gender-again"))
    written(settled)
    mine = recipe("warm_up_epochs: 0\nfine_tuning_epochs: 20\nfine_tuning_learning_rate: 3.0e-5\n")
    with pytest.raises(FacetError) as error:
        settle(TrainRequest(run="again", start_from="first@best", recipe=mine))
    assert str(error.value) == (
        "fine_tuning_learning_rate: run 'again' was trained with 0.0001, found 3e-05; expected the same, or a new run:"
        f" facet train --from again --run NEW --recipe {mine}"
    )


def test_weights_of_a_recipe_do_not_count_beside_those_of_a_checkpoint_and_another_shape_is_refused(first):
    settled = settle(TrainRequest(run="again", start_from="first", recipe="afad-gender"))
    assert (settled.settings.weights, settled.origins["weights"]) == ("none", "run first")
    with pytest.raises(FacetError, match=r"label: the checkpoint of run 'first' was made with .'gender',., found "):
        settle(TrainRequest(run="again", start_from="first", recipe="afad-age"))


def test_the_new_command_of_a_refused_resume_says_options_as_they_are_typed(first):
    given = {"heads": {"gender": "softmax"}, "loss_weights": {"gender": 2.0}, "crop": (120, 100), "label": ("age", "x")}
    with pytest.raises(FacetError) as error:
        settle(TrainRequest(resume="first", given={"class_weights": "none", **given}))
    assert str(error.value).endswith(
        "facet train --from first --run NEW --class-weights none --head gender=softmax --loss-weights gender=2"
        " --crop 120x100 --label age,x"
    )
