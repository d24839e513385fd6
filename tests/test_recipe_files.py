"""Recipes as files: those of the project, and what is said of a file that is none."""

import time
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hdf5_helper.errors import FacetError
from models.training.located_yaml import read_located
from models.training.recipe_files import Recipe, read_recipe, recipe_names, recipe_table
from models.training.setting_names import SHAPING
from models.training.settings import flat, make_settings, setting_names

NAMES = (
    "adience-age-group",
    "adience-vggface",
    "adience-vggface-3class",
    "afad-age",
    "afad-age-again",
    "afad-age-gender",
    "afad-gender",
    "afad-gender-again",
    "agegender-vggface-features",
    "celeba-attributes",
    "celeba-attributes-bce",
)
FOLDER = Path(__file__).resolve().parent.parent / "models" / "recipes"
RUN = {"data": "", "images_digest": "", "index_digest": "", "best_metric": "val_loss", "weights": "none"}


@pytest.fixture
def refusal(tmp_path):
    def refused(content, name="mine.yaml"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        with pytest.raises(FacetError) as error:
            read_recipe(str(path))
        return str(error.value).replace(str(tmp_path) + "/", "")

    return refused


def test_there_is_a_recipe_for_each_pipeline():
    assert recipe_names() == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_of_the_project_is_what_plain_yaml_reads_and_has_a_description(name):
    recipe, plain = read_recipe(name), yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
    assert recipe.description == plain.pop("description")
    assert list(recipe.values) == list(plain)
    if "label" in recipe.values:  # else it goes on from a run, and settings come from there
        settings = flat(make_settings(RUN | plain))
        assert {key: value for key, value in recipe.values.items() if settings.get(key, value) != value} == {}


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_of_a_recipe_stands_below_a_comment(name):
    blocks = (FOLDER / f"{name}.yaml").read_text().split("\n\n")
    bare = [block for block in blocks if not any(line.startswith("#") for line in block.splitlines())]
    assert [block for block in bare if not block.startswith("label: ")] == []
    assert blocks[0].splitlines()[0].startswith("# ")


def test_recipes_that_go_on_change_nothing_of_the_models_shape():
    for name in NAMES:
        if name.endswith("-again"):
            assert set(read_recipe(name).values) & set(SHAPING) == set()


def test_the_seeds_figures_are_in_the_recipes():
    values = read_recipe("afad-gender").values
    found = {name: values[name] for name in ("image_size", "units", "dropout", "warm_up_optimizer", "trainable_layers")}
    assert found == {
        "image_size": (150, 150),
        "units": (256, 256),
        "dropout": 0.2,
        "warm_up_optimizer": "rmsprop",
        "trainable_layers": "4",
    }
    assert read_recipe("afad-age-gender").values["loss_weights"] == {"age": 1.0, "gender": 500.0}
    assert read_recipe("adience-vggface-3class").values["crop"] == (224, 224)


def test_the_table_has_a_line_a_recipe():
    lines = recipe_table().splitlines()
    assert [line.split()[0] for line in lines] == list(NAMES)
    assert lines[0].endswith(read_recipe(NAMES[0]).description)


def test_a_file_is_read_by_its_path_with_values_as_users_write_them(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("label: age, gender\nimage_size: 64x48\nunits: []\nwarm_up_learning_rate: 1e-3\nkeep: 3\n")
    assert read_recipe(str(path)) == Recipe(
        str(path),
        {
            "label": ("age", "gender"),
            "image_size": (64, 48),
            "units": (),
            "warm_up_learning_rate": 0.001,
            "keep": "3",
        },
    )


def test_a_file_without_a_suffix_is_read_where_it_is_there(tmp_path):
    (tmp_path / "mine").write_text("seed: 3")
    assert read_recipe(str(tmp_path / "mine")).values == {"seed": 3}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "mine.yaml: is empty, expected settings such as backbone: vgg19"),
        ("# nothing\n", "mine.yaml: is empty, expected settings such as backbone: vgg19"),
        ("- seed\n", "mine.yaml line 1: expected settings by name such as backbone: vgg19, found no mapping"),
        ("seed", "mine.yaml line 1: expected settings by name such as backbone: vgg19, found no mapping"),
        ("seed: 1\n\nbach_size: 3\n", "mine.yaml line 3: setting 'bach_size', expected one of "),
        ("images_digest: ab\n", "mine.yaml line 1: setting 'images_digest', expected one of "),
        ("preprocessing: tf\n", "mine.yaml line 1: setting 'preprocessing', expected one of "),
        ("seed: 1\nseed: 2\n", "mine.yaml line 2: seed is on line 1 already, expected it once"),
        ("heads:\n  age: mae\n  age: mse\n", "mine.yaml line 3: age is on line 2 already, expected it once"),
        ("# a\nseed: x\n", "mine.yaml line 2: setting seed: expected int, found 'x'"),
        ("seed: true\n", "mine.yaml line 1: setting seed: expected int, found True"),
        ("seed:\n", "mine.yaml line 1: setting seed: expected int, found None"),
        ("units: [a]\n", "mine.yaml line 1: setting units: expected tuple[int, ...], found ['a']"),
        ("loss_weights: {age: big}\n", "mine.yaml line 1: setting loss_weights: expected dict[str, float], found "),
        ("description: [1]\n", "mine.yaml line 1: description: expected text, found [1]"),
        (
            "seed: 1\noptimizer: adm\n",
            "mine.yaml line 2: optimizer 'adm': expected one of adam, adamax, rmsprop, sgd (did you mean 'adam'?)",
        ),
        ("seed: 1\naugment: miror\n", "mine.yaml line 2: augmentation 'miror': expected one of "),
        ("batch_size: 0\n", "mine.yaml line 1: batch_size 0: expected a number above 0"),
        ("dropout: 1.5\n", "mine.yaml line 1: head: expected units of 1 to 65536 and dropouts in [0, 1), found "),
        ("backbone: vgg18\n", "mine.yaml line 1: backbone 'vgg18': expected one of "),
        (
            "heads: {gender: bins}\n",
            "mine.yaml line 1: heads gender=bins: expected one of sigmoid, softmax, softmax-un",
        ),
        ("loss_weights: {age: -1}\n", "mine.yaml line 1: loss_weights age=-1: expected a finite number of at least 0"),
        (
            "warm_up_epochs: 0\nfine_tuning_epochs: 0\n",
            "mine.yaml: warm_up_epochs and fine_tuning_epochs: both are 0, expected at least one epoch",
        ),
        (
            "batch_size: 10\ngradient_accumulation: 4\n",
            "mine.yaml: gradient_accumulation 4: does not divide the batch size 10, expected a number of equal parts",
        ),
        ("image_size: 64\ncrop: 65\n", "mine.yaml: crop (65, 65): expected a window inside the image size (64, 64)"),
        ("label: age\nheads: {gender: softmax}\n", "mine.yaml: heads 'gender': is not trained, expected one of age"),
        (b"seed: 1\n\xff: 2\n", "mine.yaml line 2: is not UTF-8, expected a text file"),
        ("seed: [1\n", "mine.yaml line 2: is no plain YAML (expected ',' or ']'"),
        ("seed: 1\n\tbatch_size: 2\n", "mine.yaml line 2: is no plain YAML ("),
        ("seed: 1\n---\nseed: 2\n", "mine.yaml line 2: is no plain YAML (but found another document)"),
        ("seed: a\x07b\n", "mine.yaml: is no plain YAML ("),
        ("seed: !!python/object/apply:os.system [ls]\n", "mine.yaml line 1: is no plain YAML (could not determine a "),
        ("seed: !!set {a, b}\n", "mine.yaml line 1: setting seed: expected int, found "),
        ("seed: &a 1\nbatch_size: *a\n", "mine.yaml line 1: has a YAML anchor or alias, expected each value as it is"),
        ("<<: {seed: 1}\n", "mine.yaml line 1: setting '<<', expected one of "),
        ("{a: 1}: 2\n", "mine.yaml line 1: expected a name before the colon, found a mapping"),
        ("seed: 2026-13-45\n", "mine.yaml line 1: expected a plain value, found '2026-13-45'"),
        (f"seed: {'9' * 5000}\n", f"mine.yaml line 1: expected a plain value, found '{'9' * 40}'"),
        ("a: " + "[" * 20000, "mine.yaml line 1: is nested 5 deep, expected flat settings"),
        ("a: " + "{a: " * 2000, "mine.yaml line 1: is nested 5 deep, expected flat settings"),
        ("#" * 70_000, "mine.yaml: has more than 65,536 bytes, expected a YAML file of settings"),
    ],
)
def test_a_file_that_is_no_recipe_is_one_sentence_with_line_and_expectation(refusal, content, sentence):
    began = time.process_time()
    assert refusal(content).startswith(sentence)
    assert time.process_time() - began < 2


