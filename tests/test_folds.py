"""Folds: splits made of them, in readers, generators, settings and evaluations."""

import json
import pickle
import shutil
import statistics
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdf5_helper import HDF5Generator, HDF5Reader
from hdf5_helper.errors import FacetError
from hdf5_helper.packing.packer import PackOptions, pack
from hdf5_helper.reading.packed_index import splits_of_fold
from models.description import ModelDescription
from models.export.examples import examples_from
from models.interface.building import describe_model
from models.interface.folds import FoldRuns, folds_table, mean_figures, measured_before, settle_folds
from models.interface.settling import TrainRequest, settle
from models.model_data import open_for
from models.training.runs import Run
from models.training.settings_file import to_yaml

SPLITS = ("train", "validation", "test")
GIVEN = {"label": ("gender",), "backbone": "vgg19", "weights": "none"}


@pytest.fixture(scope="module")
def file(packed):
    return packed("adience", count=120)


@pytest.fixture(autouse=True)
def history(tmp_path, monkeypatch):
    monkeypatch.setenv("FACET_HISTORY", str(tmp_path / "history"))
    return tmp_path / "history"


def rows(reader):
    return {name: reader.split(name).tolist() for name in SPLITS}


@pytest.mark.parametrize("fold", range(5))
def test_a_fold_is_the_test_split_the_one_before_it_validation_and_the_others_train(file, fold):
    with HDF5Reader(file) as plain, HDF5Reader(file, fold=fold) as reader:
        folds = plain.folds
        expected = {"test": [fold], "validation": [(fold - 1) % 5], "train": [(fold + n) % 5 for n in (1, 2, 3)]}
        assert rows(reader) == {name: np.flatnonzero(np.isin(folds, expected[name])).tolist() for name in SPLITS}
        assert reader.splits == SPLITS


@pytest.mark.parametrize("fold", range(5))
def test_a_fold_gives_the_splits_that_packing_by_it_gives(file, sample_tree, tmp_path, fold):
    pack([sample_tree("adience", 120)], tmp_path / "fold.h5", PackOptions(fold=fold))
    with HDF5Reader(file, fold=fold) as by_reader, HDF5Reader(tmp_path / "fold.h5") as by_packer:
        readers = (by_reader, by_packer)
        by_path = [{name: {reader.paths[row] for row in reader.split(name)} for name in SPLITS} for reader in readers]
        assert by_path[0] == by_path[1]


def test_a_fold_travels_with_a_pickled_reader(file):
    with HDF5Reader(file, fold=2) as reader, pickle.loads(pickle.dumps(reader)) as copy:  # noqa: S301 - our own
        assert rows(copy) == rows(reader)


@given(st.lists(st.integers(-1, 6), min_size=3).filter(lambda folds: len(set(folds) - {-1}) >= 3), st.data())
def test_every_example_with_a_fold_is_in_one_split_and_folds_are_never_cut(folds, data):
    numbers = sorted(set(folds) - {-1})
    fold = data.draw(st.sampled_from(numbers))
    splits = splits_of_fold(np.array(folds, np.int8), fold)
    by_fold = {number: {int(s) for s, f in zip(splits, folds, strict=True) if f == number} for number in numbers}
    assert by_fold.pop(fold) == {2}
    assert by_fold.pop(numbers[numbers.index(fold) - 1]) == {1}
    assert set(map(tuple, by_fold.values())) == {(0,)}
    assert {int(s) for s, f in zip(splits, folds, strict=True) if f == -1} <= {255}


def test_an_example_without_a_fold_is_in_no_split():
    splits = splits_of_fold(np.array([0, 1, 2, -1], np.int8), 0)
    assert splits.tolist() == [2, 0, 1, 255]


def test_a_generator_takes_its_batches_from_the_splits_of_its_fold(file):
    with HDF5Reader(file, fold=1) as reader, HDF5Generator(file, "test", 8, "gender", fold=1) as generator:
        assert set(generator.order.rows) <= set(reader.split("test"))
        assert len(generator.order.rows) > 0


