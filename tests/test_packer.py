"""Packing: every byte and label of the tree, the same bytes every time, readable by anything that reads HDF5."""

import shutil
import subprocess
import time
from dataclasses import replace

import cv2
import h5py
import numpy as np
import pytest
import xxhash
from trees import agegender_paths, manifest, plant

from hdf5_helper.images.fit import fit
from hdf5_helper.packing.packer import PackOptions, pack
from hdf5_helper.reading.reader import HDF5Reader

RAW = PackOptions(storage="raw", image_size=(24, 20))


@pytest.fixture
def tree(tmp_path):
    return plant(tmp_path / "tree", agegender_paths(60))


@pytest.mark.parametrize("storage", ["encoded", "raw"])
def test_a_pack_is_the_same_bytes_again_and_with_any_number_of_workers(tree, tmp_path, storage):
    digests = set()
    for workers in (1, 2, 7):
        options = PackOptions(storage=storage, workers=workers)
        report = pack([tree], tmp_path / f"{workers}.h5", options)
        digests.add(xxhash.xxh3_128_hexdigest(report.path.read_bytes()))
        time.sleep(0.6)  # the three packs lie in more than one second
    assert len(digests) == 1


def test_encoded_storage_keeps_the_bytes_of_every_file(tree, tmp_path):
    pack([tree], tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "r") as file:
        data = file["encoded/bytes"][:].tobytes()
        for path, offset, length in zip(file["path"], file["encoded/offset"], file["encoded/length"], strict=True):
            assert data[int(offset) : int(offset) + int(length)] == (tree / path.decode()).read_bytes()


def test_five_lines_of_h5py_give_an_image_and_its_label(tree, tmp_path):
    pack([tree], tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "r") as file:
        start, length = file["encoded/offset"][5], file["encoded/length"][5]
        image = cv2.imdecode(file["encoded/bytes"][start : start + length], cv2.IMREAD_COLOR)
        label = file["labels/gender"].attrs["class_names"][file["labels/gender"][5]].decode()
        path = file["path"][5].decode()
    assert np.array_equal(image, cv2.imread(str(tree / path)))
    assert label == ("female" if "_F/" in path else "male")


def test_raw_storage_holds_the_fitted_pixels_as_opencv_makes_them(tree, tmp_path):
    pack([tree], tmp_path / "a.h5", replace(RAW, fit="pad"))
    with h5py.File(tmp_path / "a.h5", "r") as file:
        assert file["images"].shape == (120, 24, 20, 3)
        for row in range(0, 120, 17):
            source = cv2.imread(str(tree / file["path"][row].decode()))[..., ::-1]
            assert np.array_equal(file["images"][row], fit(np.ascontiguousarray(source), (24, 20), "pad"))


@pytest.mark.parametrize("options", [PackOptions(), RAW], ids=["encoded", "raw"])
def test_checksums_means_and_sizes_are_those_of_the_stored_images(tree, tmp_path, options):
    pack([tree], tmp_path / "a.h5", options)
    with h5py.File(tmp_path / "a.h5", "r") as file:
        for row in (0, 50, 119):
            if options.storage == "raw":
                image = file["images"][row]
                stored = image.tobytes()
            else:
                start, length = int(file["encoded/offset"][row]), int(file["encoded/length"][row])
                stored = file["encoded/bytes"][start : start + length].tobytes()
                image = cv2.imdecode(np.frombuffer(stored, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
                assert (file["encoded/height"][row], file["encoded/width"][row]) == image.shape[:2]
            assert file["checksum"][row] == xxhash.xxh3_64_intdigest(stored)
            assert file["statistics/channel_mean"][row] == pytest.approx(image.mean(axis=(0, 1)), rel=1e-6)


def test_labels_groups_and_subjects_are_stored_as_the_format_says(tmp_path):
    rows = [
        {"path": "a.png", "gender": "f", "age": 31.5, "mood": "happy", "subject": "p2", "race": "x", "split": "train"},
        {"path": "b.png", "gender": "", "age": 7, "mood": "", "subject": "", "race": "", "split": "train"},
        {"path": "c.png", "gender": "m", "age": "", "mood": "angry", "subject": "p1", "race": "y", "split": "test"},
    ]
    pack([manifest(tmp_path / "t", rows)], tmp_path / "a.h5", PackOptions(groups=("race",)))
    with h5py.File(tmp_path / "a.h5", "r") as file:
        order = np.argsort(file["path"][:])
        columns = {
            name: file[name] for name in (*(f"labels/{x}" for x in file["labels"]), "groups/race", "subject", "split")
        }
        found = {name: (dset.dtype.str, dset[:][order].tolist()) for name, dset in columns.items()}
        names = {
            name: [item.decode() for item in file[name].attrs["class_names"]] for name in ("labels/mood", "groups/race")
        }
        subjects = file["subject_names"][:].tolist()
    assert str(found.pop("labels/age")) == "('<f4', [31.5, 7.0, nan])"
    assert found == {
        "labels/gender": ("|u1", [1, 255, 0]),
        "labels/age_group": ("|u1", [4, 255, 255]),
        "labels/mood": ("<u2", [1, 65535, 0]),
        "groups/race": ("<u2", [0, 65535, 1]),
        "subject": ("<i4", [1, -1, 0]),
        "split": ("|u1", [0, 0, 2]),
    }
    assert (names, subjects) == ({"labels/mood": ["angry", "happy"], "groups/race": ["x", "y"]}, [b"p1", b"p2"])


def test_pyfive_reads_what_h5py_reads(tree, tmp_path):
    pyfive = pytest.importorskip("pyfive")
    pack([tree], tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "r") as expected, pyfive.File(str(tmp_path / "a.h5")) as file:
        names: list[str] = []
        expected.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
        assert len(names) > 10
        for name in names:
            assert np.array_equal(np.asarray(file[name][:]), expected[name][:], equal_nan=name == "labels/age"), name


def test_h5dump_reads_it_without_a_complaint(tree, tmp_path):
    h5dump = shutil.which("h5dump") or pytest.skip("h5dump is not installed")
    pack([tree], tmp_path / "a.h5")
    done = subprocess.run(
        [h5dump, "-d", "/labels/gender", str(tmp_path / "a.h5")], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert '"male\\000\\000", "female"' in done.stdout


def test_the_real_set_takes_two_percent_more_than_its_images(real_data, tmp_path):
    tree = real_data("agegender_cleaned")
    report = pack([tree], tmp_path / "ag.h5")
    images = sum(path.stat().st_size for path in tree.rglob("*.jpg"))
    assert (report.examples, report.rejects, report.splits["test"]) == (4000, (), 800)
    assert 2800 <= report.splits["train"] <= 2960
    assert report.bytes <= 1.02 * images


def test_every_block_of_the_real_set_is_a_fair_sample_of_its_split(real_data, tmp_path):
    pack([real_data("agegender_cleaned")], tmp_path / "ag.h5")
    with HDF5Reader(tmp_path / "ag.h5") as reader:
        labels = {
            "gender": reader.labels("gender"),
            "age": reader.labels("age") // 10,
            "origin": reader.group("origin"),
        }
        rows = reader.split("train")
        blocks = [rows[a : a + reader.block_rows] for a in range(0, len(rows), reader.block_rows)]
        assert len(blocks) >= 5
        for values in labels.values():
            for value in np.unique(values[rows]):
                share = (values[rows] == value).mean()
                for block in blocks:
                    error = (share * (1 - share) / len(block)) ** 0.5
                    assert abs((values[block] == value).mean() - share) <= 4 * error + 1 / len(block)
