"""`facet train --recipe` and the options beside it, as users type them."""

import pytest

from hdf5_helper.errors import FacetError
from models.training.recipe_files import recipe_names
from scripts.train_values import given, pairs


@pytest.fixture(scope="module")
def file(packed):
    return packed("agegender", count=60)


def test_help_lists_the_recipes(facet):
    answer = facet("train", "--recipe", "help")
    assert (answer.code, answer.stderr) == (0, "")
    assert [line.split()[0] for line in answer.stdout.splitlines()] == list(recipe_names())


def test_help_lists_the_backbones(facet):
    answer = facet("train", "--backbone", "help")
    assert (answer.code, answer.stderr) == (0, "")
    assert {"vgg19", "vggface", "resnext50"} <= {line.partition(" ")[0] for line in answer.stdout.splitlines()}


def test_a_dry_run_says_what_the_recipe_sets_and_writes_nothing(facet, file, tmp_path):
    words = ("--run", "r", "--recipe", "afad-gender", "--weights", "none", "--image-size", "64", "--dry-run")
    answer = facet("train", file, *words, cwd=tmp_path)
    assert (answer.code, answer.stderr) == (0, "")
    plan, recipe = answer.stdout.splitlines()
    assert plan.startswith(f"begins run r: gender on {file}, vgg19 with weights none, images 64x64, batches of 64, ")
    assert recipe == (
        "recipe afad-gender sets label [gender], backbone vgg19, batch_size 64, pooling flatten, units [256, 256],"
        " dropout 0.2, class_weights balanced, augment afad, warm_up_epochs 24, warm_up_learning_rate 0.001,"
        " fine_tuning_epochs 50, fine_tuning_learning_rate 0.0005, trainable_layers 4, warm_up_optimizer rmsprop,"
        " fine_tuning_optimizer adam"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_mistake_in_a_recipe_is_one_sentence_with_its_line(facet, file, tmp_path):
    (tmp_path / "mine.yaml").write_text("seed: 1\n\noptimizer: adm\n")
    answer = facet("train", file, "--recipe", "mine.yaml", cwd=tmp_path)
    sentence = "mine.yaml line 3: optimizer 'adm': expected one of adam, adamax, rmsprop, sgd (did you mean 'adam'?)"
    assert (answer.code, answer.stdout, answer.stderr) == (1, "", f"facet: {sentence}\n")


def test_heads_and_loss_weights_are_read_by_label():
    found = given({"heads": ("gender=softmax", "age = bins"), "loss_weights": "age=1,gender=500", "crop": None})
    assert found == {
        "heads": {"gender": "softmax", "age": "bins"},
        "loss_weights": {"age": 1.0, "gender": 500.0},
    }
    assert given({"heads": (), "loss_weights": None, "crop": "224"}) == {"crop": (224, 224)}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"heads": ("softmax",)}, "--head 'softmax': expected gender=softmax"),
        ({"heads": ("gender=",)}, "--head 'gender=': expected gender=softmax"),
        ({"loss_weights": "age=1,"}, "--loss-weights '': expected age=1,gender=500"),
        ({"loss_weights": "age=much"}, "setting loss_weights: expected dict[str, float], found {'age': 'much'}"),
    ],
)
def test_what_is_no_label_with_a_value_is_refused(options, sentence):
    with pytest.raises(FacetError) as error:
        given(options)
    assert str(error.value) == sentence


@pytest.mark.parametrize("value", ["[" * 5000, "2026-13-45", "{"])
def test_a_setting_that_is_no_yaml_is_one_sentence(value):
    with pytest.raises(FacetError, match=r"the value is no YAML \("):
        pairs((f"units={value}",))
