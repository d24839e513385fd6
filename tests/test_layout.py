"""The layout: where every byte will lie, before one is written."""

import itertools
import time

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdf5_helper.storage.file_format import encoded_chunk, raw_chunk
from hdf5_helper.storage.file_layout import DsetPlan, Extents, create, needed_bytes

U1, U8 = np.dtype(np.uint8), np.dtype(np.uint64)
PLANS = (
    DsetPlan("encoded/bytes", U1, (3_000_000,), 1_003_520),
    DsetPlan("encoded/offset", U8, (1000,)),
    DsetPlan("labels/mood", np.dtype(np.uint16), (1000,), 0, {"class_names": ("happy", "sad é")}),
    DsetPlan("subject_names", np.dtype("S1"), (0,)),
    DsetPlan("seal", U1, (256,)),
)
ATTRIBUTES = {"format": "facet", "version": (1, 0), "fraction": 0.5, "seed": 7, "empty": ""}


def test_two_layouts_of_the_same_plan_are_equal_bytes(tmp_path):
    create(tmp_path / "a.h5", PLANS, ATTRIBUTES)
    time.sleep(1.1)  # HDF5 stores times in whole seconds
    create(tmp_path / "b.h5", PLANS, ATTRIBUTES)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


@pytest.mark.parametrize("plan", PLANS[:3], ids=lambda plan: plan.name)
def test_bytes_written_at_the_places_are_what_h5py_reads(tmp_path, plan):
    places = create(tmp_path / "a.h5", PLANS, ATTRIBUTES)
    data = np.random.default_rng(0).integers(0, 256, plan.shape[0] * plan.row_bytes, dtype=np.uint8).tobytes()
    with open(tmp_path / "a.h5", "rb+") as file:
        done = 0
        for offset, length in places[plan.name].pieces(0, len(data)):
            file.seek(offset)
            file.write(data[done : done + length])
            done += length
    with h5py.File(tmp_path / "a.h5", "r") as file:
        assert file[plan.name][:].tobytes() == data


def test_attributes_are_what_was_given_and_of_fixed_length(tmp_path):
    create(tmp_path / "a.h5", PLANS, ATTRIBUTES)
    with h5py.File(tmp_path / "a.h5", "r") as file:
        assert file.attrs["format"] == b"facet"
        assert file.attrs["version"].tolist() == [1, 0]
        assert (file.attrs["fraction"], file.attrs["seed"], file.attrs["empty"]) == (0.5, 7, b"")
        assert [name.decode() for name in file["labels/mood"].attrs["class_names"]] == ["happy", "sad é"]
        assert not h5py.check_vlen_dtype(file.attrs.get_id("format").dtype)


def test_class_names_of_more_than_64_kb_are_kept(tmp_path):
    names = tuple(f"class number {number:06d}" for number in range(10_000))
    create(tmp_path / "a.h5", [DsetPlan("labels/x", U1, (5,), 0, {"class_names": names})], {})
    with h5py.File(tmp_path / "a.h5", "r") as file:
        assert tuple(name.decode() for name in file["labels/x"].attrs["class_names"]) == names


def test_an_empty_dset_has_no_place_and_needs_none(tmp_path):
    place = create(tmp_path / "a.h5", PLANS, ATTRIBUTES)["subject_names"]
    assert place.pieces(0, 0) == []
    assert place.fits(0, 10)


@given(st.integers(1, 5_000_000), st.integers(1, 40))
def test_the_needed_bytes_are_never_fewer_than_the_file_takes(total, rows):
    import tempfile
    from pathlib import Path

    plans = [DsetPlan("encoded/bytes", U1, (total,), encoded_chunk(total)), DsetPlan("labels/age", U8, (rows,))]
    with tempfile.TemporaryDirectory() as folder:
        create(Path(folder) / "a.h5", plans, ATTRIBUTES)
        assert (Path(folder) / "a.h5").stat().st_size <= needed_bytes(plans, ATTRIBUTES)


@given(st.integers(1, 1 << 40))
def test_encoded_chunks_are_whole_pages_that_waste_little(total):
    chunk = encoded_chunk(total)
    count = -(-total // chunk)
    assert count <= 8200
    assert chunk == total or chunk % 4096 == 0
    assert count * chunk - total <= count * 4096
    assert chunk <= max(1 << 20, total // 8192) + 4096


@given(st.integers(1, 300_000), st.integers(3, 3 * 4000 * 4000))
def test_raw_chunks_hold_whole_rows_in_2_to_8_mib_where_that_can_be(rows, row_bytes):
    chunk = raw_chunk(rows, row_bytes)
    size, mib = chunk * row_bytes, 1 << 20
    assert 1 <= chunk <= rows
    assert size <= 8 * mib or chunk == 1
    assert size >= 2 * mib or rows * row_bytes < 4 * mib


@given(st.integers(1, 50), st.lists(st.integers(0, 30), min_size=1, max_size=12, unique=True), st.data())
def test_pieces_are_the_places_of_the_bytes_in_order(chunk_bytes, order, data):
    extents = Extents(chunk_bytes, np.array([1000 + number * chunk_bytes for number in order], np.int64))
    place = [int(extents.offsets[byte // chunk_bytes]) + byte % chunk_bytes for byte in range(chunk_bytes * len(order))]
    start = data.draw(st.integers(0, len(place)))
    stop = data.draw(st.integers(start, len(place)))
    pieces = extents.pieces(start, stop)
    assert [offset + byte for offset, length in pieces for byte in range(length)] == place[start:stop]
    assert all(first[0] + first[1] != second[0] for first, second in itertools.pairwise(pieces))


def test_a_place_outside_the_file_does_not_fit():
    extents = Extents(100, np.array([50, 150], np.int64))
    assert extents.fits(200, 250)
    assert not extents.fits(200, 249)
    assert not extents.fits(201, 1000)
    assert not Extents(100, np.array([], np.int64)).fits(1, 1000)
