"""Bytes at an offset: mapped or read, the same, and with what the system has."""

import mmap
import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdf5_helper.storage import positional
from hdf5_helper.storage.network import on_network
from hdf5_helper.storage.positional import MappedBytes, PositionalBytes, copy_pieces, open_bytes, open_for_writing

SIZE = 10_000
CONTENT = np.random.default_rng(3).integers(0, 256, SIZE, dtype=np.uint8).tobytes()


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    file = tmp_path_factory.mktemp("bytes") / "file"
    file.write_bytes(CONTENT)
    return file


@pytest.fixture(scope="module", params=[MappedBytes, PositionalBytes])
def data(request, path):
    opened = request.param(path)
    yield opened
    opened.close()


@given(offset=st.integers(0, SIZE + 50), length=st.integers(0, 300))
def test_a_view_is_the_bytes_there_and_ends_with_the_file(data, offset, length):
    assert bytes(data.view(offset, length)) == CONTENT[offset : offset + length]


@given(places=st.lists(st.integers(0, SIZE - 90), min_size=1, max_size=20), length=st.integers(1, 90))
def test_gathered_rows_are_the_bytes_at_their_offsets(data, places, length):
    out = np.zeros((len(places), length), np.uint8)
    data.gather(np.array(places, np.int64), out)
    assert [row.tobytes() for row in out] == [CONTENT[place : place + length] for place in places]


def test_neighbours_are_read_by_one_call(path, monkeypatch):
    calls = []
    plain = os.preadv
    monkeypatch.setattr(os, "preadv", lambda *call: calls.append(call[2]) or plain(*call))
    data, out = PositionalBytes(path), np.empty((5, 100), np.uint8)
    data.gather(np.array([700, 800, 900, 200, 300]), out)
    data.close()
    assert calls == [700, 200]
    assert out.tobytes() == CONTENT[700:1000] + CONTENT[200:400]


@pytest.mark.parametrize("missing", [(), ("preadv",), ("preadv", "pread")], ids=str)
def test_many_threads_read_right_with_whatever_calls_there_are(path, monkeypatch, missing):
    for call in missing:
        monkeypatch.delattr(os, call)
    data = PositionalBytes(path)

    def gathered(seed: int) -> bool:
        places = np.random.default_rng(seed).integers(0, SIZE - 70, 30)
        out = np.empty((30, 70), np.uint8)
        data.gather(places, out)
        return out.tobytes() == b"".join(CONTENT[place : place + 70] for place in places)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(gathered, range(200)))
    data.close()


@pytest.mark.parametrize("missing", ["preadv", None])
def test_a_file_that_ends_before_a_row_says_so(data, monkeypatch, missing):
    if missing:
        monkeypatch.delattr(os, missing)
    for place in (SIZE - 99, SIZE, 2 * SIZE):
        with pytest.raises(EOFError):
            data.gather(np.array([0, place]), np.empty((2, 100), np.uint8))


@pytest.mark.parametrize("there", [True, False])
def test_advice_to_read_ahead_changes_nothing(data, monkeypatch, there):
    if not there:
        monkeypatch.delattr(mmap, "MADV_WILLNEED")
        monkeypatch.delattr(os, "posix_fadvise")
    data.ahead(5000, 10)
    data.ahead(4000, 2 * SIZE)
    assert bytes(data.view(5000, 10)) == CONTENT[5000:5010]


def test_a_map_is_let_go_while_a_thread_still_holds_a_view(path):
    data = MappedBytes(path)
    view = data.view(0, 10)
    data.close()
    assert bytes(view) == CONTENT[:10]


def test_a_local_file_is_mapped_and_one_on_a_network_is_read(path, monkeypatch):
    assert not on_network(path)
    for remote, kind in ((False, MappedBytes), (True, PositionalBytes)):
        monkeypatch.setattr(positional, "on_network", lambda _path, remote=remote: remote)
        data = open_bytes(path)
        data.close()
        assert isinstance(data, kind)


def test_an_empty_file_is_no_map(tmp_path):
    (tmp_path / "empty").touch()
    data = open_bytes(tmp_path / "empty")
    assert (data.size, bytes(data.view(0, 10))) == (0, b"")
    data.close()


@pytest.mark.parametrize("missing", [(), ("copy_file_range",), ("copy_file_range", "pread", "pwrite")], ids=str)
def test_pieces_are_copied_in_order_with_whatever_calls_there_are(path, tmp_path, monkeypatch, missing):
    for call in missing:
        monkeypatch.delattr(os, call)
    target = tmp_path / "copy"
    target.write_bytes(bytes(300))
    source_handle, target_handle = open_for_writing(path), open_for_writing(target)
    copy_pieces(source_handle, [(100, 50), (900, 150)], target_handle, [(200, 100), (0, 100)])
    os.close(source_handle)
    os.close(target_handle)
    wanted = CONTENT[100:150] + CONTENT[900:1050]
    assert target.read_bytes() == wanted[100:] + bytes(100) + wanted[:100]


def test_a_file_that_is_closed_while_threads_copy_from_it_is_kept_for_them(tmp_path):
    file = tmp_path / "large"
    file.write_bytes(CONTENT * 2000)
    places = np.arange(300) * 65_000
    for _ in range(5):
        data, outs = open_bytes(file), [np.empty((300, 60_000), np.uint8) for _ in range(2)]
        with ThreadPoolExecutor(2) as pool:
            copies = [pool.submit(data.gather, places, out) for out in outs]
            time.sleep(0.001)
            data.close()
        for copy, out in zip(copies, outs, strict=True):
            with suppress(ValueError):  # it was closed before the copy began
                copy.result()
                assert out[7].tobytes() == (CONTENT * 60)[7 * 65_000 : 7 * 65_000 + 60_000]