def test_a_crop_without_a_size_of_its_own_is_for_the_size_of_the_file(tmp_path):
    (tmp_path / "a.yaml").write_text("crop: 224")
    assert read_recipe(str(tmp_path / "a.yaml")).values == {"crop": (224, 224)}


def test_what_is_no_recipe_at_all_is_named(tmp_path):
    with pytest.raises(FacetError, match=r"--recipe 'afad-gendr': expected one of .*did you mean 'afad-gender'\?"):
        read_recipe("afad-gendr")
    with pytest.raises(FacetError, match=r"gone\.yaml: no such file or directory, expected a YAML file"):
        read_recipe("gone.yaml")
    (tmp_path / "folder.yaml").mkdir()
    with pytest.raises(FacetError, match=r"folder\.yaml: is a directory, expected a YAML file"):
        read_recipe(str(tmp_path / "folder.yaml"))


def test_another_backbone_takes_arguments_weights_and_layer_names_of_the_recipes_own_away():
    recipe = Recipe("r", {"backbone": "resnext50", "weights": "a.h5", "trainable_layers": "layer2", "seed": 3})
    assert recipe.values_under({"backbone": "vgg19"}) == {"seed": 3}
    assert recipe.values_under({"backbone": "resnext50"}) == recipe.values
    counted = Recipe("r", {"backbone": "vgg19", "backbone_arguments": {"a": 1}, "trainable_layers": "4"})
    assert counted.values_under({"backbone": "vgg16"}) == {"trainable_layers": "4"}


