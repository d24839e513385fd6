"""Sealed files by other hands: what they lack is one sentence, what they add does no harm."""

import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from trees import agegender_paths, plant

from hdf5_helper.errors import FacetError
from hdf5_helper.packing.packer import PackOptions, pack
from hdf5_helper.reading.reader import HDF5Reader
from hdf5_helper.storage import opening
from hdf5_helper.storage.positional import MappedBytes, PositionalBytes, open_bytes
from hdf5_helper.storage.seal import Seal
from hdf5_helper.storage.structure import images_digest, index_digest, opened, read_structure

SIZE = (24, 20)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return plant(tmp_path_factory.mktemp("tree"), agegender_paths(60))


@pytest.fixture(scope="module", params=["encoded", "raw"])
def file(request, tree, tmp_path_factory):
    path = tmp_path_factory.mktemp("packed") / f"{request.param}.h5"
    pack([tree], path, PackOptions(storage=request.param, image_size=SIZE, fit="crop"))
    return path


def resealed(file: Path, copy: Path, change: Callable[[h5py.File], object], version: tuple[int, int] = (1, 0)) -> Path:
    """Gives a copy that was changed through h5py and sealed as the format's page says, without Facet's packer."""
    shutil.copy(file, copy)
    with h5py.File(copy, "r+") as changed:
        change(changed)
    with opened(copy) as structured:
        structure = read_structure(structured)
    data = open_bytes(copy)
    try:
        digests = images_digest(structure, data), index_digest(structure, data)
    except IndexError:  # a dset without a place: no seal can be right
        digests = bytes(16), bytes(16)
    with h5py.File(copy, "r+") as changed:
        changed["seal"][:] = np.frombuffer(Seal(version, data.size, *digests).pack(), np.uint8)
    return copy


def replaced(name: str, values: np.ndarray, **how: object) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file[name]
        file.create_dataset(name, data=values, **how)

    return change


def compact(file: h5py.File) -> None:
    values = file["split"][:]
    del file["split"]
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_layout(h5py.h5d.COMPACT)
    space = h5py.h5s.create_simple(values.shape)
    h5py.h5d.create(file.id, b"split", h5py.h5t.NATIVE_UINT8, space, dcpl=properties)
    file["split"][:] = values


def unallocated(file: h5py.File) -> None:
    del file["fold"]
    file.create_dataset("fold", (120,), np.int8, chunks=(120,))


PLACE = (
    "no place for {} inside the file, expected its bytes allocated, unfiltered, and in one run or in chunks along the"
    " first dimension"
)
LACKING = {
    "no storage": (lambda file: file.attrs.pop("storage"), "has no storage, expected one of encoded, raw"),
    "a new storage": (
        lambda file: file.attrs.create("storage", np.bytes_("zarr")),
        "has storage 'zarr', expected one of encoded, raw",
    ),
    "no fit": (lambda file: file.attrs.pop("fit"), "has no fit, expected one of stretch, crop, pad"),
    "no split": (lambda file: file.pop("split"), "has no split, which every such file of Facet's has"),
    "a short split": (
        replaced("split", np.zeros(119, np.uint8)),
        "its split is |u1 (119,), expected |u1 (120)",
    ),
    "a split of floats": (replaced("split", np.zeros(120)), "its split is <f8 (120,), expected |u1 (120)"),
    "a short label": (
        replaced("labels/age", np.zeros(7, np.float32)),
        "labels/age has not as many rows as the file has examples",
    ),
    "compact": (compact, PLACE.format("split")),
    "unallocated": (unallocated, PLACE.format("fold")),
    "filtered": (replaced("split", np.zeros(120, np.uint8), compression="gzip"), PLACE.format("split")),
    "in tiles": (
        replaced("statistics/channel_mean", np.zeros((120, 3), np.float32), chunks=(60, 1)),
        PLACE.format("statistics/channel_mean"),
    ),
}


@pytest.mark.parametrize("name", LACKING)
def test_a_sealed_file_that_lacks_something_is_one_sentence(file, tmp_path, name):
    change, sentence = LACKING[name]
    copy = resealed(file, tmp_path / "a.h5", change)
    with pytest.raises(FacetError) as error:
        HDF5Reader(copy)
    assert str(error.value).removesuffix("; pack it again or restore it from a copy") == f"{copy}: {sentence}"


