import shutil
import time
from collections import Counter, defaultdict

import cv2
import h5py
import numpy as np
import pytest
from PIL import Image
from trees import manifest

from hdf5_helper.class_balance import balanced_weights, positive_weights
from hdf5_helper.errors import FacetError
from hdf5_helper.inspecting.counts import count_classes
from hdf5_helper.inspecting.grid import caption, choose_rows, draw_grid, write_grid
from hdf5_helper.inspecting.sides import identical_rows, leaking_subjects
from hdf5_helper.inspecting.summary import summarize
from hdf5_helper.packing.packer import PackOptions, pack
from hdf5_helper.progress import no_words
from hdf5_helper.reading.reader import HDF5Reader
from models.heads.choosing import heads_for
from models.training.class_weights import example_weights


@pytest.fixture(scope="module")
def agegender(packed):
    return packed("agegender", count=300, mess=True)


def counted(file, column, split=None):
    """What h5py says: how often each value of a column occurs, in one split or in all."""
    with h5py.File(file) as h5:
        rows = np.full(len(h5["split"]), True) if split is None else h5["split"][:] == split
        return Counter(h5[column][:][rows].tolist())


def test_counts_agree_with_h5py(agegender):
    with HDF5Reader(agegender) as reader:
        values = summarize(reader)
    assert values["examples"] == sum(counted(agegender, "split").values())
    for number, name in enumerate(("train", "validation", "test")):
        genders = counted(agegender, "labels/gender", number)
        split = values["splits"][name]
        assert split["examples"] == counted(agegender, "split")[number]
        assert split["labels"]["gender"] == {"male": genders[0], "female": genders[1], "unknown": genders[255]}
    groups = counted(agegender, "labels/age_group")
    assert list(values["labels"]["age_group"].values()) == [groups[number] for number in (*range(8), 255)]
    with h5py.File(agegender) as h5:
        names = h5["groups/origin"].attrs["class_names"]
    origins = counted(agegender, "groups/origin")
    expected = {name.decode() if isinstance(name, bytes) else name: origins[n] for n, name in enumerate(names)}
    assert values["groups"]["origin"] == {**expected, "unknown": 0}


def test_counting_many_classes_takes_no_longer_than_few():
    def seconds(classes):
        values = (np.arange(200_000) % classes).astype(np.uint16)
        started = time.perf_counter()
        counts = count_classes([str(number) for number in range(classes)], values, 65535)
        assert list(counts) == [*map(str, range(classes)), "unknown"]
        assert sum(counts.values()) == 200_000
        return time.perf_counter() - started

    seconds(10)
    assert seconds(20_000) < 10 * seconds(10) + 0.1


def test_ages_are_given_as_range_median_and_decades(agegender):
    with h5py.File(agegender) as h5:
        ages = h5["labels/age"][:]
    with HDF5Reader(agegender) as reader:
        values = summarize(reader)["labels"]["age"]
    decades = Counter(f"{int(age) // 10 * 10}-{int(age) // 10 * 10 + 9}" for age in ages)
    assert values == {
        "known": len(ages),
        "unknown": 0,
        "youngest": ages.min(),
        "median": np.median(ages),
        "oldest": ages.max(),
        "decades": dict(sorted(decades.items())),
    }


def test_groups_are_counted_in_every_split(agegender):
    with HDF5Reader(agegender) as reader:
        values = summarize(reader)
    with h5py.File(agegender) as h5:
        names = [name.decode() for name in h5["groups/origin"].attrs["class_names"]]
    for number, split in enumerate(("train", "validation", "test")):
        found = counted(agegender, "groups/origin", number)
        expected = {name: found[value] for value, name in enumerate(names)}
        assert values["splits"][split]["groups"] == {"origin": {**expected, "unknown": found[65535]}}


