import pytest

from benchmarks.accuracy.plan import EXPERIMENTS
from benchmarks.accuracy.table import figures, tables

BELOW = (
    "Asked: gender accuracy, test ≥ 0.95: holds. Facet less plain Keras on the mean: -0.50 points, asked ≥ -0.3:"
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
        "| gender-faces | gender accuracy, test | gender accuracy, persons not in train |",
        "|---|---|---|",
        "| Facet | 0.9500 ± 0.0141 (2) | 0.9400 ± 0.0141 (2) |",
        "| plain Keras `fit` | 0.9550 ± 0.0071 (2) | 0.9400 ± 0.0000 (2) |",
        "",
        BELOW,
    ]


def test_imdb_and_wiki_are_one_figure_weighted_by_their_counts():
    groups = {"origin": {"imdb": {"age": {"count": 300, "mae": 6.0}}, "wiki": {"age": {"count": 100, "mae": 8.0}}}}
    found = figures({"measured_on": "agegender_cleaned", "metrics": {"age": {"mae": 6.2}}, "groups": groups})
    assert found == {"age mae, test": 6.2, "age mae, IMDB-WIKI alone": pytest.approx(6.5)}


def test_nothing_measured_is_said():
    assert tables([]) == "Not measured yet.\n"


def test_experiments_have_names_of_their_own():
    names = [experiment.name for experiment in EXPERIMENTS]
    assert len(set(names)) == len(names)
