"""Activation files: what is read is what was written, or it is missing, however many write and however they end."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import h5py
import ml_dtypes
import numpy as np
import pytest
import xxhash
from activation_files import KEY, all_rows, filled, key_of, values_of
from conftest import ROOT
from kills import build_shim

from hdf5_helper.errors import FacetError
from models.training.activations.activation_file import ActivationFile
from models.training.activations.opening import described

TESTS = Path(__file__).parent
ENV = {**os.environ, "PYTHONPATH": f"{ROOT}:{TESTS}"}
FLOAT16 = key_of(dtype="float16")
BFLOAT16 = key_of(dtype="bfloat16", precision="mixed_bfloat16")


def expected(key, rows):
    """Gives what a file of `key` should give back for values_of(key, rows)."""
    values = values_of(key, rows)
    if key.dtype == "float32":
        return values
    short = values.astype(ml_dtypes.bfloat16)
    if key.dtype == "bfloat16":
        return short
    with np.errstate(over="ignore"):
        halves = values.astype(np.float16).astype(np.float32)
    marked = (np.abs(values) > 65504).any(axis=(1, 2, 3), keepdims=True)
    return np.where(marked, short.astype(np.float32), halves)


def check_rows(file, rows):
    """Compares rows with what they should be; gives how many of them are there."""
    rows = np.asarray(rows)[file.has(rows)]
    read = file.read(rows)
    assert read.dtype == (ml_dtypes.bfloat16 if file.key.dtype == "bfloat16" else np.float32)
    np.testing.assert_array_equal(read.view(np.uint8), expected(file.key, rows).view(np.uint8))
    return len(rows)


def refilled(folder, key=KEY):
    """Writes what a file lacks, and compares all of it; gives what was said and how many rows had been there."""
    said = []
    with ActivationFile.open(folder, key, said.append) as file:
        there = check_rows(file, all_rows(key))
        missing = all_rows(key)[~file.has(all_rows(key))]
        file.write(missing, values_of(key, missing))
        assert check_rows(file, all_rows(key)) == key.rows
    return said, there


def program(code, *arguments, env=ENV, **options):
    """Starts Python with the tests' modules at hand."""
    return subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], env=env, text=True, **options)


@pytest.mark.parametrize("key", [KEY, FLOAT16, BFLOAT16], ids=lambda key: key.dtype)
def test_rows_come_back_in_any_order_in_this_process_and_in_the_next(key, tmp_path):
    order = np.random.default_rng(0).permutation(key.rows)
    said = []
    with ActivationFile.open(tmp_path, key, said.append) as file:
        assert (file.count, file.full, file.has(order).any()) == (0, False, False)
        for batch in np.split(order, 8):
            file.write(batch, values_of(key, batch))
            assert check_rows(file, batch) == len(batch)
        assert file.count == key.rows
    with ActivationFile.open(tmp_path, key, said.append) as file:
        assert file.count == check_rows(file, order[::-1]) == key.rows
        assert check_rows(file, np.array([7, 7, 3, 7])) == 4
        assert file.read(np.array([], np.int64)).shape == (0, *key.shape)
    assert said == []


@pytest.mark.parametrize("key", [KEY, FLOAT16, BFLOAT16], ids=lambda key: key.dtype)
def test_h5py_reads_rows_checksums_and_marks(key, tmp_path):
    stored = np.array([0, 1, 2, 20, 22, 39])
    with h5py.File(filled(tmp_path, key, stored)) as file:
        attributes = {name: file.attrs[name] for name in file.attrs}
        assert attributes.pop("format") == b"facet-activations"
        assert attributes.pop("version") == 1
        assert json.loads(attributes.pop("key")) == key.to_json()
        assert attributes == {}
        assert file["activations"].attrs["number_format"] == key.dtype.encode()
        rows, checksums, marks = file["activations"], file["checksum"], file["format"]
        assert {name: (dset.dtype.str, dset.shape) for name, dset in file.items()} == {
            "activations": ({"float32": "<f4", "float16": "<f2", "bfloat16": "<u2"}[key.dtype], (40, 3, 2, 5)),
            "checksum": ("<u8", (40,)),
            "format": ("|u1", (40,)),
        }
        assert np.flatnonzero(checksums[:]).tolist() == stored.tolist()
        wanted = np.where((stored % 3 == 2) & (key.dtype == "float16"), 1, 0)
        assert marks[:][stored].tolist() == wanted.tolist()
        for row, mark in zip(stored.tolist(), wanted.tolist(), strict=True):
            content = rows[row].tobytes()
            assert xxhash.xxh3_64_intdigest(content, 2 * row + mark) == checksums[row]
            numbers = rows[row].view(ml_dtypes.bfloat16) if mark or key.dtype == "bfloat16" else rows[row]
            np.testing.assert_array_equal(numbers.astype(np.float32), expected(key, [row])[0].astype(np.float32))


