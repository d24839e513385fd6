"""Adience: what is read from its fold files and its two kinds of faces."""

import re
from collections import Counter
from pathlib import Path

import h5py
import numpy as np
import pytest
from trees import plant, write

from hdf5_helper.errors import FacetError
from hdf5_helper.labels import AGE_GROUP_NAMES
from hdf5_helper.packing.options import PackOptions
from hdf5_helper.packing.survey import survey_sources
from hdf5_helper.sources import adience, read_source
from hdf5_helper.sources.adience_ages import read_written_age
from hdf5_helper.sources.adience_folds import fold_files, read_rows
from hdf5_helper.sources.records import Record, RejectedError
from hdf5_helper.sources.source_options import SourceOptions
from hdf5_helper.sources.tree import Tree, list_tree

HEADER = "user_id\toriginal_image\tface_id\tage\tgender\tx\ty\tdx\tdy\ttilt_ang\tfiducial_yaw_angle\tfiducial_score"
USER = "113984426@N05"
PROPER = {
    f"({low}, {high})" for low, high in ((0, 2), (4, 6), (8, 12), (15, 20), (25, 32), (38, 43), (48, 53), (60, 100))
}


def row(image: str, age: str = "(25, 32)", gender: str = "f", face: int = 1, user: str = USER) -> str:
    return f"{user}\t{image}\t{face}\t{age}\t{gender}\t1\t2\t3\t3\t-70\t0\t34"


def fold(root: Path, number: int, *rows: str, name: str = "fold_{}_data.txt") -> Path:
    write(root, name.format(number), "\n".join([HEADER, *rows, ""]).encode())
    return root


def aligned(image: str, face: int = 1, user: str = USER) -> str:
    return f"aligned/{user}/landmark_aligned_face.{face}.{image}"


def coarse(image: str, face: int = 1, user: str = USER) -> str:
    return f"faces/{user}/coarse_tilt_aligned_face.{face}.{image}"


@pytest.fixture(scope="module")
def originals(real_data):
    folder = real_data("adience").parent.parent / "fixtures" / "adience_folds"
    if not folder.is_dir():
        pytest.skip(f"Adience's original fold files not found: {folder}")
    return folder


@pytest.fixture(scope="module")
def rows(originals):
    return read_rows(originals, fold_files(list_tree(originals)))


def test_the_original_fold_files_have_their_known_rows(rows):
    genders = Counter(row.gender for row in rows)
    assert len(rows) == 19487
    assert (genders["f"], genders["m"], genders["u"] + genders[""]) == (9411, 8192, 1884)
    assert sum(genders.values()) == 19487
    assert len({row.user for row in rows if row.fold == 0} & {row.user for row in rows if row.fold != 0}) == 0


def test_the_original_rows_with_all_their_images_become_examples_or_rejects(originals, rows):
    images = {f"aligned/{row.user}/landmark_aligned_face.{row.face.partition('/')[2]}" for row in rows}
    files = tuple(sorted([*images, *(f"fold_{number}_data.txt" for number in range(5))]))
    listing = adience.read(Tree(originals, files), SourceOptions())
    labels = [record.labels for record in listing.records]
    assert listing.sentences == ("aligned faces; 19,487 rows in 5 fold files: 117 repeated",)
    assert (len(images), len(labels), len(listing.rejects), listing.ignored) == (19370, 18662, 708, 0)
    assert {reason for _path, reason in listing.rejects} == {
        f"has no label: age 'None', gender '' in fold {number}" for number in range(5)
    }
    assert Counter(label.get("gender", "unknown") for label in labels) == {1: 9368, 0: 8124, "unknown": 1170}


#: The column `age` of the five original files: how often each odd entry is there, the age, and the group.
ODD_AGES = {
    "None": (753, None, None),
    "2": (3, 2.0, "0-2"),
    "3": (18, 3.0, None),
    "(8, 23)": (1, None, None),
    "13": (169, 13.0, "8-13"),
    "22": (149, 22.0, None),
    "23": (96, 23.0, None),
    "(25, 23)": (72, None, "25-32"),
    "(27, 32)": (77, None, "25-32"),
    "29": (12, 29.0, "25-32"),
    "32": (3, 32.0, "25-32"),
    "34": (105, 34.0, None),
    "35": (294, 35.0, None),
    "36": (57, 36.0, None),
    "(38, 42)": (50, None, "38-43"),
    "(38, 48)": (6, None, None),
    "42": (1, 42.0, "38-43"),
    "45": (88, 45.0, None),
    "46": (1, 46.0, None),
    "55": (77, 55.0, None),
    "56": (2, 56.0, None),
    "57": (24, 57.0, None),
    "58": (5, 58.0, None),
}


