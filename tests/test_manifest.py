"""Manifests: what is read from the columns of a CSV file."""

import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trees import manifest, plant, write

from hdf5_helper.errors import FacetError
from hdf5_helper.packing.options import PackOptions
from hdf5_helper.packing.packer import pack
from hdf5_helper.packing.survey import survey_sources
from hdf5_helper.reading.reader import HDF5Reader
from hdf5_helper.sources import read_source, read_sources
from hdf5_helper.sources.manifest_paths import Inside
from hdf5_helper.sources.records import Listing, Record, RejectedError
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


@pytest.mark.parametrize(("name", "separator"), [("a.tsv", "\t"), ("list.txt", ";"), ("B.CSV", ",")])
def test_any_table_that_is_given_by_itself_is_a_manifest(tmp_path, name, separator):
    plant(tmp_path, ["a.jpg", "b.jpg"])
    write(tmp_path, "manifest.csv", b"path,gender\nb.jpg,f\n")
    file = write(tmp_path, name, f"path{separator}gender\na.jpg{separator}f\n".encode())
    assert facts(read_source(file)) == [("a.jpg", {"gender": 1}, None)]
    with pytest.raises(FacetError, match=re.escape(f"--layout folders: {file} is a table, expected a folder")):
        read_source(file, "folders")


def test_a_named_column_holds_for_those_of_several_manifests_that_have_it(tmp_path):
    first = manifest(tmp_path / "a", [{"path": "a.png", "AGE": 30, "camera": "x"}])
    second = manifest(tmp_path / "b", [{"path": "b.png", "years": 40, "lens": "y"}])
    options = SourceOptions(columns={"age": "years"}, groups=("camera", "lens"))
    records = [record for listing in read_sources([first, second], "auto", options) for record in listing.records]
    assert [(record.labels["age"], record.groups) for record in records] == [(30, {"camera": "x"}), (40, {"lens": "y"})]
    with pytest.raises(FacetError, match=re.escape(f"{first / 'manifest.csv'}: has no column 'flash', expected one")):
        read_sources([first, second], "auto", SourceOptions(groups=("camera", "flash")))


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


def csv_of(root, *rows: bytes, name: str = "manifest.csv", header: bytes = b"path,gender"):
    return write(root, name, b"\n".join([header, *rows, b""]))


def test_a_path_that_leaves_the_folder_is_a_reject(tmp_path):
    root = tmp_path / "t"
    plant(tmp_path, ["t/a.jpg", "out.jpg", "t/deep/b.jpg"])
    absolute = f"{tmp_path}/out.jpg"
    csv_of(
        root,
        *(b"../out.jpg,f", b"deep/../../out.jpg,f", b"..,f", f"{absolute},f".encode()),
        *(b"deep/../a.jpg,f", f"{root}/deep/b.jpg,m".encode()),
    )
    listing = read_source(root)
    assert facts(listing) == [("a.jpg", {"gender": 1}, None), ("deep/b.jpg", {"gender": 0}, None)]
    reason = f"lies outside {root}, expected the manifest in a folder above its images"
    assert listing.rejects == tuple((path, reason) for path in ("../out.jpg", "deep/../../out.jpg", "..", absolute))


def test_an_absolute_path_may_lead_through_a_link_to_the_folder(tmp_path, monkeypatch):
    plant(tmp_path / "real", ["a.jpg", "b.jpg"])
    (tmp_path / "link").symlink_to("real")
    csv_of(tmp_path / "real", f"{tmp_path}/real/a.jpg,f".encode(), f"{tmp_path}/link/b.jpg,m".encode())
    assert [record.path for record in read_source(tmp_path / "link").records] == ["a.jpg", "b.jpg"]
    monkeypatch.chdir(tmp_path / "real")
    assert [record.path for record in read_source(Path()).records] == ["a.jpg"]


def test_one_image_under_several_spellings_is_listed_more_than_once(tmp_path):
    plant(tmp_path, ["d/a.jpg"])
    csv_of(tmp_path, b"d/a.jpg,f", b"./d//a.jpg,f", b"d/../d/a.jpg,f", f"{tmp_path}/d/a.jpg,f".encode(), b"d\\a.jpg,m")
    listing = read_source(tmp_path)
    assert facts(listing) == [("d/a.jpg", {"gender": 1}, None)]
    assert listing.rejects == (("d/a.jpg", "is listed more than once; the first line counts"),) * 4


ODD_NAMES = [
    b"a b.jpg",
    b"caf\xe9.jpg",
    b"two\nlines.jpg",
    b'comma, quote".jpg',
    b" before.jpg",
    b"after.jpg ",
    b"c\\d.jpg",
]