def test_a_file_takes_the_space_of_its_rows_and_not_of_those_to_come(tmp_path):
    key = key_of(rows=10_000, shape=(1024,))
    with ActivationFile.open(tmp_path, key, print) as file:
        assert file.path.stat().st_size > 40_960_000
        assert file.bytes < 200_000
        file.write(np.arange(1000), np.ones((1000, 1024), np.float32))
        assert 4_096_000 <= file.bytes < 4_400_000
    with h5py.File(file.path) as opened:
        assert 1 << 20 <= np.prod(opened["activations"].chunks) * 4 <= 1 << 22


def test_rows_that_follow_one_another_are_written_at_once(tmp_path, monkeypatch):
    calls = []
    pwrite = os.pwrite
    with ActivationFile.open(tmp_path, KEY, print) as file:
        monkeypatch.setattr(
            os, "pwrite", lambda handle, data, offset: calls.append(len(data)) or pwrite(handle, data, offset)
        )
        rows = np.array([12, 4, 3, 5, 11, 30])
        file.write(rows, values_of(KEY, rows))
        assert calls == [360, 240, 120, 3, 2, 1, 24, 16, 8]
        assert check_rows(file, rows) == 6


def test_zeros_and_what_is_no_number_are_rows_like_others(tmp_path):
    values = np.zeros((4, *KEY.shape), np.float32)
    values[1, 0] = np.inf
    values[2, 1] = -np.inf
    values[3, 2] = np.nan
    for key in (KEY, FLOAT16, BFLOAT16):
        with ActivationFile.open(tmp_path, key, print) as file:
            file.write(np.arange(4), values)
            assert file.has(np.arange(5)).tolist() == [True] * 4 + [False]
            np.testing.assert_array_equal(file.read(np.arange(4)).astype(np.float32), values)
            assert file._marks.any() == np.False_


def test_a_row_that_is_written_again_and_a_repeated_one_are_kept_as_first_given(tmp_path):
    with ActivationFile.open(tmp_path, KEY, print) as file:
        rows = np.array([5, 9, 5])
        values = values_of(KEY, rows)
        values[2] = 0
        file.write(rows, values)
        file.write(rows, values)
        assert (file.count, check_rows(file, rows)) == (2, 3)


def test_rows_known_to_be_there_are_not_written_again_among_others(tmp_path):
    with ActivationFile.open(tmp_path, KEY, print) as file:
        file.write(np.array([3, 8]), values_of(KEY, [3, 8]))
        assert file.has(np.array([3, 8])).all()
        rows = np.array([9, 8, 2, 3, 1])
        values = values_of(KEY, rows)
        values[[1, 3]] = 0
        file.write(rows, values)
        assert check_rows(file, rows) == 5


def test_a_row_whose_checksum_happens_to_be_zero_counts_as_stored(tmp_path, monkeypatch):
    monkeypatch.setattr(xxhash, "xxh3_64_intdigest", lambda _data, _seed: 0)
    with ActivationFile.open(tmp_path, KEY, print) as file:
        file.write(np.array([3]), values_of(KEY, [3]))
        assert (file.count, check_rows(file, [2, 3])) == (1, 1)


def test_a_missing_row_is_one_sentence_and_no_row_is_an_error_of_the_caller(tmp_path):
    path = filled(tmp_path, KEY, [1, 2])
    with ActivationFile.open(tmp_path, KEY, print) as file:
        with pytest.raises(FacetError) as error:
            file.read(np.array([1, 3]))
        assert str(error.value) == f"{path}: has no row 3, expected it written before it is read"
        for row in (-1, 40):
            with pytest.raises(IndexError, match="expected 0 to 39"):
                file.has(np.array([1, row]))
        with pytest.raises(ValueError, match="expected"):
            file.write(np.array([1]), np.zeros((1, 30), np.float32))