def meaning(entry: str) -> tuple[float | None, str | None]:
    labels = read_written_age(entry)
    group = labels.get("age_group")
    return labels.get("age"), None if group is None else AGE_GROUP_NAMES[group]


def test_every_odd_age_of_the_original_files_has_its_group_or_none(rows):
    counts = Counter(row.age for row in rows)
    found = {entry: (count, *meaning(entry)) for entry, count in counts.items() if entry not in PROPER}
    assert found == ODD_AGES


def test_the_proper_ranges_are_the_eight_groups(rows):
    assert {row.age for row in rows} - ODD_AGES.keys() == PROPER
    found = [meaning(entry) for entry in sorted(PROPER, key=lambda entry: int(entry[1:].split(",")[0]))]
    assert found == [(None, name) for name in AGE_GROUP_NAMES]


def test_the_page_shows_what_becomes_of_each_odd_age():
    page = (Path(__file__).parent.parent / "docs" / "layouts.md").read_text()
    shown = re.findall(r"^\| `([^`]+)` \| ([\d,]+) \| (\S+) \| (\S+) \|", page, re.MULTILINE)
    expected = [
        (entry, f"{count:,}", "unknown" if age is None else f"{age:.0f}", group or "unknown")
        for entry, (count, age, group) in ODD_AGES.items()
    ]
    assert shown == expected


@pytest.mark.parametrize("entry", ["old", "(4 6)", "(4, 6", "131", "-3", "4.5", "(4, 6, 8)"])
def test_an_age_that_nobody_can_read_is_a_reject(entry):
    with pytest.raises(RejectedError, match=f"^age {re.escape(repr(entry))}: expected "):
        read_written_age(entry)


@pytest.mark.parametrize("entry", ["(32, 25)", "(25,32)"])
def test_a_range_may_be_turned_round_or_lack_its_blank(entry):
    assert meaning(entry) == (None, "25-32")


def test_rows_give_gender_age_group_single_year_user_and_fold(tmp_path):
    plant(tmp_path, [aligned("a.jpg"), aligned("b.jpg", 7), aligned("c.jpg", user="x@N01")])
    fold(tmp_path, 0, row("a.jpg", "(0, 2)", "m"), row("b.jpg", "35", "u", 7))
    fold(tmp_path, 3, row("c.jpg", "29", "f", user="x@N01"))
    assert read_source(tmp_path, "adience").records == (
        Record(aligned("a.jpg"), {"gender": 0, "age_group": 0}, USER, fold=0),
        Record(aligned("b.jpg", 7), {"age": 35.0}, USER, fold=0),
        Record(aligned("c.jpg", user="x@N01"), {"gender": 1, "age": 29.0, "age_group": 4}, "x@N01", fold=3),
    )


def test_what_is_half_known_stays_and_what_says_nothing_is_a_reject(tmp_path):
    said = {"a.jpg": ("(4, 6)", "u"), "b.jpg": ("None", "f"), "c.jpg": ("None", ""), "d.jpg": ("(38, 48)", "u")}
    odd = {"e.jpg": ("old", "f"), "f.jpg": ("(4, 6)", "x")}
    plant(tmp_path, [aligned(image) for image in (*said, *odd)])
    fold(tmp_path, 2, *(row(image, *words) for image, words in (said | odd).items()))
    listing = read_source(tmp_path)
    assert [dict(record.labels) for record in listing.records] == [{"age_group": 1}, {"gender": 1}]
    assert listing.rejects == (
        (aligned("c.jpg"), "has no label: age 'None', gender '' in fold 2"),
        (aligned("d.jpg"), "has no label: age '(38, 48)', gender 'u' in fold 2"),
        (aligned("e.jpg"), "age 'old': expected a range such as (25, 32), a year, or None"),
        (aligned("f.jpg"), "gender 'x': expected f, m, u or nothing"),
    )