def test_persons_and_images_on_two_sides_are_counted_as_h5py_counts_them(agegender):
    with h5py.File(agegender) as h5:
        sides, images = defaultdict(set), defaultdict(list)
        splits, paths = h5["split"][:], [path.decode() for path in h5["path"][:]]
        subjects = h5["subject"][:]
        for row, subject in enumerate(subjects):
            sides[subject].add(splits[row])
            images[h5["checksum"][row]].append(row)
        names = [name.decode() for name in h5["subject_names"][:]]
    leaking = [subject for subject, found in sides.items() if len(found) > 1]
    copies = sorted(rows for rows in images.values() if len(rows) > 1)
    with HDF5Reader(agegender) as reader:
        values = summarize(reader)
        assert leaking_subjects(reader) == [names[subject] for subject in leaking]
        assert [rows.tolist() for rows in identical_rows(reader)] == copies
    assert len(leaking) == len(copies) == 1
    assert {paths[row].split("/")[1] for row in copies[0]} == {"aligned", "valid"}
    covered = int((np.isin(subjects, leaking) & (splits == 2)).sum())
    assert values["subjects"] == {
        "persons": len(names),
        "examples_without": 0,
        "in_several_splits": 1,
        "seen_before": {
            "validation": {"persons": 0, "examples": 0, "of": int((splits == 1).sum())},
            "test": {"persons": 1, "examples": covered, "of": int((splits == 2).sum())},
        },
    }
    assert values["duplicates"] == {
        "images": len(splits) - 1,
        "copies": 1,
        "in_several_splits": 1,
        "pairs_across_splits": 1,
        "with_different_labels": 0,
    }


def leaky_tree(folder):
    """One person in train, validation and test; one picture four times: twice in train, once with another age."""
    places = [("train", "a", 20), ("train", "a", 20), ("validation", "a", 21), ("test", "b", 20), ("test", "a", 22)]
    rows = [
        {"path": f"{n}.png", "age": age, "subject": person, "split": split}
        for n, (split, person, age) in enumerate(places)
    ]
    manifest(folder, rows)
    for copy in (1, 3, 4):
        shutil.copy(folder / "0.png", folder / f"{copy}.png")
    return folder


def test_leaks_are_counted_for_each_split_against_those_before_it(tmp_path):
    pack([leaky_tree(tmp_path / "tree")], tmp_path / "f.h5")
    with HDF5Reader(tmp_path / "f.h5") as reader:
        values = summarize(reader)
    assert values["subjects"]["in_several_splits"] == 1
    assert values["subjects"]["seen_before"] == {
        "validation": {"persons": 1, "examples": 1, "of": 1},
        "test": {"persons": 1, "examples": 1, "of": 2},
    }
    assert values["duplicates"] == {
        "images": 2,
        "copies": 3,
        "in_several_splits": 1,
        "pairs_across_splits": 4,
        "with_different_labels": 1,
    }


@pytest.mark.parametrize(("ages", "different"), [(("", ""), 0), (("30", "30"), 0), (("30", ""), 1), (("30", "31"), 1)])
def test_copies_with_other_labels_are_counted_and_unknown_is_a_label_as_others_are(ages, different, tmp_path):
    rows = [{"path": f"{n}.png", "gender": "m", "age": age, "split": "train"} for n, age in enumerate((*ages, "9"))]
    shutil.copy(manifest(tmp_path, rows) / "0.png", tmp_path / "1.png")
    pack([tmp_path], tmp_path / "f.h5", PackOptions(columns={"gender": "gender", "age": "age"}))
    with HDF5Reader(tmp_path / "f.h5") as reader:
        assert summarize(reader)["duplicates"]["with_different_labels"] == different


def test_a_tree_without_persons_says_so(packed):
    with HDF5Reader(packed("folders")) as reader:
        found = summarize(reader)["subjects"]
    assert (found["persons"], found["examples_without"], found["in_several_splits"]) == (0, 200, 0)
    assert {split["persons"] for split in found["seen_before"].values()} == {0}


@pytest.mark.parametrize("label", ["gender", "age", "age_group"])
def test_balanced_weights_are_those_that_the_trainer_uses(agegender, label):
    with HDF5Reader(agegender) as reader:
        train, values = reader.split("train"), reader.labels(label)
        trained = example_weights("balanced", *heads_for((label,)), values, train, no_words)
        names = reader.class_names(label)
        shown = summarize(reader)["balanced_weights"][label]
    expected = {}
    for row in train.tolist():
        value = values[row]
        if value == 255 and label != "age":
            continue
        first = int(value) // 5 * 5
        expected[f"{first}-{first + 4}" if label == "age" else names[int(value)]] = float(trained[row])
    assert shown == expected


