"""Wrong, unfinished and damaged files: one sentence each, and never other data."""

import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from trees import agegender_paths, plant, write

from hdf5_helper.errors import FacetError
from hdf5_helper.packing.packer import PackOptions, pack
from hdf5_helper.reading.reader import HDF5Reader

SIZE = (24, 20)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return plant(tmp_path_factory.mktemp("tree"), agegender_paths(60))


@pytest.fixture(scope="module", params=["encoded", "raw"])
def file(request, tree, tmp_path_factory):
    path = tmp_path_factory.mktemp("packed") / f"{request.param}.h5"
    pack([tree], path, PackOptions(storage=request.param, image_size=SIZE, fit="crop"))
    return path


def damaged_copy(file: Path, tmp_path: Path, offset: int) -> Path:
    copy = Path(shutil.copy(file, tmp_path / "damaged.h5"))
    data = bytearray(copy.read_bytes())
    data[offset] ^= 0x10
    copy.write_bytes(data)
    return copy


def image_place(file: Path, row: int) -> int:
    with HDF5Reader(file) as reader:
        return reader._images.pieces(row, row + 1)[0][0] + 300


def test_a_damaged_example_is_named_and_the_others_are_read(file, tmp_path):
    copy = damaged_copy(file, tmp_path, image_place(file, 42))
    with HDF5Reader(copy) as reader:
        path = reader.paths[42]
        reader.read([41, 43])
        for _ in range(2):
            with pytest.raises(FacetError) as error:
                reader.read(np.arange(120))
            assert str(error.value) == (
                f"{copy}: example 42 ({path}) is damaged: its bytes do not match their checksum;"
                " pack it again or restore it from a copy"
            )


@pytest.mark.parametrize(("verify", "found"), [("first", False), ("always", True), ("never", False)])
def test_bytes_that_change_after_the_first_read_are_found_by_always_alone(file, tmp_path, verify, found):
    copy = Path(shutil.copy(file, tmp_path / "copy.h5"))
    with HDF5Reader(copy, verify=verify) as reader:
        reader.read([42])
        with open(copy, "rb+") as stored:
            stored.seek(image_place(file, 42))
            stored.write(b"\x55\xaa\x55")
        if found:
            with pytest.raises(FacetError, match=r"example 42 .* is damaged"):
                reader.read([42])
        else:
            assert reader.read([42]).shape == (1, *SIZE, 3)


def test_a_misspelt_verify_is_refused(file):
    with pytest.raises(FacetError, match=r"verify 'allways': expected .* \(did you mean 'always'\?\)"):
        HDF5Reader(file, verify="allways")


