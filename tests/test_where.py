"""Conditions on examples, against the same conditions in Python."""

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trees import manifest

from hdf5_helper.errors import FacetError
from hdf5_helper.packing.packer import PackOptions, pack
from hdf5_helper.packing.where import matching
from hdf5_helper.reading.reader import HDF5Reader

ROWS = [
    {
        "path": f"{number}.png",
        "gender": ["male", "female", ""][number % 3],
        "age": ["", *range(5, 60, 7)][number % 9],
        "race": ["x", "y", "", "z"][number % 4],
        "subject": ["", "ann", "bob"][number % 3],
        "mood": "calm" if number % 2 else "zany",
    }
    for number in range(36)
]


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    folder = tmp_path_factory.mktemp("where")
    pack([manifest(folder / "tree", ROWS)], folder / "a.h5")
    with HDF5Reader(folder / "a.h5") as opened:
        yield opened


def met(reader, condition):
    return {reader.paths[row] for row in np.flatnonzero(matching(reader, condition))}


CONDITIONS = {
    "age >= 16": lambda row: row["age"] != "" and row["age"] >= 16,
    "12 <= age < 40": lambda row: row["age"] != "" and 12 <= row["age"] < 40,
    "40 > age": lambda row: row["age"] != "" and row["age"] < 40,
    "gender == female": lambda row: row["gender"] == "female",
    "gender != female": lambda row: row["gender"] != "female",
    "gender == unknown": lambda row: row["gender"] == "",
    "age != unknown": lambda row: row["age"] != "",
    "not gender == male and mood == 'zany'": lambda row: row["gender"] != "male" and row["mood"] == "zany",
    "race in (x, 'y') or subject == bob": lambda row: row["race"] in ("x", "y") or row["subject"] == "bob",
    "race not in [x]": lambda row: row["race"] != "x",
    "path == '3.png'": lambda row: row["path"] == "3.png",
    "race in (x)": lambda row: row["race"] == "x",
    "race in ('x') and subject not in (bob)": lambda row: row["race"] == "x" and row["subject"] != "bob",
    "age in (12)": lambda row: row["age"] == 12,
    "gender != Unknown": lambda row: row["gender"] != "",
    "age == UNKNOWN or race not in (Unknown)": lambda row: row["age"] == "" or row["race"] != "",
    "age_group == '25-32'": lambda row: row["age"] != "" and 25 <= row["age"] < 33,
}


@pytest.mark.parametrize("condition", CONDITIONS)
def test_a_condition_chooses_what_python_would(reader, condition):
    assert met(reader, condition) == {row["path"] for row in ROWS if CONDITIONS[condition](row)}


def test_splits_are_words(reader):
    assert sum(len(met(reader, f"split == {name}")) for name in ("train", "validation", "test")) == len(ROWS)
    assert met(reader, "split in (train, test)") == met(reader, "split != validation")


@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        ("age", "age compares nothing"),
        ("age + 1 > 3", "age + 1 is no column, expected one of age"),
        ("age > female", "age is compared with 'female', and not with a number"),
        ("gender > 3", "gender is compared with 3, and not with a name"),
        ("age is 3", "age is compared in a way that is not known"),
        ("age in ()", "() is no list of values in brackets"),
        ("age in min(3)", "min(3) is no list of values in brackets"),
        ("age in (not 3)", "not 3 is no number and no name"),
        ("__import__('os').system('true') == 0", "is no column, expected one of"),
        ("age > (lambda: 3)()", "is no condition"),
        ("age > min(3)", "min(3) is no number and no name"),
        ("age-3 > 3", "'age-3' is no column, expected one of age"),
        ("path == '3.png", "is no condition"),
        ("age >= 16 and", "is no condition"),
        ("(" * 500 + "age" + ")" * 500 + " > 3", "is no condition"),
    ],
)
def test_what_is_no_condition_is_refused_with_the_reason(reader, condition, reason):
    with pytest.raises(FacetError) as error:
        matching(reader, condition)
    assert str(error.value).startswith("--where ")
    assert reason in str(error.value)


@given(st.text(alphabet="agender()=<>!'\" 019[],.-+*~\n", max_size=30))
def test_any_text_is_a_condition_or_one_sentence(reader, text):
    with contextlib.suppress(FacetError):
        assert matching(reader, text).shape == (len(ROWS),)


