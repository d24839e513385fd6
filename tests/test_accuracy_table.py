import pytest

from benchmarks.accuracy.plan import EXPERIMENTS
from benchmarks.accuracy.table import figures, tables

COMMAND = (
    "facet train agegender_cleaned.h5 --label gender --weights faces --image-size 128 --warm-up-epochs 4"
    " --warm-up-learning-rate 0.001 --fine-tuning-epochs 4 --fine-tuning-learning-rate 0.0001 --trainable-layers 4"
)
WHO = ("facet", "keras")
BELOW = (
    "Asked: gender accuracy, test ≥ 0.95: holds. Facet less plain Keras on the mean: -0.50 ± 1.12 points, asked ≥ -0.3:"
    " **missed**."
)


def run(who, seed, accuracy, stranger):
    return {
        "experiment": "gender-faces",
        "who": who,
        "seed": seed,
        "measured_on": "agegender_cleaned",
        "split": "test",
        "count": 800,
        "metrics": {"gender": {"accuracy": accuracy, "majority": 0.55}},
        "groups": {"person": {"not in train": {"gender": {"count": 400, "accuracy": stranger}}}},
    }


def test_a_table_has_mean_and_deviation_of_each_figure_for_facet_and_its_peer():
    found = [
        run("keras", 0, 0.95, 0.94),
        run("facet", 0, 0.96, 0.93),
        run("facet", 1, 0.94, 0.95),
        run("keras", 1, 0.96, 0.94),
    ]
    assert tables(found).splitlines() == [
        f"**gender-faces**: `{COMMAND}`",
        "",
        "| | gender accuracy, test | gender accuracy, persons not in train |",
        "|---|---|---|",
        "| Facet | 0.9500 ± 0.0141 (2) | 0.9400 ± 0.0141 (2) |",
        "| plain Keras `fit` | 0.9550 ± 0.0071 (2) | 0.9400 ± 0.0000 (2) |",
        "",
        BELOW,
    ]


def test_beside_its_peer_only_weights_that_know_faces_have_a_bar():
    found = [
        run(who, seed, 0.9 + 0.01 * seed, 0.9) | {"experiment": "gender-imagenet"} for seed in (0, 1) for who in WHO
    ]
    assert tables(found).splitlines()[-1] == (
        "Asked: gender accuracy, test ≥ 0.88: holds. Facet less plain Keras on the mean: +0.00 ± 0.71 points."
    )


def test_imdb_and_wiki_are_one_figure_weighted_by_their_counts():
    groups = {"origin": {"imdb": {"age": {"count": 300, "mae": 6.0}}, "wiki": {"age": {"count": 100, "mae": 8.0}}}}
    found = figures({"measured_on": "agegender_cleaned", "metrics": {"age": {"mae": 6.2}}, "groups": groups})
    assert found == {"age mae, test": 6.2, "age mae, IMDB-WIKI alone": pytest.approx(6.5)}


def test_the_classes_of_a_label_have_columns_of_their_own_where_an_experiment_asks_for_them():
    groups = {
        "gender": {"male": {"age": {"count": 3, "mae": 5.0}}, "female": {"age": {"count": 4, "mae": 6.0}}},
        "decade": {"20": {"age": {"count": 7, "mae": 5.5}}},
    }
    found = figures({"measured_on": "afad_layout", "metrics": {"age": {"mae": 5.6}}, "groups": groups}, "gender")
    assert found == {"age mae, test": 5.6, "age mae, male": 5.0, "age mae, female": 6.0}


def test_variants_of_a_training_are_rows_of_one_table():
    told = {"experiment": "afad-age", "seed": 0, "measured_on": "afad_layout"}
    found = [
        told | {"who": who, "metrics": {"age": {"mae": mae}}}
        for who, mae in (("no class weights", 6.0), ("balanced class weights", 7.0))
    ]
    assert tables(found).splitlines()[2:] == [
        "| | age mae, test |",
        "|---|---|",
        "| balanced class weights | 7.00 (1) |",
        "| no class weights | 6.00 (1) |",
    ]


def test_a_bar_that_is_missed_is_said():
    found = [run("facet", 0, 0.94, 0.93)]
    assert tables(found).splitlines()[-1] == "Asked: gender accuracy, test ≥ 0.95: **missed**."


def test_nothing_measured_is_said():
    assert tables([]) == "Not measured yet.\n"


def test_experiments_have_names_of_their_own():
    names = [experiment.name for experiment in EXPERIMENTS]
    assert len(set(names)) == len(names)
