"""Manifests: what is read from the columns of a CSV file."""

import pytest
from trees import manifest, plant, write

from hdf5_helper.errors import FacetError
from hdf5_helper.sources import read_source
from hdf5_helper.sources.records import Listing, Record
from hdf5_helper.sources.source_options import SourceOptions


def facts(listing: Listing) -> list[tuple[object, ...]]:
    return [(record.path, dict(record.labels), record.subject) for record in listing.records]


ROWS = [
    {"path": "i/a.jpg", "gender": "W", "age": "31.5", "mood": "happy", "who": "p1", "camera": "x", "note": ""},
    {"path": "i/b.jpg", "gender": "M", "age": "", "mood": "sad", "who": "", "camera": "y", "note": ""},
]


def test_a_manifest_gives_labels_groups_and_subjects_as_its_columns_are_named(tmp_path):
    options = SourceOptions(value_map={"gender": {"M": "female"}}, columns={"subject": "who"}, groups=("camera",))
    listing = read_source(manifest(tmp_path, ROWS), options=options)
    assert listing.layout == "manifest"
    assert listing.records == (
        Record("i/a.jpg", {"age": 31.5, "age_group": 4, "gender": 1, "mood": "happy"}, "p1", {"camera": "x"}),
        Record("i/b.jpg", {"gender": 1, "mood": "sad"}, None, {"camera": "y"}),
    )
    assert listing.sentences[1:] == (
        "columns: labels gender, age, mood; path; subject who; groups camera; not used note",
    )


def test_a_manifest_may_be_given_as_the_file_itself(tmp_path):
    listing = read_source(manifest(tmp_path, ROWS, "faces.csv") / "faces.csv")
    assert [record.path for record in listing.records] == ["i/a.jpg", "i/b.jpg"]
    assert (listing.rejects, listing.ignored) == ((), 0)


def test_rows_of_a_manifest_that_say_nothing_or_twice_are_rejects(tmp_path):
    rows = [
        {"path": "a.jpg", "gender": "f", "age": "3"},
        {"path": "./a.jpg", "gender": "m", "age": "4"},
        {"path": "b.jpg", "gender": "", "age": ""},
        {"path": "c.jpg", "gender": "?", "age": "4"},
        {"path": "d.jpg", "gender": "m", "age": "old"},
    ]
    listing = read_source(manifest(tmp_path, rows))
    assert [record.path for record in listing.records] == ["a.jpg"]
    assert listing.rejects == (
        ("a.jpg", "is listed more than once; the first line counts"),
        ("b.jpg", "has no label"),
        ("c.jpg", "gender '?': expected a word such as male or female, or --map gender:?=female"),
        ("d.jpg", "age 'old': expected years from 0 to 130"),
    )


def test_a_split_and_a_fold_column_are_read(tmp_path):
    rows = [
        {"path": "a.jpg", "gender": "f", "split": "train", "fold": 0},
        {"path": "b.jpg", "gender": "f", "split": "Val", "fold": 1},
        {"path": "c.jpg", "gender": "m", "split": "test", "fold": 2},
        {"path": "d.jpg", "gender": "m", "split": "dev", "fold": 2},
        {"path": "e.jpg", "gender": "m", "split": "test", "fold": "x"},
    ]
    listing = read_source(manifest(tmp_path, rows))
    assert listing.official
    assert [(record.path, record.split, record.fold) for record in listing.records] == [
        ("a.jpg", 0, 0),
        ("b.jpg", 1, 1),
        ("c.jpg", 2, 2),
    ]
    assert [reason for _path, reason in listing.rejects] == [
        "split 'dev': expected train, validation or test",
        "fold 'x': expected a number from 0 to 127",
    ]


def test_an_age_group_in_a_manifest_counts_before_the_age(tmp_path):
    listing = read_source(manifest(tmp_path, [{"path": "a.jpg", "age_group": "25-32", "age": "40"}]))
    assert dict(listing.records[0].labels) == {"age": 40.0, "age_group": 4}


def test_semicolons_and_a_byte_order_mark_are_read(tmp_path):
    plant(tmp_path, ["a.jpg"])
    write(tmp_path, "list.csv", b"\xef\xbb\xbfpath;gender\na.jpg;f\n")
    assert facts(read_source(tmp_path)) == [("a.jpg", {"gender": 1}, None)]


