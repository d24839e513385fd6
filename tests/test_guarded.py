"""What a reader in a process of its own does: its functions below are run there."""

import ctypes
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from hdf5_helper.errors import FacetError
from models.pretrained import guarded
from models.pretrained.guarded import survives

MB = 1 << 20


def reads(path: Path) -> None:
    path.read_bytes()


def refuses(path: Path) -> None:
    sys.stdout.write("a library's own line")
    raise FacetError(f"{path}: holds “nothing”, expected weights")


def fails(path: Path) -> None:
    raise KeyError("layer")


def crashes(path: Path) -> None:
    ctypes.string_at(0)


def leaves(path: Path) -> None:
    os._exit(7)


def hangs(path: Path) -> None:
    time.sleep(100)


def takes_memory(path: Path) -> None:
    np.empty(int(path.read_text()) * MB, np.uint8)


def knows_tensorflow(path: Path) -> None:
    if "tensorflow" in sys.modules:
        raise FacetError("TensorFlow is there")


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "weights\udcff é.h5"
    path.write_text("900")
    return path


def sentence(path, reader):
    with pytest.raises(FacetError) as error:
        survives(path, f"{__name__}:{reader}")
    return str(error.value)


@pytest.mark.parametrize("reader", ["reads", "takes_memory", "knows_tensorflow"])
def test_a_file_that_can_be_read_survives(file, reader):
    survives(file, f"{__name__}:{reader}")


def test_the_sentence_of_the_reader_is_passed_on(file):
    assert sentence(file, "refuses") == f"{file}: holds “nothing”, expected weights"


@pytest.mark.parametrize(("reader", "found"), [("crashes", "SIGSEGV"), ("leaves", "exit code 7")])
def test_a_crash_is_one_sentence(file, reader, found):
    assert sentence(file, reader) == f"{file}: reading it crashes ({found}), expected an undamaged file"


def test_another_exception_is_one_sentence(file):
    assert sentence(file, "fails") == f"{file}: cannot be read (KeyError('layer')), expected an undamaged file"


def test_more_memory_than_a_file_needs_is_refused(file):
    file.write_text("1000")
    assert sentence(file, "takes_memory") == f"{file}: asks for more than 960 MB of memory, expected an undamaged file"


def test_a_large_file_may_take_more_memory(file):
    file.write_text("1000" + " " * 60 * MB)
    survives(file, f"{__name__}:takes_memory")


def test_a_hanging_reader_is_stopped(file, monkeypatch):
    monkeypatch.setattr(guarded, "_SECONDS", 1.0)
    start = time.monotonic()
    assert sentence(file, "hangs") == f"{file}: still not read after 1 s, expected an undamaged file"
    assert time.monotonic() - start < 5


def test_without_limits_of_memory_the_file_is_read_all_the_same(file, tmp_path):
    # the module that Windows has not
    (tmp_path / "resource.py").write_text("raise ImportError('no resource here')")
    file.write_text("1000")
    call = f"survives(Path({str(file)!r}), {f'{__name__}:takes_memory'!r})"
    code = f"from pathlib import Path; from models.pretrained.guarded import survives; {call}"
    paths = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": paths})