@pytest.mark.parametrize(
    ("fold", "sentence"),
    [
        (5, "fold 5: {file} does not have it, expected one of 0, 1, 2, 3, 4"),
        (-1, "fold -1: expected an integer of at least 0"),
        (True, "fold True: expected an integer of at least 0"),
        ("1", "fold '1': expected an integer of at least 0"),
    ],
)
def test_a_fold_that_is_none_is_one_sentence_and_the_file_is_let_go(file, fold, sentence, tmp_path):
    path = shutil.copy(file, tmp_path / "own.h5")
    with pytest.raises(FacetError) as error:
        HDF5Reader(path, fold=fold)
    assert str(error.value) == sentence.replace("{file}", str(path))
    with open("/proc/self/maps") as maps:
        assert str(path) not in maps.read()


def test_a_file_without_folds_has_no_splits_of_them(packed):
    other = packed("agegender", count=60)
    with pytest.raises(FacetError, match="its folds are none, expected at least 3 to make splits"):
        HDF5Reader(other, fold=0)
    with pytest.raises(FacetError, match="its folds are none, expected at least 3 to make splits"):
        settle_folds(TrainRequest(other, given=GIVEN))


def test_a_training_of_a_fold_remembers_it_and_asks_for_one_that_is_there(file):
    assert settle(TrainRequest(file, given=GIVEN | {"fold": 3})).settings.fold == 3
    with pytest.raises(FacetError, match=r"fold 7: .* does not have it, expected one of 0, 1, 2, 3, 4"):
        settle(TrainRequest(file, given=GIVEN | {"fold": 7}))


@pytest.fixture(scope="module")
def description(file):
    """Of a model that was trained on fold 3."""
    settings = settle(TrainRequest(file, given=GIVEN | {"fold": 3, "image_size": (24, 24)})).settings
    return describe_model(settings, (), "one")


def test_a_model_finds_the_splits_of_its_fold_in_its_own_data_wherever_they_lie(file, description, packed, tmp_path):
    other, moved = packed("agegender", count=60), Path(shutil.copy(file, tmp_path / "moved.h5"))
    for data, fold in ((file, 3), (moved, 3), (other, None)):
        with open_for(description, data) as found, HDF5Reader(data, fold=fold) as expected:
            assert rows(found) == rows(expected)
    with open_for(replace(description, fold=-1), file) as found, HDF5Reader(file) as expected:
        assert rows(found) == rows(expected)


def test_a_model_is_compared_on_images_that_its_run_was_tested_on(file, description):
    found = examples_from(file, description, 5)
    with HDF5Reader(file, image_size=(24, 24), fold=3) as reader:
        assert np.array_equal(found.images, reader.read(reader.split("test")[:5]))
        assert found.source == f"5 test images of {file.name}"


def test_a_description_keeps_its_fold_and_older_ones_have_none(description):
    values = json.loads(json.dumps(description.to_dict()))
    assert values["fold"] == 3
    assert ModelDescription.from_dict(values) == description
    del values["fold"]
    assert ModelDescription.from_dict(values) == replace(description, fold=-1)