@pytest.mark.parametrize("name", ["encoded/bytes", "encoded/offset", "encoded/orientation"])
def test_a_sealed_file_without_its_images_is_one_sentence(tree, tmp_path, name):
    pack([tree], tmp_path / "whole.h5")
    copy = resealed(tmp_path / "whole.h5", tmp_path / "a.h5", lambda file: file.pop(name))
    with pytest.raises(FacetError, match=f"a.h5: has no {name}, which every such file of Facet's has"):
        HDF5Reader(copy)


def test_a_sealed_file_whose_images_lie_beyond_their_bytes_is_one_sentence(tree, tmp_path):
    pack([tree], tmp_path / "whole.h5")

    def change(file: h5py.File) -> None:
        file["encoded/offset"][5] = 1 << 40

    with pytest.raises(FacetError, match=r"an image lies outside of encoded/bytes; pack it again"):
        HDF5Reader(resealed(tmp_path / "whole.h5", tmp_path / "a.h5", change))


def scattered(name: str, rows: int) -> Callable[[h5py.File], None]:
    """Gives a change that puts a dset into chunks which lie in the file in the opposite order."""

    def change(file: h5py.File) -> None:
        values = file[name][:]
        del file[name]
        dset = file.create_dataset(name, values.shape, values.dtype, chunks=(rows, *values.shape[1:]))
        for start in reversed(range(0, len(values), rows)):
            dset[start : start + rows] = values[start : start + rows]

    return change


@pytest.mark.parametrize("kind", [MappedBytes, PositionalBytes])
def test_chunks_may_lie_anywhere(file, tmp_path, monkeypatch, kind):
    name, rows = ("images", 7) if file.stem == "raw" else ("encoded/bytes", 1021)
    copy = resealed(file, tmp_path / "a.h5", scattered(name, rows))
    monkeypatch.setattr(opening, "open_bytes", kind)
    everything = np.arange(120)
    with HDF5Reader(copy, verify="always") as there, HDF5Reader(file) as here:
        place = there._file.structure.dsets[name].extents
        assert len(place.pieces(0, place.chunk_bytes * len(place.offsets))) == len(place.offsets) > 10
        assert np.array_equal(there.read(everything), here.read(everything))
        assert there.stored(everything) == here.stored(everything)
        assert there.damaged(everything).tolist() == []
        there.prefetch(everything)


def test_sizes_in_the_index_that_are_not_those_of_the_images_change_no_pixel(tree, tmp_path):
    pack([tree], tmp_path / "whole.h5")

    def change(file: h5py.File) -> None:
        file["encoded/height"][:], file["encoded/width"][:] = SIZE

    copy = resealed(tmp_path / "whole.h5", tmp_path / "a.h5", change)
    with HDF5Reader(copy, image_size=SIZE) as wrong, HDF5Reader(tmp_path / "whole.h5", image_size=SIZE) as right:
        assert np.array_equal(wrong.read(np.arange(120)), right.read(np.arange(120)))


def test_a_resealed_file_is_read_so_that_the_tests_above_say_something(file, tmp_path):
    with HDF5Reader(resealed(file, tmp_path / "a.h5", lambda changed: changed.attrs.pop("layout"))) as reader:
        assert reader.read([0]).shape == (1, *SIZE, 3)


def test_a_seal_of_another_version_than_the_attribute_is_found(file, tmp_path):
    copy = resealed(file, tmp_path / "a.h5", lambda changed: changed.attrs.modify("version", np.array([1, 3])))
    with pytest.raises(FacetError, match=r"was sealed as version 1\.0, but its attribute says 1\.3; pack it again"):
        HDF5Reader(copy)


def test_a_later_minor_version_is_read(file, tmp_path):
    def change(later: h5py.File) -> None:
        later.attrs.modify("version", np.array([1, 3]))
        later.create_dataset("later/thing", data=np.arange(5))

    with HDF5Reader(resealed(file, tmp_path / "a.h5", change, (1, 3))) as reader:
        assert len(reader) == 120