def test_a_closed_file_has_no_rows_and_takes_none(tmp_path):
    filled(tmp_path)
    file = ActivationFile.open(tmp_path, KEY, print)
    file.close()
    file.close()
    file.write(np.array([1]), values_of(KEY, [1]))
    assert (file.has(all_rows(KEY)).any(), file.count, file.bytes, file.full) == (False, 0, 0, True)


def test_opening_marks_the_use(tmp_path):
    path = filled(tmp_path)
    os.utime(path, (0, 0))
    ActivationFile.open(tmp_path, KEY, print).close()
    assert time.time() - path.stat().st_mtime < 60


# Files that are damaged or not what they should be


def truncated(path):
    with open(path, "rb+") as file:
        file.truncate(path.stat().st_size - 1)


def emptied(path):
    path.write_bytes(b"")


def cut_to_its_signature(path):
    path.write_bytes(path.read_bytes()[:20])


def another_thing(path):
    path.write_bytes(b"\x00" * 5000)


def other_hdf5(path):
    with h5py.File(path, "w") as file:
        file["activations"] = np.zeros((40, 3, 2, 5), np.float32)


def of_another_key(path):
    shutil.copy(filled(path.parent, key_of(view="mirror")), path)


def of_a_later_version(path):
    with h5py.File(path, "r+") as file:
        file.attrs["version"] = 2


def without_checksums(path):
    with h5py.File(path, "r+") as file:
        del file["checksum"]


def of_another_shape(path):
    with h5py.File(path, "r+") as file:
        del file["activations"]
        file.create_dataset("activations", (40, 3, 10), "<f4", chunks=(40, 3, 10))


def of_another_type(path):
    with h5py.File(path, "r+") as file:
        del file["activations"]
        file.create_dataset("activations", (40, 3, 2, 5), "<i4", chunks=(40, 3, 2, 5))


def compressed(path):
    with h5py.File(path, "r+") as file:
        del file["activations"]
        file.create_dataset("activations", (40, 3, 2, 5), "<f4", chunks=(40, 3, 2, 5), compression=1)


def with_a_key_that_is_none(path):
    with h5py.File(path, "r+") as file:
        file.attrs["key"] = "{}"


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (truncated, r"[\d,]+ bytes of [\d,]+"),
        (emptied, "no HDF5 file"),
        (cut_to_its_signature, "20 bytes of 48"),
        (another_thing, "no HDF5 file"),
        (other_hdf5, "no file of activations"),
        (of_another_key, "it is of another key"),
        (of_a_later_version, "version 2, expected 1"),
        (without_checksums, "another shape or type than its key says"),
        (of_another_shape, "another shape or type than its key says"),
        (of_another_type, "another shape or type than its key says"),
        (compressed, "its rows have no place in it"),
        (with_a_key_that_is_none, "its key is damaged"),
    ],
)
def test_a_file_that_is_not_what_it_should_be_is_said_and_begun_anew(damage, why, tmp_path):
    path = filled(tmp_path)
    damage(path)
    said, there = refilled(tmp_path)
    assert there == 0
    assert len(said) == 1
    assert re.fullmatch(rf"{re.escape(str(path))} is damaged \({why}\): begun anew", said[0])
    assert refilled(tmp_path) == ([], KEY.rows)


def place_of(path, name, row, row_bytes):
    extents = described(path)[1].dsets[name].extents
    return extents.pieces(row * row_bytes, row * row_bytes + 1)[0][0]


def flip(path, offset, bit=0):
    with open(path, "rb+") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1 << bit]))


