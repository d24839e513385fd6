"""`write_data_to_hdf5`: the walk-through's entry, over the same packer."""

from pathlib import Path

import numpy as np
import pytest
from trees import plant

from hdf5_helper import HDF5Reader, split_by_age, split_by_gender, write_data_to_hdf5
from hdf5_helper.errors import FacetError

PATHS = [f"{20 + number % 7}/{111 + number % 2}/{number // 2}-{number}.jpg" for number in range(50)]


@pytest.fixture
def afad(tmp_path):
    return plant(tmp_path / "AFAD", PATHS)


@pytest.mark.parametrize(("method", "label"), [(split_by_gender, "gender"), (split_by_age, "age")])
def test_an_afad_tree_becomes_one_file_with_both_labels_and_three_splits(afad, tmp_path, method, label):
    path = write_data_to_hdf5(str(afad), method, tmp_path / "hdf5" / label)
    assert path == tmp_path / "hdf5" / label / "data.h5"
    with HDF5Reader(path) as reader:
        assert reader.label_names == ("age", "age_group", "gender")
        assert reader.attributes["default_label"] == label
        assert [len(reader.split(name)) for name in ("train", "validation", "test")] == [32, 8, 10]
        assert reader.read([0, 1]).shape == (2, 150, 150, 3)
        genders = dict(zip(reader.paths, reader.labels("gender").tolist(), strict=True))
    assert genders == {path: int("/112/" in path) for path in PATHS}


def test_split_methods_give_paths_and_labels(afad):
    paths, genders = split_by_gender(str(afad))
    assert [str(Path(path).relative_to(afad)) for path in paths] == sorted(PATHS)
    assert genders == [int("/112/" in path) for path in sorted(PATHS)]
    assert split_by_age(afad) == (paths, [int(path.split("/")[0]) for path in sorted(PATHS)])


def test_any_function_gives_a_class_label_named_after_it(afad, tmp_path):
    def split_by_quarter(data_dir):
        return [f"{data_dir}/{path}" for path in PATHS], np.arange(50) % 11

    path = write_data_to_hdf5(afad, split_by_quarter, tmp_path / "out")
    with HDF5Reader(path) as reader:
        assert reader.attributes["default_label"] == "quarter"
        assert reader.class_names("quarter") == tuple(map(str, range(11)))
        labels = dict(zip(reader.paths, reader.labels("quarter").tolist(), strict=True))
    assert labels == {path: number % 11 for number, path in enumerate(PATHS)}


@pytest.mark.parametrize("values", [["female", "male"] * 25, [1, 0] * 25, np.array([1, 0] * 25)])
def test_a_function_of_the_users_own_may_be_called_split_by_gender(afad, tmp_path, values):
    def method(_data_dir):
        return [afad / path for path in PATHS], values

    method.__name__ = "split_by_gender"
    with HDF5Reader(write_data_to_hdf5(afad, method, tmp_path)) as reader:
        labels = dict(zip(reader.paths, reader.labels("gender").tolist(), strict=True))
    assert labels == {path: 1 - number % 2 for number, path in enumerate(PATHS)}


def test_channels_first_is_what_readers_give(afad, tmp_path):
    path = write_data_to_hdf5(afad, split_by_gender, tmp_path, channels_first=True)
    with HDF5Reader(path) as reader:
        assert reader.read([0, 1, 2]).shape == (3, 3, 150, 150)


def test_it_replaces_its_own_older_file(afad, tmp_path):
    first = write_data_to_hdf5(afad, split_by_gender, tmp_path, set_split=0.5)
    second = write_data_to_hdf5(afad, split_by_gender, tmp_path, set_split=0.5)
    assert first == second
    with HDF5Reader(second) as reader:
        assert len(reader.split("test")) in (24, 25, 26)


@pytest.mark.parametrize(
    ("paths", "values", "sentence"),
    [
        (PATHS, [1], "split_method: 50 paths and 1 labels, expected as many labels as paths"),
        (PATHS[:1], [0.5], "split_method: label 0.5: expected whole numbers or texts"),
        (["nowhere.jpg"], [1], "holds no image that can be packed with a label"),
        ([], [], "holds no image that can be packed with a label"),
    ],
)
def test_what_cannot_be_packed_is_one_sentence(afad, tmp_path, paths, values, sentence):
    with pytest.raises(FacetError, match=sentence):
        write_data_to_hdf5(afad, lambda folder: ([f"{folder}/{path}" for path in paths], values), tmp_path / "out")


@pytest.mark.parametrize("paths", [["nowhere.jpg"], ["bad.jpg"]], ids=["found before", "found while packing"])
def test_a_mistake_leaves_no_folders(afad, tmp_path, paths):
    (afad / "bad.jpg").write_bytes(b"x")
    (tmp_path / "mine").mkdir()
    with pytest.raises(FacetError, match="holds no image that can be packed"):
        write_data_to_hdf5(afad, lambda folder: ([f"{folder}/{p}" for p in paths], [1]), tmp_path / "mine" / "a" / "b")
    assert list((tmp_path / "mine").iterdir()) == []


def test_an_output_that_is_no_folder_is_one_sentence(afad, tmp_path):
    (tmp_path / "file").write_text("x")
    for place in ("file", "file/below"):
        with pytest.raises(FacetError, match=r"data\.h5: cannot be written: (file exists|not a directory)"):
            write_data_to_hdf5(afad, split_by_gender, tmp_path / place)


def test_a_share_outside_0_and_1_is_refused(afad, tmp_path):
    with pytest.raises(FacetError, match=r"set_split 1\.5: expected a share between 0 and 1"):
        write_data_to_hdf5(afad, split_by_gender, tmp_path, set_split=1.5)
