import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from benchmarks.few_shot import COUNTS, STRENGTHS, Side, accuracies, chosen_strength, drawn, plot, sides, table

FIGURES = Path(__file__).resolve().parent.parent / "benchmarks" / "figures" / "few_shot.json"


def made_up(count, distance, seed):
    """Two clouds in 8 dimensions whose centres are so far apart."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    features = rng.normal(size=(count, 8)) + distance * labels[:, None] / np.sqrt(8)
    return Side(features.astype(np.float32), labels.astype(np.int64))


def test_a_draw_has_so_many_examples_of_each_class():
    labels = np.array([0] * 30 + [1] * 9)
    rows = drawn(labels, 9, draw=4)
    assert len(set(rows.tolist())) == 18
    assert labels[rows].tolist() == [0] * 9 + [1] * 9


def test_a_smaller_draw_is_part_of_a_larger_one_and_another_draw_is_another():
    labels = np.arange(400) % 2
    draws = [[set(drawn(labels, count, draw).tolist()) for count in (1, 10, 100)] for draw in (0, 1)]
    assert all(one[0] < one[1] < one[2] for one in draws)
    assert len(draws[0][1] & draws[1][1]) < 5


def test_the_same_vectors_give_the_same_accuracies_and_are_left_as_they_are():
    pool, test = made_up(200, 2.0, 0), made_up(100, 2.0, 1)
    before = pool.features.copy(), test.features.copy()
    first = accuracies(pool, test, 0.01, (1, 10), 3)
    assert accuracies(pool, test, 0.01, (1, 10), 3) == first
    assert [len(values) for values in first.values()] == [3, 3]
    assert (pool.features == before[0]).all()
    assert (test.features == before[1]).all()


def test_more_examples_find_what_there_is_and_find_nothing_in_noise():
    found = accuracies(made_up(400, 4.0, 0), made_up(400, 4.0, 1), 0.01, (1, 100), 5)
    assert np.mean(found[100]) > 0.95
    assert np.mean(found[1]) < np.mean(found[100])
    noise = accuracies(made_up(400, 0.0, 0), made_up(400, 0.0, 1), 0.01, (100,), 5)
    assert np.mean(noise[100]) == pytest.approx(0.5, abs=0.06)


def test_the_penalty_is_the_best_of_those_on_the_validation_split():
    pool, validation = made_up(200, 2.0, 0), made_up(100, 2.0, 2)
    chosen = chosen_strength(pool, validation, (3, 30), 2)
    means = {
        strength: np.mean(list(accuracies(pool, validation, strength, (3, 30), 2).values())) for strength in STRENGTHS
    }
    assert means[chosen] == max(means.values())


def test_nobody_of_the_test_split_is_drawn_and_only_the_pool_scales(tmp_path):
    rng = np.random.default_rng(0)
    with h5py.File(tmp_path / "features.h5", "w") as file:
        file["features"] = rng.normal(5, 3, (8, 4)).astype(np.float32)
        file["labels/gender"] = np.array([0, 1, 0, 1, 0, 1, 255, 0], np.uint8)
        file["split"] = np.array([0, 0, 0, 0, 1, 2, 0, 2], np.uint8)
        file["subject"] = np.array([1, 2, 3, 4, 5, 4, 6, 7], np.int32)  # 4 is in train and in test
        features = file["features"][()]
    pool, validation, test = sides(tmp_path / "features.h5")
    assert [side.labels.tolist() for side in (pool, validation, test)] == [[0, 1, 0], [0], [1, 0]]
    np.testing.assert_allclose(pool.features.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(pool.features.std(axis=0), 1, atol=1e-5)
    wanted = (features[4] - features[:3].mean(axis=0)) / features[:3].std(axis=0)
    np.testing.assert_allclose(validation.features[0], wanted, rtol=1e-5)


def test_the_table_and_the_plot_show_what_was_found(tmp_path):
    by_count = {str(count): [0.5, 0.7] for count in COUNTS}
    found = {"majority": 0.55, "curves": {"faces": {"C": 0.01, "accuracy": by_count}}}
    assert table(found).splitlines()[-1] == ("| MobileNet, faces (C = 0.01) |" + " 0.600 ± 0.141 |" * len(COUNTS))
    for name in ("a.svg", "b.svg"):
        plot(found, tmp_path / name)
    drawing = (tmp_path / "a.svg").read_text()
    assert drawing == (tmp_path / "b.svg").read_text()
    assert "MobileNet, faces" in drawing
    assert "training examples a class" in drawing


def test_the_page_shows_the_figures_that_were_measured():
    page = (FIGURES.parents[2] / "docs" / "training.md").read_text()
    for line in table(json.loads(FIGURES.read_text())).splitlines():
        assert line in page