def test_a_class_that_no_train_example_has_gets_no_weight(tmp_path):
    moods = [("calm", "train"), ("calm", "train"), ("calm", "train"), ("sad", "train"), ("glad", "test")]
    rows = [{"path": f"{n}.png", "mood": mood, "split": split} for n, (mood, split) in enumerate(moods)]
    options = PackOptions(columns={"mood": "mood"})
    pack([manifest(tmp_path / "tree", rows)], tmp_path / "f.h5", options)
    with HDF5Reader(tmp_path / "f.h5") as reader:
        assert summarize(reader)["balanced_weights"] == {"mood": {"calm": pytest.approx(2 / 3), "sad": 2.0}}


def test_the_weight_of_a_yes_is_no_over_yes():
    attributes = np.array([[1, -1, 0], [-1, -1, -1], [-1, -1, 1], [0, -1, 0]], np.int8)
    assert np.array_equal(positive_weights(attributes), [2, np.nan, 1], equal_nan=True)


def test_no_examples_have_no_weights():
    assert balanced_weights("age", np.zeros(0, np.int64)).tolist() == []
    assert balanced_weights("gender", np.zeros(0, np.int64)).tolist() == []
    assert balanced_weights("gender", np.zeros(2, np.int64)).tolist() == [1, 1]


def test_sizes_of_images_are_told_apart(tmp_path):
    for number, (height, width) in enumerate([(40, 40), (40, 40), (50, 30), (90, 60)] * 3):
        path = tmp_path / "tree" / "man" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.full((height, width, 3), number, np.uint8))
    pack([tmp_path / "tree"], tmp_path / "sizes.h5")
    with HDF5Reader(tmp_path / "sizes.h5") as reader:
        values = summarize(reader)
    assert values["image_sizes"] == {
        "different": 3,
        "smallest": [50, 30],
        "largest": [90, 60],
        "shorter_side": {"0 %": 30, "10 %": 30, "50 %": 40, "90 %": 60, "100 %": 60},
        "most_frequent": [[40, 40, 6], [50, 30, 3], [90, 60, 3]],
    }
    assert write_grid(tmp_path / "sizes.h5", tmp_path / "grid.png") == 12


@pytest.mark.parametrize("storage", ["encoded", "raw"])
def test_the_grid_shows_the_examples_with_red_as_red(storage, packed, sample_tree, tmp_path):
    size = (64, 64) if storage == "raw" else None
    file = packed("agegender", count=300, storage=storage, image_size=size)
    assert write_grid(file, tmp_path / "grid.png", count=24) == 24
    sheet = np.asarray(Image.open(tmp_path / "grid.png"))
    with HDF5Reader(file) as reader:
        rows = choose_rows(reader, 24)
        paths = [reader.paths[row] for row in rows]
        original = Image.open(sample_tree("agegender", 300) / paths[0])
        assert np.abs(sheet[:128, :128] - np.asarray(original.resize((128, 128)), float)).mean() < 6
    assert sheet.shape == (3 * 162, 8 * 128, 3)
    assert len(set(paths)) == 24


def test_the_grid_takes_from_every_split(packed):
    with HDF5Reader(packed("agegender", count=300)) as reader:
        rows = choose_rows(reader, 24)
        assert {caption(reader, row)[0].split()[0] for row in rows} == {"train", "validation", "test"}
        assert len(rows) == 24
        assert sorted(set(rows)) == sorted(rows)
        assert draw_grid(reader, rows[:3]).shape == (162, 3 * 128, 3)


def test_a_caption_says_split_row_and_labels(packed):
    file = packed("agegender", count=300)
    with HDF5Reader(file) as reader:
        row = int(np.flatnonzero(reader.labels("age") == 45)[0])
        gender = ("male", "female")[reader.labels("gender")[row]]
        assert caption(reader, row)[1] == f"{gender} 45 ?"


def test_a_grid_that_is_no_png_is_refused(packed, tmp_path):
    with pytest.raises(FacetError, match=r"--grid .*grid\.jpg: expected a name that ends in \.png"):
        write_grid(packed("agegender", count=300), tmp_path / "grid.jpg")
    assert list(tmp_path.iterdir()) == []
