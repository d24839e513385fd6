"""`facet verify`: every example of a file is compared with its checksum, and the damaged ones are named."""

import json
import os
import shutil
from pathlib import Path

import pytest

from hdf5_helper.errors import FacetError
from hdf5_helper.inspecting.verify import Damage, verify
from hdf5_helper.progress import Silent
from hdf5_helper.reading.reader import HDF5Reader
from hdf5_helper.wording import bytes_text


@pytest.fixture(scope="module", params=["encoded", "raw"])
def file(request, packed):
    options = {"storage": "raw", "image_size": (150, 150)} if request.param == "raw" else {}
    return packed("agegender", **options)


def damaged_copy(file: Path, folder: Path, *rows: int) -> tuple[Path, tuple[Damage, ...]]:
    """Gives a copy in which one byte of each row's image is another, and what is to be found."""
    copy = Path(shutil.copy(file, folder / "damaged.h5"))
    with HDF5Reader(file) as reader, open(copy, "rb+") as flipped:
        for row in rows:
            place = reader._images.pieces(row, row + 1)[0][0] + 100
            byte = os.pread(flipped.fileno(), 1, place)[0]
            os.pwrite(flipped.fileno(), bytes([byte ^ 1]), place)
        return copy, tuple(Damage(row, reader.paths[row]) for row in rows)


class Counter(Silent):
    """Notes how far the work says it is."""

    def __init__(self) -> None:
        self.total = self.done = 0

    def start(self, what: str, total: int, *, done: int = 0) -> None:
        assert (what, done) == ("verifying", 0)
        self.total = total

    def advance(self, count: int, note: str = "") -> None:  # noqa: ARG002
        self.done += count


def test_a_whole_file_is_read_to_its_end_and_nothing_is_found(file):
    progress = Counter()
    found = verify(file, progress=progress)
    with HDF5Reader(file) as reader:
        digests = reader.images_digest, reader.index_digest
    assert (found.path, found.examples, found.size, found.damaged) == (file, 200, file.stat().st_size, ())
    assert (found.images_digest, found.index_digest) == digests
    assert (progress.total, progress.done) == (200, 200)


@pytest.mark.parametrize("workers", [1, 2, 7])
def test_damaged_examples_are_named_in_their_order(file, tmp_path, workers):
    copy, damage = damaged_copy(file, tmp_path, 0, 3, 77, 199)
    assert verify(copy, workers=workers).damaged == damage


def test_a_damaged_index_and_a_truncated_file_are_one_sentence(file, tmp_path):
    data = bytearray(file.read_bytes())
    with HDF5Reader(file) as reader:
        place = reader._file.structure.dsets["labels/gender"].extents.pieces(0, 1)[0][0]
    copy = tmp_path / "copy.h5"
    copy.write_bytes(data[:-1])
    with pytest.raises(FacetError, match=r"copy.h5: is truncated: [\d,]+ bytes of [\d,]+; pack it again"):
        verify(copy)
    data[place] ^= 1
    copy.write_bytes(data)
    with pytest.raises(FacetError, match=r"copy.h5: its index is damaged, labels or paths are not as sealed; pack it"):
        verify(copy)


def test_the_command_says_that_a_file_is_whole(facet, file):
    answer = facet("verify", file)
    size = bytes_text(file.stat().st_size)
    assert (answer.code, answer.stderr) == (0, "")
    first, last = answer.stdout.splitlines()
    assert first == f"{file}: 200 examples, {size}: all as packed"
    assert last == f"next: facet inspect {file}"


def test_the_command_names_what_is_damaged_and_exits_with_one(facet, file, tmp_path):
    copy, damage = damaged_copy(file, tmp_path, 5, 120)
    answer = facet("verify", copy)
    assert answer.code == 1
    assert answer.stdout == "".join(f"example {one.example} ({one.path}): damaged\n" for one in damage)
    assert answer.stderr == (
        f"facet: {copy}: 2 of 200 examples damaged, the first is example 5 ({damage[0].path}), expected none;"
        " pack it again or restore it from a copy\n"
    )


def test_json_is_one_value_also_where_something_is_damaged(facet, file, tmp_path):
    copy, damage = damaged_copy(file, tmp_path, 9)
    answer = facet("verify", copy, "--json", "--workers", 1)
    found = verify(copy)
    assert answer.code == 1
    assert json.loads(answer.stdout) == {
        "path": str(copy),
        "examples": 200,
        "size": found.size,
        "images_digest": found.images_digest,
        "index_digest": found.index_digest,
        "damaged": [{"example": 9, "path": damage[0].path}],
    }