def test_every_label_and_every_path_is_under_the_seal(file, tmp_path):
    with HDF5Reader(file) as reader:
        dsets = {n: d.extents.pieces(0, d.nbytes) for n, d in reader._file.structure.dsets.items() if d.nbytes}
    for name in set(dsets) - {"images", "encoded/bytes"}:
        copy = damaged_copy(file, tmp_path, dsets[name][0][0] + dsets[name][0][1] // 2)
        with pytest.raises(FacetError, match=r"is damaged|are damaged"):
            HDF5Reader(copy)


def everything(path: Path) -> tuple[object, ...]:
    """Gives all that can be read from a file."""
    with HDF5Reader(path, verify="always", workers=1) as reader:
        rows = np.arange(len(reader))
        return (
            *(getattr(reader, name) for name in ("storage", "fit", "image_size", "attributes", "paths")),
            *(getattr(reader, name) for name in ("subject_names", "images_digest", "index_digest")),
            *(getattr(reader, name).tobytes() for name in ("subjects", "folds", "checksums", "channel_means")),
            [(name, reader.class_names(name), reader.labels(name).tobytes()) for name in reader.label_names],
            [(name, reader.group_names(name), reader.group(name).tobytes()) for name in reader.groups],
            [(name, reader.split(name).tolist()) for name in reader.splits],
            reader.image_sizes().tobytes(),
            reader.stored(rows),
            reader.read(rows).tobytes(),
        )


FLIPS = 1000  # of a file each, 2,000 in all


def test_two_thousand_flipped_bits_are_found_and_named_or_do_no_harm(file, tmp_path):
    copy = Path(shutil.copy(file, tmp_path / "copy.h5"))
    data, whole = copy.read_bytes(), everything(copy)
    places = np.random.default_rng(1).choice(len(data) * 8, FLIPS, replace=False).tolist()
    sentences = []
    with open(copy, "rb+", buffering=0) as flipped:
        for place in places:
            os.pwrite(flipped.fileno(), bytes([data[place // 8] ^ 1 << place % 8]), place // 8)
            try:
                assert everything(copy) == whole
            except FacetError as error:
                sentences.append(str(error))
            os.pwrite(flipped.fileno(), data[place // 8 : place // 8 + 1], place // 8)
    named = re.compile(
        r"(example \d+ \(.+\) is damaged: its bytes do not match their checksum"
        r"|its (index|seal|checksums) (is|are) damaged.*|is truncated: .*|no place for .*)"
        r"; pack it again or restore it from a copy|is no HDF5 file, expected one made by `facet pack`"
    )
    assert [sentence for sentence in sentences if not named.fullmatch(sentence.removeprefix(f"{copy}: "))] == []
    assert len(sentences) > FLIPS / 2
    assert everything(copy) == whole


def test_every_flipped_bit_of_the_files_own_index_is_found_or_does_no_harm(file, tmp_path):
    """libhdf5 1.14 ends the process over some of them where links or attributes are listed in order."""
    copy = Path(shutil.copy(file, tmp_path / "copy.h5"))
    data, whole = copy.read_bytes(), everything(copy)
    nodes = [match.start() for match in re.finditer(rb"OHDR|BTHD|BTLF|FRHP|FHDB|FSHD|FSSE|TREE", data)]
    found = 0
    with open(copy, "rb+", buffering=0) as flipped:
        for node in nodes:
            for place in range(node, node + 48, 3):
                os.pwrite(flipped.fileno(), bytes([data[place] ^ 2]), place)
                try:
                    assert everything(copy) == whole
                except FacetError:
                    found += 1
                os.pwrite(flipped.fileno(), data[place : place + 1], place)
    assert found > len(nodes) * 10


def test_a_file_cut_anywhere_is_refused(file, tmp_path):
    data = file.read_bytes()
    for length in [0, 1, 8, 40, *range(100, len(data), len(data) // 40), len(data) - 1]:
        cut = write(tmp_path, "cut.h5", data[:length])
        with pytest.raises(FacetError, match=r"is truncated|is no HDF5 file|index is damaged"):
            HDF5Reader(cut)


def test_a_file_with_bytes_added_is_refused(file, tmp_path):
    longer = write(tmp_path, "longer.h5", file.read_bytes() + b"x")
    with pytest.raises(FacetError, match=r"has [\d,]+ bytes but was sealed with [\d,]+"):
        HDF5Reader(longer)


def test_files_of_other_kinds_are_one_sentence_each(tmp_path, file):
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["data"] = np.zeros(3)
    write(tmp_path, "text.h5", b"hello")
    sentences = {
        "missing.h5": "no such file, expected one made by `facet pack`",
        "": "is a folder, expected a file made by `facet pack`",
        "text.h5": "is no HDF5 file, expected one made by `facet pack`",
        "other.h5": "is HDF5 but not of Facet's format, expected a file made by `facet pack`",
    }
    for name, sentence in sentences.items():
        with pytest.raises(FacetError) as error:
            HDF5Reader(tmp_path / name)
        assert str(error.value) == f"{tmp_path / name if name else tmp_path}: {sentence}"


def test_another_major_version_is_refused(file, tmp_path):
    copy = Path(shutil.copy(file, tmp_path / "later.h5"))
    with h5py.File(copy, "r+") as later:
        later.attrs.modify("version", np.array([2, 1]))
    with pytest.raises(FacetError, match=r"has format version 2\.1, expected 1\.x, which this program reads"):
        HDF5Reader(copy)


def test_a_file_of_another_kind_or_version_is_called_so_whatever_its_layout(tmp_path):
    sentences = {
        "foreign": "is HDF5 but not of Facet's format, expected a file made by `facet pack`",
        "facet": "has format version 2.0, expected 1.x, which this program reads",
    }
    for kind, sentence in sentences.items():
        with h5py.File(tmp_path / "a.h5", "w") as other:
            other.create_dataset("images", data=np.zeros((40, 40), np.uint8), chunks=(10, 10), compression="gzip")
            other.create_dataset("names", data=["a", "b"])
            other.attrs["format"], other.attrs["version"] = kind, (2, 0)
        with pytest.raises(FacetError) as error:
            HDF5Reader(tmp_path / "a.h5")
        assert str(error.value) == f"{tmp_path / 'a.h5'}: {sentence}"


def test_an_unsealed_file_was_never_finished(file, tmp_path):
    copy = Path(shutil.copy(file, tmp_path / "unsealed.h5"))
    with h5py.File(copy, "r+") as unsealed:
        unsealed["seal"][:] = 0
    with pytest.raises(FacetError, match="was never finished: its seal is empty"):
        HDF5Reader(copy)


def test_a_seal_with_another_digest_is_found(file, tmp_path):
    copy = Path(shutil.copy(file, tmp_path / "other.h5"))
    with HDF5Reader(file) as reader:
        seal = reader._file.seal
    with h5py.File(copy, "r+") as other:
        other["seal"][:] = np.frombuffer(replace(seal, images_digest=bytes(16)).pack(), np.uint8)
    with pytest.raises(FacetError, match="its checksums are damaged"):
        HDF5Reader(copy)