def odd_tree(root):
    """Images of odd names, listed in a manifest with one quoted path a line."""
    [image] = [file.read_bytes() for file in plant(root, ["x.jpg"]).iterdir()]
    for name in ODD_NAMES:
        with open(os.fsencode(root) + b"/" + name, "wb") as file:
            file.write(image)
    csv_of(root, *(b'"' + name.replace(b'"', b'""') + b'",f' for name in ODD_NAMES))
    return root


def test_names_with_blanks_newlines_quotes_backslashes_and_bytes_that_are_no_utf_8_are_kept(tmp_path):
    listing = read_source(odd_tree(tmp_path))
    assert [os.fsencode(record.path) for record in listing.records] == sorted(ODD_NAMES)
    assert (listing.rejects, listing.ignored) == ((), 1)


def test_odd_names_come_back_from_the_packed_file(tmp_path):
    pack([odd_tree(tmp_path / "t")], tmp_path / "a.h5")
    with HDF5Reader(tmp_path / "a.h5") as reader:
        assert sorted(map(os.fsencode, reader.paths)) == sorted(ODD_NAMES)


def test_class_names_that_are_no_utf_8_come_back_from_the_packed_file(tmp_path):
    plant(tmp_path / "t", ["a.jpg", "b.jpg"])
    csv_of(tmp_path / "t", b"a.jpg,f\xf6hlich", b'b.jpg,"two\nlines"', header=b"path,mood")
    pack([tmp_path / "t"], tmp_path / "a.h5")
    with HDF5Reader(tmp_path / "a.h5") as reader:
        names = reader.class_names("mood")
        assert {path: names[value] for path, value in zip(reader.paths, reader.labels("mood"), strict=True)} == {
            "a.jpg": "f\udcf6hlich",
            "b.jpg": "two\nlines",
        }


def test_a_row_without_a_path_or_with_a_nul_byte_is_a_reject(tmp_path):
    plant(tmp_path, ["a.jpg"])
    csv_of(tmp_path, b"a.jpg,f", b",m", b"x\0.jpg,m", b'" ",m')
    listing = read_source(tmp_path)
    assert listing.rejects == (("line 3", "has no path"), (" ", "has no path"))
    rejects = dict(survey_sources([tmp_path], PackOptions()).rejects)
    assert rejects["x\0.jpg"].startswith("cannot be read: ")


def test_blanks_around_values_do_not_count(tmp_path):
    plant(tmp_path, ["a.jpg"])
    csv_of(tmp_path, b" a.jpg , female ", header=b" path , gender ")
    assert facts(read_source(tmp_path)) == [("a.jpg", {"gender": 1}, None)]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b'path,gender\na.jpg,"' + b"x" * 200_000, "line 2 is no row of a table: field larger than field limit"),
        ("path,gender\na.jpg,f\n".encode("utf-16"), "is UTF-16, expected UTF-8"),
        (b"", "has no column 'path', expected one, or --columns path=NAME with one of "),
    ],
)
def test_a_manifest_that_cannot_be_read_is_one_sentence(tmp_path, text, sentence):
    plant(tmp_path, ["a.jpg"])
    file = write(tmp_path, "manifest.csv", text)
    with pytest.raises(FacetError, match=re.escape(f"{file}: {sentence}")):
        read_source(tmp_path)


def test_a_file_named_manifest_counts_before_what_the_images_look_like(tmp_path):
    plant(tmp_path, ["25/111/a.jpg", "25/112/b.jpg"])
    assert read_source(tmp_path).layout == "afad"
    csv_of(tmp_path, b"25/111/a.jpg,f", name="other.csv")
    assert read_source(tmp_path).layout == "afad"
    csv_of(tmp_path, b"25/111/a.jpg,f")
    assert facts(read_source(tmp_path)) == [("25/111/a.jpg", {"gender": 1}, None)]


@given(st.lists(st.sampled_from(["a", "b.jpg", ".", "..", "/", "\\", " ", "\n", "\udce9"]), max_size=12).map("".join))
def test_a_path_of_a_manifest_stays_inside_or_is_refused(written):
    inside = Inside(Path("/nowhere/faces"))
    try:
        path = inside.path(written)
    except RejectedError as reason:
        assert str(reason).startswith(("has no path", "lies outside /nowhere/faces, "))  # noqa: PT017 - either will do
        assert not written.strip() or ".." in written or written.strip()[0] in "/\\"
    else:
        assert not path.startswith("/")
        assert path == "." or not {"", ".", ".."} & set(path.split("/"))
        assert inside.path(f"/nowhere/faces/{path.strip()}") == inside.path(path) == path.strip()