def test_other_labels_take_what_the_recipe_says_of_theirs_away():
    recipe = read_recipe("afad-age-gender")
    found = recipe.values_under({"label": ("gender",)})
    assert (found["heads"], found["loss_weights"]) == ({}, {"gender": 500.0})
    assert recipe.values_under({"label": ("age", "gender")}) == recipe.values
    assert "best_metric" not in read_recipe("agegender-vggface-features").values_under({"label": ("age",)})


def test_class_weights_by_class_number_are_for_the_recipes_own_labels():
    recipe = Recipe("r", {"label": ("gender",), "class_weights": "0:1,1:1.582"})
    assert recipe.values_under({"label": ("age_group",)}) == {"label": ("gender",)}
    assert recipe.values_under({"label": ("gender",)}) == recipe.values
    balanced = Recipe("r", {"label": ("gender",), "class_weights": "balanced"})
    assert balanced.values_under({"label": ("age_group",)}) == balanced.values


def test_a_recipe_that_names_no_backbone_and_no_label_is_for_any():
    recipe = Recipe("r", {"weights": "imagenet", "best_metric": "val_loss", "heads": {"age": "mse"}})
    assert recipe.values_under({"backbone": "vgg16", "label": ("age",)}) == recipe.values


@given(st.dictionaries(st.text(max_size=8), st.recursive(st.integers() | st.text(max_size=5), st.lists), max_size=5))
def test_plain_values_are_read_as_yaml_itself_reads_them(tmp_path_factory, values):
    path = tmp_path_factory.getbasetemp() / "plain.yaml"
    path.write_text(yaml.safe_dump(values, allow_unicode=True, sort_keys=False), encoding="utf-8")
    try:
        found = read_located(path)
    except FacetError as error:
        assert not values or "nested" in str(error)  # noqa: PT017 - the only two that are refused
    else:
        assert {name: item.value for name, item in found.items()} == yaml.safe_load(path.read_text())
        assert [item.line for item in found.values()] == sorted(item.line for item in found.values())


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_whatever_a_file_holds_it_is_a_recipe_or_a_sentence(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(content)
    try:
        assert set(read_recipe(str(path)).values) <= set(setting_names())
    except FacetError as error:
        assert str(error).startswith(str(path))  # noqa: PT017