@pytest.mark.parametrize("key", [KEY, FLOAT16, BFLOAT16], ids=lambda key: key.dtype)
@pytest.mark.parametrize(("dset", "row_bytes"), [("activations", None), ("checksum", 8), ("format", 1)])
def test_a_flipped_bit_makes_its_row_missing_and_is_said_once(key, dset, row_bytes, tmp_path):
    path = filled(tmp_path, key)
    row_bytes = row_bytes or 30 * (4 if key.dtype == "float32" else 2)
    for row in (5, 17):
        flip(path, place_of(path, dset, row, row_bytes))
    said = []
    with ActivationFile.open(tmp_path, key, said.append) as file:
        assert said == []
        assert file.has(np.array([4, 5, 5])).tolist() == [True, False, False]
        assert np.flatnonzero(~file.has(all_rows(key))).tolist() == [5, 17]
        assert (file.count, file.damaged) == (38, 2)
        with pytest.raises(FacetError, match="has no row 5"):
            file.read(np.array([4, 5]))
        file.write(np.array([5, 17]), values_of(key, [5, 17]))
        assert (file.count, check_rows(file, all_rows(key))) == (40, 40)
    assert said == [f"{path}: 1 row is damaged and computed again, as are any others found so"]
    assert refilled(tmp_path, key) == ([], key.rows)


def test_a_checksum_whose_row_never_reached_the_disk_does_not_count(tmp_path):
    path = filled(tmp_path)
    start = place_of(path, "activations", 8, 120)
    with open(path, "rb+") as file:
        file.seek(start)
        file.write(bytes(240))
    said, there = refilled(tmp_path)
    assert (len(said), there) == (1, 38)


def test_a_row_in_the_place_of_another_does_not_count(tmp_path):
    path = filled(tmp_path)
    with h5py.File(path, "r+") as file:
        file["activations"][[3, 4]] = file["activations"][[3, 4]][::-1]
        file["checksum"][[3, 4]] = file["checksum"][[3, 4]][::-1]
    said, there = refilled(tmp_path)
    assert (len(said), there) == (1, 38)


@pytest.mark.parametrize("every", [5, pytest.param(1, marks=pytest.mark.long)])
def test_any_flipped_bit_is_said_or_changes_nothing(every, tmp_path):
    key = key_of(rows=6, shape=(3,))
    path = filled(tmp_path, key)
    sound = path.read_bytes()
    said_of = {}
    for offset in np.flatnonzero(np.frombuffer(sound, np.uint8))[::every].tolist():
        path.write_bytes(sound)
        flip(path, offset, offset % 8)
        said, there = refilled(tmp_path, key)
        assert said or there == key.rows, f"byte {offset} of {len(sound)}"
        said_of[offset] = said
    assert sum(map(bool, said_of.values())) > 0.5 * len(said_of)


def test_dsets_that_lie_over_one_another_are_refused(tmp_path):
    key = key_of(rows=400, shape=(1 << 15,))  # chunks of 4 MiB
    path = filled(tmp_path, key, [])
    extents = described(path)[1].dsets["activations"].extents
    content = path.read_bytes()
    first, second = (int(offset).to_bytes(8, "little") for offset in extents.offsets[:2])
    assert content.count(second) == 1
    path.write_bytes(content.replace(second, first))
    said = []
    ActivationFile.open(tmp_path, key, said.append).close()
    assert said == [f"{path} is damaged (its rows lie over one another): begun anew"]


# Several processes, and how they end

WRITER = """
import sys
import numpy as np
from pathlib import Path
from activation_files import KEY, values_of
from models.training.activations.activation_file import ActivationFile
folder, seed = Path(sys.argv[1]), int(sys.argv[2])
sys.stdout.write("ready\\n"), sys.stdout.flush(), sys.stdin.readline()
with ActivationFile.open(folder, KEY, print) as file:
    for batch in np.split(np.random.default_rng(seed).permutation(KEY.rows), 10):
        missing = batch[~file.has(batch)]
        file.write(missing, values_of(KEY, missing))
        assert file.has(batch).all()
        assert (file.read(batch) == values_of(KEY, batch)).all()
    print(file.path.stat().st_ino, file.count)
"""