def test_rows_without_an_image_and_images_without_a_row_are_counted_in_a_line_each(tmp_path):
    plant(tmp_path, [aligned("a.jpg"), aligned("b.jpg"), aligned("c.jpg")])
    fold(tmp_path, 0, row("a.jpg"), *(row(f"gone{number}.jpg") for number in range(1200)), row("a.jpg"))
    listing = read_source(tmp_path)
    assert [record.path for record in listing.records] == [aligned("a.jpg")]
    assert (listing.rejects, listing.ignored) == ((), 2)
    assert listing.sentences[1:3] == (
        "aligned faces; 1,202 rows in 1 fold file: 1,200 without an image; 1 repeated",
        "2 images without a row left out",
    )


def test_rows_of_one_face_that_disagree_and_a_second_file_of_a_face_are_rejects(tmp_path):
    copy = f"copy/{aligned('b.jpg')}"
    plant(tmp_path, [aligned("a.jpg"), aligned("b.jpg"), copy])
    fold(tmp_path, 0, row("a.jpg"), row("b.jpg"))
    fold(tmp_path, 1, row("a.jpg"))
    listing = read_source(tmp_path)
    assert [record.path for record in listing.records] == [aligned("b.jpg")]
    assert listing.rejects == (
        (aligned("a.jpg"), "has two rows in the fold files that disagree"),
        (copy, f"is the same face as {aligned('b.jpg')}"),
    )


@pytest.mark.parametrize(("asked", "taken", "other"), [(None, aligned, "coarse"), ("coarse", coarse, "aligned")])
def test_one_kind_of_faces_is_taken_and_the_other_is_counted(tmp_path, asked, taken, other):
    plant(tmp_path, [aligned("a.jpg"), coarse("a.jpg")])
    listing = read_source(fold(tmp_path, 0, row("a.jpg")), options=SourceOptions(faces=asked))
    assert [record.path for record in listing.records] == [taken("a.jpg")]
    assert listing.ignored == 1
    assert f"1 {other} face left out, --faces {other} takes them" in listing.sentences


def test_faces_that_are_not_there_or_unknown_are_refused(tmp_path):
    fold(plant(tmp_path, [coarse("a.jpg")]), 0, row("a.jpg"))
    sentence = f"--faces aligned: {tmp_path} has none of these, expected coarse"
    with pytest.raises(FacetError, match=re.escape(sentence)):
        read_source(tmp_path, options=SourceOptions(faces="aligned"))
    assert len(read_source(tmp_path, options=SourceOptions(faces="coarse")).records) == 1
    with pytest.raises(FacetError, match=r"--faces 'coarze': expected one of aligned, coarse \(did you mean 'coarse'"):
        PackOptions(faces="coarze")


def test_the_faces_asked_for_reach_the_source():
    assert PackOptions(faces="coarse").source_options() == SourceOptions(faces="coarse")


def test_frontal_fold_files_count_where_there_are_no_others(tmp_path):
    plant(tmp_path, [aligned("a.jpg"), aligned("b.jpg")])
    fold(tmp_path, 0, row("a.jpg"), name="fold_frontal_{}_data.txt")
    assert [record.path for record in read_source(tmp_path).records] == [aligned("a.jpg")]
    fold(tmp_path, 0, row("b.jpg"), row("a.jpg"), name="folds/fold_{}_data.txt")
    listing = read_source(tmp_path)
    assert ([record.fold for record in listing.records], listing.ignored) == ([0, 0], 1)


def test_two_files_of_one_fold_are_refused(tmp_path):
    fold(plant(tmp_path, [aligned("a.jpg")]), 0, row("a.jpg"))
    fold(tmp_path, 0, row("a.jpg"), name="old/fold_{}_data.txt")
    sentence = f"{tmp_path}/old/fold_0_data.txt: is fold 0 like fold_0_data.txt, expected one file a fold"
    with pytest.raises(FacetError, match=re.escape(sentence)):
        read_source(tmp_path)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (f"{HEADER}\n{row('a.jpg')}\n{USER}\tb.jpg\t3", "line 3 is no whole row, expected user_id, original_image"),
        (f"{HEADER}\n\t\t\t\tf", "line 2 is no whole row"),
        (HEADER.replace("\t", ","), "has no column 'user_id', expected user_id, original_image, face_id, age, gender"),
        ("", "has no column 'user_id'"),
        ("x" * 200_000, "line 1 is no row of a table: field larger than field limit"),
        ("\ufefff".encode("utf-16").decode("latin-1"), "is UTF-16, expected UTF-8"),
    ],
)
def test_a_fold_file_that_cannot_be_read_is_one_sentence(tmp_path, text, sentence):
    plant(tmp_path, [aligned("a.jpg")])
    file = write(tmp_path, "fold_0_data.txt", text.encode("latin-1"))
    with pytest.raises(FacetError, match=re.escape(f"{file}: {sentence}")):
        read_source(tmp_path)