def test_columns_whose_values_all_differ_are_no_labels(tmp_path):
    rows = [{"path": f"{n}.jpg", "mood": "ab"[n % 2], "url": f"http://x/{n}"} for n in range(30)]
    listing = read_source(manifest(tmp_path, rows))
    assert set(listing.records[0].labels) == {"mood"}
    assert listing.sentences[1:] == ("columns: labels mood; path; not used url",)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (SourceOptions(columns={"path": "pth"}), r"has no column 'pth', expected one of .* \(did you mean 'path'\?\)"),
        (SourceOptions(groups=("camra",)), r"has no column 'camra', .* \(did you mean 'camera'\?\)"),
    ],
)
def test_a_column_that_is_not_there_is_named(tmp_path, options, sentence):
    with pytest.raises(FacetError, match=sentence):
        read_source(manifest(tmp_path, ROWS), options=options)


def test_known_columns_are_known_in_any_case(tmp_path):
    rows = [
        {
            "Path": f"{n}.jpg",
            "Gender": "FM"[n % 2],
            "AGE": 30,
            "person_id": n // 2,
            "Race": "xy"[n % 2],
            "SPLIT": "train",
        }
        for n in range(6)
    ]
    plant(tmp_path, [f"{n}.jpg" for n in range(6)])
    lines = [",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]
    write(tmp_path, "m.csv", "\n".join(lines).encode())
    listing = read_source(tmp_path)
    assert listing.sentences[1:] == (
        "columns: labels gender (Gender), age (AGE); path Path; split SPLIT; groups race; not used person_id",
        "person_id: ids are no labels; where one says who is shown, use --columns subject=person_id",
    )
    labels = {"age": 30.0, "age_group": 4}
    assert listing.records[:2] == (
        Record("0.jpg", {"gender": 1, **labels}, None, {"race": "x"}, 0),
        Record("1.jpg", {"gender": 0, **labels}, None, {"race": "y"}, 0),
    )


def test_a_column_in_the_exact_case_counts_before_another(tmp_path):
    listing = read_source(manifest(tmp_path, [{"path": "a.jpg", "AGE": "3", "age": "31"}]))
    assert dict(listing.records[0].labels) == {"age": 31.0, "age_group": 4}
    assert listing.sentences[1:] == ("columns: labels age; path; not used AGE",)


def test_ids_give_no_hint_where_the_subject_is_known(tmp_path):
    rows = [{"path": f"{n}.jpg", "gender": "f", "image_id": n, "person_id": n // 2} for n in range(4)]
    listing = read_source(manifest(tmp_path, rows), options=SourceOptions(columns={"subject": "person_id"}))
    assert listing.sentences[1:] == ("columns: labels gender; path; subject person_id; not used image_id",)
    assert [record.subject for record in listing.records] == ["0", "0", "1", "1"]


@pytest.mark.parametrize(
    ("values", "is_label"),
    [
        ([f"c{n % 2}" for n in range(60)], True),
        ([n % 3 for n in range(60)], True),
        ([f"c{n % 40}" for n in range(400)], True),
        ([f"c{n % 40}" for n in range(80)], False),  # hardly comes back
        ([f"c{n % 19}" for n in range(22)], False),
        ([f"{n % 3}.5" for n in range(60)], False),  # a measurement
        (["same"] * 60, False),
        ([""] * 60, False),
    ],
)
def test_only_what_can_be_classes_becomes_a_label_unasked(tmp_path, values, is_label):
    lines = [f"{n}.jpg,f,{value}" for n, value in enumerate(values)]
    file = write(tmp_path, "m.csv", "\n".join(["path,gender,x", *lines]).encode())
    assert ("x" in read_source(file).records[0].labels) == is_label


def test_a_column_that_is_named_is_a_label_whatever_it_holds(tmp_path):
    rows = [{"path": f"{n}.jpg", "url": f"http://x/{n}"} for n in range(30)]
    listing = read_source(manifest(tmp_path, rows), options=SourceOptions(columns={"address": "url"}))
    assert dict(listing.records[0].labels) == {"address": "http://x/0"}


def test_images_that_a_manifest_does_not_list_are_counted_as_ignored(tmp_path):
    plant(tmp_path, ["i/c.jpg", "d.jpg"])
    write(tmp_path, "notes.txt", b"x")
    listing = read_source(manifest(tmp_path, ROWS))
    assert ([record.path for record in listing.records], listing.ignored) == (["i/a.jpg", "i/b.jpg"], 3)
