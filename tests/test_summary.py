import time
from collections import Counter, defaultdict

import cv2
import h5py
import numpy as np
import pytest
from PIL import Image

from hdf5_helper.errors import FacetError
from hdf5_helper.inspecting.grid import caption, choose_rows, draw_grid, write_grid
from hdf5_helper.inspecting.summary import _classes, duplicates, leaking_subjects, summarize
from hdf5_helper.reading.reader import HDF5Reader


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
        counts = _classes([str(number) for number in range(classes)], values, 65535)
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


def test_a_person_and_an_image_on_two_sides_are_found(agegender):
    with h5py.File(agegender) as h5:
        sides, images = defaultdict(set), defaultdict(list)
        for row, subject in enumerate(h5["subject"][:]):
            sides[subject].add(h5["split"][row])
            images[h5["checksum"][row]].append(h5["path"][row].decode())
        names = [name.decode() for name in h5["subject_names"][:]]
    leaking = sorted(names[subject] for subject, found in sides.items() if len(found) > 1)
    copies = sorted(sorted(paths) for paths in images.values() if len(paths) > 1)
    assert len(leaking) == len(copies) == 1
    with HDF5Reader(agegender) as reader:
        values = summarize(reader)
        assert leaking_subjects(reader) == leaking
        assert duplicates(reader) == copies
    assert values["subjects"] == {"persons": len(names), "examples_without": 0, "in_several_splits": 1}
    assert values["duplicates"] == {"copies": 1, "in_several_splits": 1, "images": values["examples"] - 1}


def test_a_tree_without_persons_says_so(packed):
    with HDF5Reader(packed("folders")) as reader:
        assert summarize(reader)["subjects"] == {"persons": 0, "examples_without": 200, "in_several_splits": 0}


def test_sizes_of_images_are_told_apart(tmp_path):
    from hdf5_helper.packing.packer import pack

    for number, (height, width) in enumerate([(40, 40), (40, 40), (50, 30), (90, 60)] * 3):
        path = tmp_path / "tree" / "man" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.full((height, width, 3), number, np.uint8))
    pack([tmp_path / "tree"], tmp_path / "sizes.h5")
    with HDF5Reader(tmp_path / "sizes.h5") as reader:
        values = summarize(reader)
    assert values["image_sizes"] == {"different": 3, "smallest": [50, 30], "largest": [90, 60]}
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