def test_processes_that_begin_and_fill_one_file_at_once_end_with_one_whole_file(tmp_path):
    for number in range(3):
        folder = tmp_path / str(number)
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        writers = [program(WRITER, folder, seed, **pipes) for seed in range(4)]
        for writer in writers:
            assert writer.stdout.readline() == "ready\n"
        for writer in writers:
            writer.stdin.write("go\n")
            writer.stdin.flush()
        answers = [writer.communicate(timeout=60) for writer in writers]
        node = folder.joinpath(f"{KEY.digest}.h5").stat().st_ino
        assert answers == [(f"{node} 40\n", "")] * 4
        assert sorted(path.name for path in folder.iterdir()) == [".lock", f"{KEY.digest}.h5"]
        assert refilled(folder) == ([], KEY.rows)


def test_rows_that_another_process_stores_meanwhile_are_there(tmp_path):
    with ActivationFile.open(tmp_path, KEY, print) as file:
        assert not file.has(all_rows(KEY)).any()
        code = "import sys\nfrom pathlib import Path\nfrom activation_files import *\nfilled(Path(sys.argv[1]))"
        assert program(code, tmp_path).wait(60) == 0
        assert (check_rows(file, all_rows(KEY)), file.count) == (KEY.rows, KEY.rows)


KILLED = """
import ctypes, os, shutil, sys
from pathlib import Path
import numpy as np
from activation_files import all_rows, values_of
from test_activation_file import FLOAT16 as KEY, refilled
from models.training.activations.activation_file import ActivationFile
folder = Path(sys.argv[1])
arm = ctypes.CDLL(None).kill_shim_arm
for moment in range(3):
    for number in range(1000):
        child = os.fork()
        if not child:
            arm(os.fsencode(folder), ctypes.c_long(number), moment, -1)
            with ActivationFile.open(folder, KEY, print) as file:
                for rows in (all_rows(KEY)[5:9], all_rows(KEY)[::-16]):
                    file.write(rows, values_of(KEY, rows))
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(moment, code, *refilled(folder, KEY), sep=";")
        shutil.rmtree(folder)
        if code == 0:
            break
"""


def test_a_kill_at_any_call_leaves_whole_rows_and_missing_ones(tmp_path):
    shim = build_shim(tmp_path)
    done = program(KILLED, tmp_path / "cache", stdout=subprocess.PIPE, env={**ENV, "LD_PRELOAD": str(shim)})
    lines = [line.split(";") for line in done.communicate(timeout=120)[0].splitlines()]
    assert done.returncode == 0
    moments, codes, said, there = ([line[place] for line in lines] for place in range(4))
    assert codes.count("0") == 3
    assert codes.count("-9") == len(codes) - 3 > 40
    assert set(there) == {"0", "2", "4", "5", "6"}
    # a checksum of which half is written is no checksum
    whole = [(moment, sentences) for moment, sentences in zip(moments, said, strict=True) if sentences != "[]"]
    assert {moment for moment, _sentences in whole} <= {"1"}
    assert all(": 1 row is damaged" in sentences for _moment, sentences in whole)


FILLING = """
import sys
from pathlib import Path
import numpy as np
from activation_files import key_of
from models.training.activations.activation_file import ActivationFile
with ActivationFile.open(Path(sys.argv[1]), key_of(rows=3000, shape=(2048,)), print) as file:
    for rows in np.random.default_rng(int(sys.argv[2])).permutation(3000).reshape(-1, 3):
        file.write(rows, np.repeat(rows[:, None].astype(np.float32), 2048, axis=1))
        print("written", flush=True)
"""


def test_a_filling_that_is_killed_again_and_again_goes_on(tmp_path):
    counts, said = [0], []
    for kill in range(5):
        writer = program(FILLING, tmp_path, kill, stdout=subprocess.PIPE)
        for _ in range(10 + kill):
            assert writer.stdout.readline() == "written\n"
        writer.kill()
        writer.communicate()
        with ActivationFile.open(tmp_path, key_of(rows=3000, shape=(2048,)), said.append) as file:
            there = np.flatnonzero(file.has(np.arange(3000)))
            assert (file.read(there) == there[:, None]).all()
            counts.append(len(there))
    assert (said, counts) == ([], sorted(counts))
    assert counts[1] >= 30
    assert counts[5] > counts[1]


# Disks that are full, or not to be written

