"""The seal: 256 bytes that no damage leaves believable."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdf5_helper.errors import FacetError
from hdf5_helper.storage.seal import SIZE, Seal, unpack

SEAL = Seal((1, 0), 123_456_789_012, bytes(range(16)), bytes(range(16, 32)))


@given(
    st.tuples(st.integers(0, 65535), st.integers(0, 65535)),
    st.integers(0, 2**64 - 1),
    st.binary(min_size=16, max_size=16),
)
def test_a_seal_reads_back(version, size, digest):
    seal = Seal(version, size, digest, digest[::-1])
    data = seal.pack()
    assert len(data) == SIZE
    assert unpack(data) == seal


def test_these_bytes_never_change():
    data = SEAL.pack()
    assert data[:24].hex() == "46414345545345410100000000000000" + "141a99be1c000000"
    assert data[24:56] == bytes(range(32))
    assert not any(data[56:248])
    assert data[248:].hex() == "893bfaee21442d09"


def test_every_flipped_bit_is_found():
    data = SEAL.pack()
    for bit in range(8 * SIZE):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(FacetError, match="its seal is damaged"):
            unpack(bytes(damaged))


def test_an_empty_seal_says_that_the_file_was_never_finished():
    with pytest.raises(FacetError, match="was never finished"):
        unpack(bytes(SIZE))


@pytest.mark.parametrize("length", [1, 255, 257])
def test_a_seal_of_another_length_is_damaged(length):
    with pytest.raises(FacetError, match="its seal is damaged"):
        unpack((SEAL.pack() * 2)[:length])