def test_folds_are_settled_as_a_run_each(file):
    runs = settle_folds(TrainRequest(file, run="all", given=GIVEN, sets={"seed": 3}))
    assert [one.run.name for one in runs.runs] == [f"all/fold-{fold}" for fold in range(5)]
    assert [one.settings.fold for one in runs.runs] == list(range(5))
    assert {one.settings.seed for one in runs.runs} == {3}
    assert settle_folds(TrainRequest(file, given=GIVEN)).runs[0].run.name == "gender-vgg19-1/fold-0"


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"resume": "x"}, "--folds and --resume: both given, expected one of them"),
        ({"start_from": "x"}, "--folds and --from: both given, expected one of them"),
        ({"given": GIVEN | {"fold": 1}}, "--folds and --fold: both given, expected one of them"),
        ({"sets": {"fold": 1}}, "--folds and --set fold: both given, expected one of them"),
        ({"recipe": "one.yaml"}, "--folds and fold of recipe one.yaml: both given, expected one of them"),
        ({"data": None}, "--folds: no data given, expected a packed HDF5 file with folds"),
    ],
)
def test_what_does_not_go_with_folds_is_refused(file, more, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one.yaml").write_text("fold: 1")
    with pytest.raises(FacetError) as error:
        settle_folds(TrainRequest(**({"data": file, "given": GIVEN} | more)))
    assert str(error.value) == sentence


def test_a_single_run_is_no_place_for_the_runs_of_folds(file):
    settled = settle(TrainRequest(file, run="one", given=GIVEN))
    settled.run.create()
    settled.run.config.write_text(to_yaml(settled.settings, settled.origins))
    with pytest.raises(FacetError, match="run 'one': exists as a single run, expected another --run name"):
        settle_folds(TrainRequest(file, run="one", given=GIVEN))


def begun(request, count):
    """Gives the runs of folds, the first `count` of which have a best checkpoint and a newer one."""
    for one in settle_folds(request).runs[:count]:
        one.run.create()
        one.run.config.write_text(to_yaml(one.settings, one.origins))
        one.run.point("best", "a.keras")
        one.run.point("latest", "b.keras")
    return settle_folds(request)


def entry(fold):
    names = {"run": f"all/fold-{fold}", "checkpoint": "a.keras", "newest": "b.keras"}
    return names | {"count": 3, "metrics": {}}


def test_runs_that_were_trained_on_since_they_were_measured_are_measured_again(file):
    runs = begun(TrainRequest(file, run="all", given=GIVEN), 4)
    without = {name: value for name, value in entry(3).items() if name != "newest"}  # as earlier versions wrote it
    runs.file.write_text(json.dumps({"folds": [*map(entry, range(3)), without]}))
    runs.runs[0].run.point("latest", "c.keras")
    runs.runs[2].run.point("best", "b.keras")
    assert measured_before(runs) == {"1": entry(1)}


def test_only_whole_entries_of_runs_that_are_still_there_count_as_measured(file, history):
    request = TrainRequest(file, run="all", given=GIVEN)
    runs = begun(request, 3)
    assert measured_before(runs) == {}
    entries = [entry(fold) for fold in (0, 2, 4)]
    del entries[1]["metrics"]
    text = str({"folds": entries}).replace("'", '"')
    runs.file.write_text(text)
    assert measured_before(runs) == {"0": entries[0]}
    for damaged in ("", text[:-9], "[]", '{"folds": 3}', '{"folds": [3]}'):
        runs.file.write_text(damaged)
        assert measured_before(runs) == {}
    assert Run("all").folder == history / "all"


METRICS = [
    {"gender": {"count": 3, "accuracy": a, "auc": b, "confusion": [[1]]}, "age": {"mae": c}}
    for a, b, c in ((0.5, 0.75, 6.0), (0.625, None, 5.0), (0.875, 0.5, 7.5))
]


def test_mean_and_sample_deviation_are_of_the_figures_that_all_folds_have():
    assert mean_figures(METRICS) == {
        "gender": {"accuracy": {"mean": 2 / 3, "standard_deviation": statistics.stdev([0.5, 0.625, 0.875])}},
        "age": {"mae": {"mean": 18.5 / 3, "standard_deviation": statistics.stdev([6.0, 5.0, 7.5])}},
    }
    assert mean_figures(METRICS[:1])["age"]["mae"] == {"mean": 6.0, "standard_deviation": None}
    assert mean_figures([]) == {}


def test_the_table_has_a_line_a_fold_and_the_mean_below():
    folds = [{"fold": fold, "count": 1200, "metrics": metrics} for fold, metrics in enumerate(METRICS)]
    assert folds_table({"folds": folds, "metrics": mean_figures(METRICS)}).splitlines() == [
        "fold  examples  gender accuracy  age mae",
        "0     1,200     0.5000           6.0000",
        "1     1,200     0.6250           5.0000",
        "2     1,200     0.8750           7.5000",
        "mean            0.6667 ± 0.1909  6.1667 ± 1.2583",
    ]


def test_the_file_of_folds_lies_beside_the_runs(history):
    assert FoldRuns("a/b", ()).file == history / "a" / "b" / "folds.json"