FULL = """
import sys
from pathlib import Path
import numpy as np
from activation_files import key_of, values_of
from models.training.activations.activation_file import ActivationFile
folder, key, rows = Path(sys.argv[1]), key_of(rows=1000, shape=(1024,)), np.arange(1000)
with ActivationFile.open(folder, key, print) as file:
    for batch in np.split(rows, 20):
        file.write(batch, values_of(key, batch))
    there = rows[file.has(rows)]
    assert (file.read(there) == values_of(key, there)).all()
    print(file.full, file.count == len(there), len(there))
with ActivationFile.open(folder, key, print) as file:
    print(file.full, file.count == len(there))
"""
OPENED = """
import sys
from pathlib import Path
import numpy as np
from activation_files import KEY, values_of
from models.training.activations.activation_file import ActivationFile
with ActivationFile.open(Path(sys.argv[1]), KEY, print) as file:
    file.write(np.arange(9), values_of(KEY, np.arange(9)))
    print(file.full, file.count, int(file.has(np.arange(9)).sum()), file.bytes > 0)
"""


def on_a_disk(options, code, disk, before="true"):
    """Gives what a program prints whose folder `disk` is a file system of its own."""
    disk.mkdir()
    script = f'mount -t tmpfs -o {options} none "$1" && {before} && exec "{sys.executable}" -c "$0" "$1"'
    words = ["unshare", "-rm", "sh", "-c", script, code, disk]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=ENV)
    if "unshare" in done.stderr or "mount" in done.stderr:
        pytest.skip(f"no user namespaces here: {done.stderr.strip()}")
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_a_disk_that_becomes_full_is_said_once_and_what_is_there_stays(tmp_path):
    disk = tmp_path / "disk"
    said, first, second = on_a_disk("size=2m", FULL, disk)
    path = disk / f"{key_of(rows=1000, shape=(1024,)).digest}.h5"
    assert said == f"{path}: cannot be written (no space left on device): what it lacks is computed live"
    assert re.fullmatch(r"True True (450|500)", first)
    assert second == "False True"


def test_a_disk_without_space_for_a_new_file_is_said_and_everything_is_computed_live(tmp_path):
    disk = tmp_path / "disk"
    lines = on_a_disk("size=64k", OPENED, disk, 'dd if=/dev/zero of="$1/hog" bs=4k count=16 status=none')
    path = disk / f"{KEY.digest}.h5"
    reason = "no space left on its file system, so nothing was written"
    assert lines == [f"{path}: {reason}: activations are computed live", "True 0 0 False"]


def test_a_folder_that_must_not_be_written_is_read_and_left_as_it_is(tmp_path):
    disk, path = tmp_path / "disk", tmp_path / "disk" / f"{KEY.digest}.h5"
    kept = filled(tmp_path / "kept", KEY, [0, 1, 2])
    before = f'cp "{kept}" "$1" && mount -o remount,ro "$1"'
    assert on_a_disk("size=1m", OPENED, disk, before) == [
        f"{path}: cannot be written (read-only file system): what it lacks is computed live",
        "True 3 3 True",
    ]
    assert on_a_disk("size=1m", OPENED, tmp_path / "other", 'mount -o remount,ro "$1"') == [
        f"{tmp_path / 'other' / path.name}: cannot be written: read-only file system: activations are computed live",
        "True 0 0 False",
    ]


def test_a_limit_on_the_size_of_files_is_a_full_disk(tmp_path):
    limited = f"import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (10_000,) * 2)\n{OPENED}"
    done = program(limited, tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, errors = done.communicate(timeout=60)
    sentence, figures = out.splitlines()
    assert sentence == f"{tmp_path / KEY.digest}.h5: cannot be written: file too large: activations are computed live"
    assert (figures, errors) == ("True 0 0 False", "")
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_a_file_in_place_of_a_folder_and_a_folder_in_place_of_a_file_are_said(tmp_path):
    said = []
    (tmp_path / "file").write_text("")
    with ActivationFile.open(tmp_path / "file", KEY, said.append) as file:
        assert file.full
    (tmp_path / f"{KEY.digest}.h5").mkdir()
    with ActivationFile.open(tmp_path, KEY, said.append) as file:
        assert file.full
    name = f"{KEY.digest}.h5"
    assert said == [
        f"{tmp_path / 'file' / name}: cannot be used (file exists): activations are computed live",
        f"{tmp_path / name}: cannot be used (is a directory): activations are computed live",
    ]