def test_windows_line_ends_and_a_byte_order_mark_are_read(tmp_path):
    plant(tmp_path, [aligned("a.jpg")])
    write(tmp_path, "fold_0_data.txt", f"\ufeff{HEADER}\r\n{row('a.jpg')}\r\n".encode())
    assert len(read_source(tmp_path).records) == 1


def test_faces_without_fold_files_and_fold_files_without_faces_say_what_is_missing(tmp_path):
    plant(tmp_path / "a", [aligned("a.jpg")])
    with pytest.raises(
        FacetError, match=r"has no fold_0_data\.txt, expected Adience's fold files beside aligned or faces"
    ):
        read_source(tmp_path / "a")
    fold(plant(tmp_path / "b", ["a.jpg"]), 0, row("a.jpg"))
    with pytest.raises(FacetError, match="has fold files and none of their faces, expected aligned/USER/landmark"):
        read_source(tmp_path / "b", "adience")


def test_folders_of_man_and_woman_with_a_fold_file_beside_them_are_folders(tmp_path):
    fold(plant(tmp_path, ["man/a.jpg", "woman/landmark_aligned_face.1.b.jpg"]), 0, row("a.jpg"))
    assert read_source(tmp_path).layout == "folders"


def five_folds(root: Path) -> Path:
    plant(root, [aligned(f"{number}.jpg", user=f"{number}@N01") for number in range(5)])
    for number in range(5):
        fold(root, number, row(f"{number}.jpg", user=f"{number}@N01"))
    return root


@pytest.mark.parametrize("tested", [None, 0, 1, 2, 3, 4])
def test_a_fold_is_tested_on_the_one_before_it_validated_on_and_the_last_is_the_default(tmp_path, tested):
    survey = survey_sources([five_folds(tmp_path)], PackOptions(fold=tested))
    test = 4 if tested is None else tested
    sides = {row.record.fold: row.split for row in survey.rows}
    assert sides == {number: {test: 2, (test - 1) % 5: 1}.get(number, 0) for number in range(5)}
    assert survey.split == f"fold {test}"


def test_one_fold_is_no_official_split_and_packs_without_options(real_data):
    listing = read_source(real_data("adience_originals"))
    assert (len(listing.records), listing.rejects, listing.official) == (150, (), False)
    assert {record.path.split("/")[0] for record in listing.records} == {"faces"}
    assert {record.fold for record in listing.records} == {0}
    assert listing.sentences[1:] == (
        "coarse faces; 150 rows in 1 fold file",
        "1 fold, too few for an official split",
    )
    survey = survey_sources([real_data("adience_originals")], PackOptions())
    assert survey.split == "0.64,0.16,0.2 by subject"


def test_the_real_cut_has_its_known_labels(real_data):
    records = read_source(real_data("adience")).records
    assert Counter(record.labels["gender"] for record in records) == {1: 835, 0: 807}
    groups = [179, 570, 421, 81, 133, 70, 83, 105]
    assert Counter(record.labels["age_group"] for record in records) == dict(enumerate(groups))
    assert not any("age" in record.labels for record in records)


def test_a_packed_file_holds_groups_folds_and_users(packed):
    with h5py.File(packed("adience", count=60, mess=True)) as file:
        paths = [path.decode() for path in file["path"][...]]
        users = [file["subject_names"][number].decode() for number in file["subject"][...]]
        assert users == [path.split("/")[1] for path in paths]
        folds, sides = file["fold"][...], file["split"][...]
        assert np.array_equal(sides, np.select([folds == 4, folds == 3], [2, 1], 0))
        assert [name.decode() for name in file["labels/age_group"].attrs["class_names"]] == list(AGE_GROUP_NAMES)
        genders, groups, ages = (file[f"labels/{name}"][...] for name in ("gender", "age_group", "age"))
    assert sum(genders == 255) == 2
    assert sum((ages == 35) & (groups == 255)) == 1