ODD_ROWS = [
    {
        "path": f"{number}.png",
        "class": ["cat", "dark-grey dog", "in"][number % 3],
        "hair-colour": ["dark-brown", "fair", "x.y"][number // 3 % 3],
        "v1.2": ["True", "größe"][number % 2],
        "or": ["yes", "no"][number % 2],
    }
    for number in range(18)
]


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    folder = tmp_path_factory.mktemp("odd")
    options = PackOptions(columns={name: name for name in ("class", "or")}, groups=("hair-colour", "v1.2"))
    pack([manifest(folder / "tree", ODD_ROWS)], folder / "a.h5", options)
    with HDF5Reader(folder / "a.h5") as opened:
        yield opened


ODD_CONDITIONS = {
    "class == cat": lambda row: row["class"] == "cat",
    "class in (cat, 'dark-grey dog') and hair-colour != fair": lambda row: (
        row["class"] != "in" and row["hair-colour"] != "fair"
    ),
    "hair-colour == dark-brown": lambda row: row["hair-colour"] == "dark-brown",
    '"hair-colour" == "x.y"': lambda row: row["hair-colour"] == "x.y",
    "x.y == hair-colour": lambda row: row["hair-colour"] == "x.y",
    "v1.2 == True": lambda row: row["v1.2"] == "True",
    "v1.2 == größe": lambda row: row["v1.2"] == "größe",
    "'or' == yes or class == 'in'": lambda row: row["or"] == "yes" or row["class"] == "in",
    "not class == cat": lambda row: row["class"] != "cat",
    "path in (3.png, '4.png')": lambda row: row["path"] in ("3.png", "4.png"),
}


@pytest.mark.parametrize("condition", ODD_CONDITIONS)
def test_a_column_or_class_may_have_any_name_that_a_file_can_hold(odd, condition):
    assert met(odd, condition) == {row["path"] for row in ODD_ROWS if ODD_CONDITIONS[condition](row)}


def test_a_backslash_in_quotes_is_a_backslash(tmp_path):
    rows = [{"path": f"{number}.png", "drive": ["C:\\new", "C:\\told"][number % 2]} for number in range(6)]
    pack([manifest(tmp_path / "tree", rows)], tmp_path / "a.h5")
    with HDF5Reader(tmp_path / "a.h5") as named:
        assert met(named, "drive == 'C:\\new'") == {"0.png", "2.png", "4.png"}


def test_a_class_that_is_called_unknown_is_a_class(tmp_path):
    rows = [{"path": f"{number}.png", "kind": ["cat", "dog", "unknown"][number % 3]} for number in range(9)]
    pack([manifest(tmp_path / "tree", rows)], tmp_path / "a.h5")
    with HDF5Reader(tmp_path / "a.h5") as named:
        assert len(met(named, "kind == unknown")) == 3
        assert len(met(named, "kind != unknown")) == 6


def test_a_class_that_is_called_unknown_in_capitals_is_told_from_the_unknown(tmp_path):
    rows = [{"path": f"{number}.png", "kind": ["cat", "Unknown", ""][number % 3], "age": 20} for number in range(9)]
    pack([manifest(tmp_path / "tree", rows)], tmp_path / "a.h5")
    with HDF5Reader(tmp_path / "a.h5") as named:
        assert met(named, "kind == Unknown") == {"1.png", "4.png", "7.png"}
        assert met(named, "kind == unknown") == {"2.png", "5.png", "8.png"}


@pytest.mark.parametrize("digits", [40, 309, 4000, 5000])
@pytest.mark.parametrize("column", ["age", "fold"])
def test_a_number_of_any_length_is_compared_or_refused_in_one_sentence(reader, column, digits):
    number = "1" + "0" * digits
    with contextlib.suppress(FacetError):
        assert met(reader, f"{column} < {number}") == met(reader, f"{column} != unknown")
    with contextlib.suppress(FacetError):
        assert met(reader, f"{column} < -{number}") == set()


def test_a_number_that_is_too_large_for_an_age_is_refused_as_that(reader):
    with pytest.raises(FacetError, match="has a number that is too large, expected one such as age >= 16"):
        matching(reader, "age < 1" + "0" * 309)
