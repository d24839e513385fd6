"""The survey: what will be packed and in which order, before an image is opened."""

import os
from collections import Counter

import numpy as np
import pytest
import xxhash
from trees import agegender_paths, plant, write

from hdf5_helper.errors import FacetError
from hdf5_helper.hashing import hash_integer
from hdf5_helper.packing.options import PackOptions
from hdf5_helper.packing.survey import survey_sources


def test_rows_are_ordered_by_split_and_then_by_hash(tmp_path):
    survey = survey_sources([plant(tmp_path, agegender_paths(60))], PackOptions(seed=3))
    keys = [(row.split, hash_integer(3, xxhash.xxh3_64_intdigest(os.fsencode(row.record.path)))) for row in survey.rows]
    assert keys == sorted(keys)
    assert survey.counts() == dict(zip(("train", "validation", "test"), np.bincount([k[0] for k in keys]), strict=True))


def test_folds_are_runs_within_a_split(tmp_path):
    lines = [f"{n}.png,f,{n % 5}" for n in range(40)]
    plant(tmp_path, [f"{n}.png" for n in range(40)])
    write(tmp_path, "m.csv", "\n".join(["path,gender,fold", *lines]).encode())
    rows = survey_sources([tmp_path], PackOptions(fold=1)).rows
    assert [(row.split, row.record.fold) for row in rows] == sorted((row.split, row.record.fold) for row in rows)
    assert Counter(row.record.fold for row in rows if row.split == 2) == {1: 8}


def test_any_run_of_rows_is_a_fair_sample_of_its_split(tmp_path):
    paths = [f"{20 + age}/{code}/p{number}.png" for age in range(20) for code in (111, 112) for number in range(25)]
    rows = [row for row in survey_sources([plant(tmp_path, paths)], PackOptions()).rows if row.split == 0]
    ages = np.array([row.record.labels["age"] for row in rows])
    for run in np.array_split(ages, 8):
        histogram = np.bincount((run - 20).astype(int) // 5, minlength=4) / len(run)
        assert np.abs(histogram - 0.25).max() < 4 * (0.25 * 0.75 / len(run)) ** 0.5


def test_what_is_no_file_with_contents_is_a_reject(tmp_path):
    plant(tmp_path, ["man/a.png", "woman/b.png"])
    write(tmp_path, "man/empty.png", b"")
    (tmp_path / "man" / "dangling.png").symlink_to("nowhere.png")
    os.mkfifo(tmp_path / "woman" / "pipe.png")
    survey = survey_sources([tmp_path], PackOptions())
    assert sorted(row.record.path for row in survey.rows) == ["man/a.png", "woman/b.png"]
    assert survey.rejects == (
        ("man/dangling.png", "cannot be read: No such file or directory"),
        ("man/empty.png", "is empty"),
        ("woman/pipe.png", "is no regular file"),
    )


def test_a_tree_without_a_good_record_is_one_sentence(tmp_path):
    write(tmp_path, "30/111/a.jpg", b"")
    write(tmp_path, "30/119/b.jpg", b"x")
    with pytest.raises(FacetError) as error:
        survey_sources([tmp_path], PackOptions(layout="afad"))
    assert str(error.value) == (
        f"{tmp_path}: holds no image that can be packed with a label; the first of 2 rejects, 30/111/a.jpg, is empty"
    )


def test_a_limit_is_counted_after_files_that_are_not_there(tmp_path):
    plant(tmp_path, [f"{kind}/{number}.png" for kind in ("man", "woman") for number in range(10)])
    write(tmp_path, "man/empty.png", b"")
    survey = survey_sources([tmp_path], PackOptions(limit=6))
    assert Counter(row.record.labels["gender"] for row in survey.rows) == {0: 3, 1: 3}


def test_files_are_asked_about_in_any_order_and_rows_are_their_own(tmp_path):
    for number in range(1300):  # several batches of files, on several threads
        write(tmp_path, f"{('man', 'woman')[number % 2]}/{number}.png", b"x" * (number % 300))
    survey = survey_sources([tmp_path], PackOptions())
    sizes = {row.record.path: row.size for row in survey.rows}
    assert sizes == {path: int(path.split("/")[1][:-4]) % 300 for path in sizes}
    assert len(sizes) == 1295
    assert {reason for _path, reason in survey.rejects} == {"is empty"}
    assert [path for path, _reason in survey.rejects] == sorted(path for path, _reason in survey.rejects)
    times = {row.record.path: row.mtime_ns for row in survey.rows}
    assert times == {path: (tmp_path / path).stat().st_mtime_ns for path in times}
