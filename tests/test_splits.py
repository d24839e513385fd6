"""Splits: whole subjects, fair shares, the same for the same seed, and official ones as they are."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdf5_helper.errors import FacetError
from hdf5_helper.packing.options import SplitOptions, parse_parts
from hdf5_helper.packing.splits import choose, split
from hdf5_helper.sources.records import Listing, Record


def people(sizes: list[int], genders: list[int] | None = None) -> list[Record]:
    """Gives sizes[i] records of person i, in the order of their paths."""
    return [
        Record(f"{person:05d}/{number:03d}.jpg", {"gender": genders[person] if genders else person % 2}, f"s{person}")
        for person, size in enumerate(sizes)
        for number in range(size)
    ]


def shares(splits) -> list[float]:
    return [float((splits == part).mean()) for part in range(3)]


def do_split(records: list[Record], options: SplitOptions, **listing: object):
    return split(Listing("folders", tuple(records), **listing), records, options)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=60), st.integers(0, 1000))
def test_no_subject_is_on_two_sides(sizes, seed):
    records = people(sizes)
    splits, name, _ = do_split(records, SplitOptions(seed=seed))
    sides = {(record.subject, side) for record, side in zip(records, splits.tolist(), strict=True)}
    assert len(sides) == len(sizes)
    assert name == "0.64,0.16,0.2 by subject"


@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=80),
    st.sampled_from([(0.64, 0.16, 0.2), (0.5, 0.5, 0.0), (0.0, 0.0, 1.0), (0.8, 0.0, 0.2), (1 / 3, 1 / 3, 1 / 3)]),
)
def test_each_part_is_within_one_subject_of_its_share(sizes, parts):
    splits, _, _ = do_split(people(sizes), SplitOptions(parts))
    for part, share in enumerate(parts):
        assert abs((splits == part).sum() - share * len(splits)) <= 2 * max(sizes)
        assert share > 0 or not (splits == part).any()


def test_each_label_has_its_share_of_every_part():
    rng = np.random.default_rng(0)
    records = people([1] * 2000, [int(value) for value in rng.random(2000) < 0.1])
    splits, _, _ = do_split(records, SplitOptions())
    for gender in (0, 1):
        mine = splits[[record.labels["gender"] == gender for record in records]]
        assert [(mine == part).sum() for part in range(3)] == pytest.approx(
            [s * len(mine) for s in (0.64, 0.16, 0.2)], abs=2
        )


@given(
    st.lists(st.tuples(st.integers(1, 6), st.integers(0, 1), st.integers(0, 8)), min_size=1, max_size=200),
    st.sampled_from([(0.64, 0.16, 0.2), (0.8, 0.0, 0.2), (1 / 3, 1 / 3, 1 / 3), (0.98, 0.01, 0.01)]),
    st.integers(0, 100),
)
def test_shares_are_met_within_one_subject_in_all_and_two_in_each_stratum(persons, parts, seed):
    records = [
        Record(f"{number:03d}-{image}", {"gender": gender, "age": 10.0 * decade + 5}, f"s{number}")
        for number, (size, gender, decade) in enumerate(persons)
        for image in range(size)
    ]
    largest = max(size for size, _gender, _decade in persons)
    splits, _, _ = do_split(records, SplitOptions(parts, seed=seed))
    strata = Counter((gender, decade) for _size, gender, decade in persons)
    for stratum in (None, *(name for name, count in strata.items() if count >= 1 / min(p for p in parts if p))):
        mine = splits[[stratum in (None, (r.labels["gender"], r.labels["age"] // 10)) for r in records]]
        for part, share in enumerate(parts):
            assert abs((mine == part).sum() - share * len(mine)) <= (1 if stratum is None else 2) * largest
            assert share > 0 or not (mine == part).any()


def test_the_seed_decides_even_where_every_image_has_labels_of_its_own():
    records = [Record(f"{n:03d}.jpg", {"name": f"n{n}", "age": float(n)}, f"s{n}") for n in range(100)]
    splits = [do_split(records, SplitOptions(seed=seed))[0] for seed in range(40)]
    assert all(Counter(found.tolist()) == {0: 64, 1: 16, 2: 20} for found in splits)
    in_train = np.mean([found == 0 for found in splits], axis=0)
    assert in_train.min() > 0.3
    assert in_train.max() < 0.95


def test_classes_have_their_share_of_every_part_unless_they_are_many():
    few = [Record(f"{n:04d}.jpg", {"mood": f"m{n % 20}"}) for n in range(2000)]
    splits, _, _ = do_split(few, SplitOptions())
    for mood in range(20):
        assert shares(splits[[record.labels["mood"] == f"m{mood}" for record in few]]) == pytest.approx(
            [0.64, 0.16, 0.2], abs=0.02
        )
    many = [Record(f"{n:04d}.jpg", {"mood": f"m{n % 21}"}) for n in range(2100)]
    none = [Record(record.path, {}) for record in many]
    assert np.array_equal(do_split(many, SplitOptions())[0], do_split(none, SplitOptions())[0])


def test_ages_are_dealt_by_decades():
    records = [Record(f"{n}.jpg", {"age": float(n % 80)}, f"s{n}") for n in range(1600)]
    splits, _, _ = do_split(records, SplitOptions())
    for decade in range(8):
        mine = splits[[record.labels["age"] // 10 == decade for record in records]]
        assert shares(mine) == pytest.approx([0.64, 0.16, 0.2], abs=0.011)


def test_a_split_is_the_same_for_the_same_seed_and_another_for_another():
    records = people([2] * 100)
    first = do_split(records, SplitOptions(seed=5))[0]
    assert (first == do_split(records, SplitOptions(seed=5))[0]).all()
    assert (first != do_split(records, SplitOptions(seed=6))[0]).mean() > 0.2


def test_this_split_never_changes_between_versions():
    splits = do_split(people([1] * 20), SplitOptions(seed=1))[0]
    assert splits.tolist() == [1, 0, 0, 0, 0, 2, 0, 0, 2, 1, 0, 2, 1, 0, 0, 0, 2, 0, 0, 0]


def test_images_without_subject_are_split_one_by_one_with_a_warning():
    records = [Record(f"{n}.jpg", {"gender": n % 2}) for n in range(100)]
    splits, name, warnings = do_split(records, SplitOptions())
    assert Counter(splits.tolist()) == {0: 64, 1: 16, 2: 20}
    assert name == "0.64,0.16,0.2 by image"
    assert warnings == (
        "warning: subjects are unknown, so images are split one by one and a person may be on two sides",
    )


def test_a_split_by_image_breaks_subjects_up_and_says_so():
    splits, name, warnings = do_split(people([50, 50]), SplitOptions(by="image"))
    assert Counter(splits.tolist()) == {0: 64, 1: 16, 2: 20}
    assert name.endswith("by image")
    assert warnings == ("warning: split by image although subjects are known: a person may be on two sides",)


OFFICIAL = [Record(f"{n:04d}.jpg", {"gender": 0}, f"s{n // 2}", split=2 if n % 5 == 4 else 0) for n in range(2000)]


def test_the_official_split_is_kept_and_a_tenth_of_its_train_subjects_become_validation():
    splits, name, _ = do_split(OFFICIAL, SplitOptions(), official=True, validation_share=0.1)
    assert name == "official"
    assert [record.path for record in OFFICIAL if record.split == 2] == [
        record.path for record, side in zip(OFFICIAL, splits, strict=True) if side == 2
    ]
    train = {record.subject for record, side in zip(OFFICIAL, splits, strict=True) if side == 0}
    validation = {record.subject for record, side in zip(OFFICIAL, splits, strict=True) if side == 1}
    assert not train & validation
    assert 0.07 < len(validation) / len(train | validation) < 0.13


def test_even_two_official_subjects_give_one_for_validation():
    records = [Record(f"{n}.jpg", {"gender": 0}, f"s{n % 2}", split=0) for n in range(6)]
    splits, _, _ = do_split(records, SplitOptions(), official=True, validation_share=0.1)
    assert sorted(splits.tolist()) == [0, 0, 0, 1, 1, 1]


def test_parts_asked_for_count_before_the_official_split():
    splits, name, _ = do_split(OFFICIAL, SplitOptions((0.5, 0, 0.5)), official=True)
    assert name == "0.5,0,0.5 by subject"
    assert shares(splits) == pytest.approx([0.5, 0, 0.5], abs=0.01)


FOLDS = [Record(f"{n:03d}.jpg", {"gender": 0}, fold=n % 5) for n in range(50)]


@pytest.mark.parametrize(("fold", "test", "validation"), [(None, 4, 3), (4, 4, 3), (0, 0, 4), (2, 2, 1)])
def test_a_fold_is_tested_on_and_the_one_before_validates(fold, test, validation):
    splits, name, _ = do_split(FOLDS, SplitOptions(fold=fold), official=True)
    assert name == f"fold {test}"
    expected = [2 if r.fold == test else 1 if r.fold == validation else 0 for r in FOLDS]
    assert splits.tolist() == expected


@pytest.mark.parametrize(("fold", "test", "validation"), [(None, 9, 4), (9, 9, 4), (1, 1, 9), (4, 4, 1)])
def test_folds_may_have_any_numbers(fold, test, validation):
    numbers = (1, 4, 9)
    records = [Record(f"{n:03d}.jpg", {"gender": 0}, fold=numbers[n % 3]) for n in range(30)]
    splits, name, _ = do_split(records, SplitOptions(fold=fold), official=True)
    assert name == f"fold {test}"
    assert splits.tolist() == [2 if r.fold == test else 1 if r.fold == validation else 0 for r in records]


def test_two_folds_are_no_train_validation_and_test():
    records = [Record(f"{n}.jpg", {"gender": 0}, fold=n % 2) for n in range(8)]
    with pytest.raises(FacetError, match="layout folders: has the folds 0, 1, expected at least 3, or --split"):
        do_split(records, SplitOptions(), official=True)
    assert do_split(records, SplitOptions((0.5, 0.0, 0.5)), official=True)[1] == "0.5,0,0.5 by image"


@pytest.mark.parametrize(
    ("options", "listing", "sentence"),
    [
        (SplitOptions(official=True), {}, "--split official: layout folders has none here"),
        (SplitOptions(fold=1), {}, "--fold 1: layout folders has no folds here"),
        (
            SplitOptions(by="image"),
            {"official": True},
            "--split-by image: layout folders brings its own split, expected --split with parts",
        ),
    ],
)
def test_an_official_split_or_fold_that_is_not_there_is_refused(options, listing, sentence):
    with pytest.raises(FacetError, match=sentence):
        do_split(people([1, 1]), options, **listing)


def test_a_fold_beyond_the_last_is_refused():
    with pytest.raises(FacetError, match="--fold 7: there is no such fold, expected one of 0, 1, 2, 3, 4"):
        do_split(FOLDS, SplitOptions(fold=7), official=True)


def test_a_fraction_keeps_that_share_of_every_label():
    records = people([1] * 1000, [int(n % 10 == 0) for n in range(1000)])
    kept = list(choose(records, SplitOptions(fraction=0.1)))
    assert Counter(records[number].labels["gender"] for number in kept) == {0: 90, 1: 10}
    assert kept == sorted(kept)


@pytest.mark.parametrize(("limit", "count"), [(1, 1), (7, 7), (100, 100), (5000, 100)])
def test_a_limit_keeps_exactly_that_many(limit, count):
    assert len(choose(people([1] * 100), SplitOptions(limit=limit))) == count


@pytest.mark.parametrize("text", ["0.5,0.5", "a,b,c", "0.5,0.6,-0.1", "0.5,0.3,0.1", "offical", "nan,0,1"])
def test_parts_that_are_no_split_are_refused(text):
    with pytest.raises(FacetError, match="expected `official`, or three parts with the sum 1"):
        parse_parts(text)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"by": "person"}, "--split-by 'person': expected one of image, subject"),
        ({"fraction": 0.0}, "--fraction 0: expected more than 0 and at most 1"),
        ({"fraction": 1.5}, "--fraction 1.5: expected"),
        ({"limit": 0}, "--limit 0: expected at least 1"),
        ({"seed": -1}, "--seed -1: expected"),
        ({"fold": 1, "parts": (1.0, 0.0, 0.0)}, "--fold: folds are a split of their own"),
    ],
)
def test_options_that_make_no_sense_are_refused(values, sentence):
    with pytest.raises(FacetError, match=sentence):
        SplitOptions(**values)


def test_a_part_that_gets_nothing_is_told():
    _splits, _name, warnings = do_split(people([59, 67, 24]), SplitOptions())
    assert warnings == ("warning: no example in validation: 3 persons cannot be dealt to these parts",)
