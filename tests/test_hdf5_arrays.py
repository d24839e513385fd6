import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

import h5py
import numpy as np
import pytest

from hdf5_helper.errors import FacetError
from models.pretrained.hdf5_arrays import read_dataset
from models.pretrained.matlab_values import Budget

NO_ZLIB = "Error -3 while decompressing data: unknown compression method"
CONTENT = np.arange(35, dtype=np.float32).reshape(5, 7)


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", "<i2", "|u1"])
@pytest.mark.parametrize(
    "options",
    [{}, {"chunks": (2, 3)}, {"chunks": (2, 3), "compression": "gzip"}, {"chunks": (5, 7), "compression": 9}],
    ids=str,
)
def test_a_dataset_is_read_as_the_library_reads_it(tmp_path: Path, options: dict[str, object], dtype: str) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        dataset = file.create_dataset("x", data=CONTENT.astype(dtype), **options)
        found = read_dataset(dataset, Budget(0))
        np.testing.assert_array_equal(found, dataset[()].astype(dtype[1:]), strict=True)


def test_a_chunk_that_was_left_unpacked_is_read(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        dataset = file.create_dataset("x", (5, 7), "f4", chunks=(5, 7), compression="gzip")
        dataset.id.write_direct_chunk((0, 0), CONTENT.tobytes(), filter_mask=1)
    with h5py.File(tmp_path / "x.h5") as file:
        dataset = file["x"]
        np.testing.assert_array_equal(read_dataset(dataset, Budget(0)), CONTENT)


def _refusal(dataset: h5py.Dataset) -> str:
    with pytest.raises(FacetError) as refusal:
        read_dataset(dataset, Budget(0))
    return str(refusal.value)


def test_an_array_in_another_file_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(16))
    with h5py.File(tmp_path / "x.h5", "w") as file:
        outside = file.create_dataset("x", (4,), "f4", external=[(str(tmp_path / "secret"), 0, 16)])
        layout = h5py.VirtualLayout((4,), "f4")
        layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "x", (4,))
        virtual = file.create_virtual_dataset("y", layout)
        expected = "an array lies in another file, expected it in this one"
        assert (_refusal(outside), _refusal(virtual)) == (expected, expected)


def test_numbers_of_an_odd_layout_are_not_taken_for_common_ones(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        odd = h5py.h5t.IEEE_F32LE.copy()
        odd.set_ebias(100)
        made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        made.set_chunk((4,))
        h5py.h5d.create(file.id, b"x", odd, h5py.h5s.create_simple((4,)), made)
        assert _refusal(file["x"]).endswith("has the filters [], expected numbers packed by gzip")


@dataclass(frozen=True)
class _Packed:
    """How a dataset of 6 × 4 float32 is made, and what stands in its chunks of 2 × 3 instead of what belongs there."""

    sentence: str
    options: Mapping[str, object] = field(default_factory={"chunks": (2, 3), "compression": "gzip"}.copy)
    chunk: bytes | None = None


PACKED = {
    "nothing": _Packed("0 bytes for an array of 96, expected as many", {}),
    "no chunks": _Packed("0 parts of an array of shape (6, 4), expected 6"),
    "other filter": _Packed(
        "an array of float32 has the filters [32000], expected numbers packed by gzip",
        {"chunks": (2, 3), "compression": "lzf"},
    ),
    "huge chunk": _Packed(
        "arrays of 671088736 bytes, expected at most the file's size and 512 MB in all",
        {"chunks": (1 << 12, 10 * (1 << 12)), "maxshape": (None, None)},
        bytes(8),
    ),
    "bomb": _Packed("a part of an array has 25 bytes, expected 24", chunk=zlib.compress(bytes(1 << 20))),
    "short": _Packed("a part of an array has 23 bytes, expected 24", chunk=zlib.compress(bytes(23))),
    "no zlib": _Packed(
        f"a part of an array cannot be unpacked ({NO_ZLIB}), expected an undamaged one", chunk=bytes(24)
    ),
}


@pytest.mark.parametrize("name", PACKED)
def test_a_damaged_dataset_is_refused(tmp_path: Path, name: str) -> None:
    packed = PACKED[name]
    with h5py.File(tmp_path / "x.h5", "w") as file:
        dataset = file.create_dataset("x", (6, 4), "f4", **packed.options)
        if packed.chunk is not None:
            for place in product(range(0, 6, dataset.chunks[0]), range(0, 4, dataset.chunks[1])):
                dataset.id.write_direct_chunk(place, packed.chunk)
        assert _refusal(dataset) == packed.sentence
