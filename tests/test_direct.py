"""Writing around the page cache: the same bytes, or nothing and a plain word that it cannot be done."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdf5_helper.storage import direct
from hdf5_helper.storage.direct import page_memory, write_around_cache
from hdf5_helper.storage.file_format import PAGE

CONTENT = np.random.default_rng(0).integers(0, 256, 3 * PAGE, dtype=np.uint8)


@pytest.fixture
def handle(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(bytes(5 * PAGE))
    opened = os.open(path, os.O_RDWR)
    yield opened
    os.close(opened)


def content_of(handle: int) -> bytes:
    return os.pread(handle, 9 * PAGE, 0)


@given(length=st.integers(1, 3 * PAGE), offset=st.integers(0, 1 << 40))
def test_memory_lies_to_the_machines_pages_as_the_bytes_to_those_of_the_file(length, offset):
    memory = page_memory(length, offset)
    assert len(memory) == length
    assert (memory.ctypes.data - offset) % PAGE == 0


def test_whole_pages_are_written_at_their_place_and_nothing_else(handle):
    memory = page_memory(len(CONTENT), PAGE)
    memory[:] = CONTENT
    assert write_around_cache(handle, memory.data, PAGE)
    assert content_of(handle) == bytes(PAGE) + CONTENT.tobytes() + bytes(PAGE)


def test_the_file_takes_plain_writes_afterwards(handle):
    memory = page_memory(PAGE, 0)
    memory[:] = 7
    assert write_around_cache(handle, memory.data, 0)
    os.pwrite(handle, b"plain", 3)
    assert content_of(handle)[:9] == b"\7\7\7plain\7"


def test_memory_that_crosses_pages_otherwise_is_left_to_a_plain_write(handle):
    memory = page_memory(PAGE, 16)
    assert not write_around_cache(handle, memory.data, 0)
    assert content_of(handle) == bytes(5 * PAGE)


def test_a_system_without_such_a_way_leaves_it_to_a_plain_write(handle, monkeypatch):
    monkeypatch.delattr(os, "O_DIRECT")
    assert not write_around_cache(handle, page_memory(PAGE, 0).data, 0)


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOSPC])
def test_a_file_system_that_refuses_is_told_apart_from_a_full_one(handle, monkeypatch, number):
    def refusing(*_arguments: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(direct, "write_pieces", refusing)
    memory = page_memory(PAGE, 0)
    if number == errno.EINVAL:
        assert not write_around_cache(handle, memory.data, 0)
    else:
        with pytest.raises(OSError, match="No space"):
            write_around_cache(handle, memory.data, 0)
    monkeypatch.undo()
    os.pwrite(handle, b"plain", 3)
    assert content_of(handle)[3:8] == b"plain"


MEMORY = Path("/dev/shm")  # noqa: S108 - where Linux keeps files in memory


@pytest.mark.skipif(not MEMORY.is_dir(), reason="no file system in memory")
def test_a_file_in_memory_is_written_or_left_alone(handle):
    path = MEMORY / f"facet-direct-{os.getpid()}"
    path.write_bytes(bytes(PAGE))
    memory = page_memory(PAGE, 0)
    memory[:] = 7
    opened = os.open(path, os.O_RDWR)
    try:
        written = write_around_cache(opened, memory.data, 0)
        assert content_of(opened) == (bytes([7]) if written else bytes(1)) * PAGE
    finally:
        os.close(opened)
        path.unlink()
