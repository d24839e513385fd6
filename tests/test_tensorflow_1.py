import ctypes
import hashlib
import os
import platform
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from hdf5_helper.errors import FacetError
from models.export import tensorflow_1 as tensorflow
from models.export.runtimes.child import PROGRAMS

ROOT = Path(__file__).resolve().parent.parent
WHEEL = "tensorflow-1.15.5-cp37-cp37m-manylinux2010_x86_64.whl"
NAMES = {"libshim.so", "shim.c", "libtensorflow_framework.so.1", "_pywrap_tensorflow_internal.so"}

VERSION_BY_C = """
import ctypes, sys
sys.path.insert(0, sys.argv[1])
import run_tensorflow_1
library = run_tensorflow_1._load(sys.argv[2])
library.TF_Version.restype = ctypes.c_char_p
print(library.TF_Version().decode(), sorted({"tensorflow", "keras"} & set(sys.modules)))
"""

INSTALL = """
import sys
from models.export import tensorflow_1
tensorflow_1.WHEEL_DIGEST = sys.argv[1]
print(tensorflow_1.install().stat().st_ino)
"""


@pytest.fixture
def wheels(tmp_path, monkeypatch):
    """Gives a folder with a wheel of the right name and other contents; pip finds that one alone, the cache is new."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    with zipfile.ZipFile(folder / WHEEL, "w") as archive:
        archive.writestr("tensorflow_core/libtensorflow_framework.so.1", "framework")
        archive.writestr("tensorflow_core/python/_pywrap_tensorflow_internal.so", "internal")
        archive.writestr("tensorflow_core/other.so", "not wanted")
        archive.writestr(
            "tensorflow-1.15.5.dist-info/METADATA", "Metadata-Version: 2.1\nName: tensorflow\nVersion: 1.15.5\n"
        )
        archive.writestr(
            "tensorflow-1.15.5.dist-info/WHEEL",
            "Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: cp37-cp37m-manylinux2010_x86_64\n",
        )
    for name, value in {
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(folder),
        "FACET_CACHE": str(tmp_path / "cache"),
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr(tensorflow, "WHEEL_DIGEST", hashlib.sha256((folder / WHEEL).read_bytes()).hexdigest())
    return folder


def left(tmp_path):
    return sorted(str(path.relative_to(tmp_path / "cache")) for path in (tmp_path / "cache").rglob("*"))


def begin():
    return subprocess.Popen(
        [sys.executable, "-c", INSTALL, tensorflow.WHEEL_DIGEST],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_c_library_loads_without_any_tensorflow_for_python(tensorflow_1):
    assert {path.name for path in tensorflow_1.iterdir()} == NAMES
    sizes = [path.stat().st_size for path in tensorflow_1.iterdir() if "tensorflow" in path.name]
    assert sum(sizes) == tensorflow.UNPACKED_BYTES
    command = [sys.executable, "-c", VERSION_BY_C, str(PROGRAMS), str(tensorflow_1)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "1.15.5 []\n"


def test_it_lies_in_the_users_cache(monkeypatch, tmp_path):
    found = []
    monkeypatch.delenv("FACET_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    for name in ("HOME", "XDG_CACHE_HOME", "FACET_CACHE"):
        monkeypatch.setenv(name, str(tmp_path / name))
        found.append(str(tensorflow.folder().relative_to(tmp_path)))
        if name == "HOME":
            assert tensorflow.installed() is None
    assert found == [f"{f}/tensorflow-1.15.5" for f in ("HOME/.cache/facet", "XDG_CACHE_HOME/facet", "FACET_CACHE")]


def test_what_is_in_the_wheel_is_unpacked_with_a_library_for_the_missing_symbol(wheels, tmp_path):
    folder = tensorflow.install()
    assert (folder, tensorflow.installed()) == (tmp_path / "cache" / "tensorflow-1.15.5",) * 2
    assert {path.name for path in folder.iterdir()} == NAMES
    assert (folder / "_pywrap_tensorflow_internal.so").read_text() == "internal"
    assert ctypes.c_int.in_dll(ctypes.CDLL(folder / "libshim.so"), "_Py_CheckRecursionLimit").value == 1000


def test_two_processes_at_once_fetch_it_once(wheels, tmp_path):
    both = [begin(), begin()]
    answers = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], answers
    assert answers[0] == answers[1] == (f"{tensorflow.folder().stat().st_ino}\n", "")
    assert {name for name in left(tmp_path) if "/" not in name} == {"tensorflow-1.15.5", ".tensorflow-1.15.5.lock"}


def test_one_that_is_killed_half_way_leaves_nothing_that_is_taken_for_the_library(wheels, tmp_path, monkeypatch):
    slow = tmp_path / "slow"
    slow.mkdir()
    (slow / "gcc").write_text("#!/bin/sh\nexec sleep 600\n")
    (slow / "gcc").chmod(0o755)
    with monkeypatch.context() as patch:
        patch.setenv("PATH", f"{slow}:{os.environ['PATH']}")
        process = subprocess.Popen([sys.executable, "-c", INSTALL, tensorflow.WHEEL_DIGEST], start_new_session=True)
    while not (tmp_path / "cache" / ".tensorflow-1.15.5.part" / "shim.c").exists():
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert tensorflow.installed() is None
    assert {path.name for path in tensorflow.install().iterdir()} == NAMES
    assert not (tmp_path / "cache" / ".tensorflow-1.15.5.part").exists()


def refusal():
    with pytest.raises(FacetError) as refused:
        tensorflow.install()
    assert tensorflow.installed() is None
    return str(refused.value)


def test_another_wheel_is_refused(wheels, tmp_path, monkeypatch):
    found = tensorflow.WHEEL_DIGEST
    monkeypatch.setattr(tensorflow, "WHEEL_DIGEST", "00")
    assert refusal() == f"{WHEEL}: SHA-256 of what pip downloaded is {found}, expected 00"
    assert left(tmp_path) == [".tensorflow-1.15.5.lock"]


def test_no_network_is_one_sentence(wheels, tmp_path):
    (wheels / WHEEL).unlink()
    assert refusal() == (
        "TensorFlow 1.15.5 could not be downloaded by pip: ERROR: No matching distribution found for tensorflow==1.15.5"
    )
    assert left(tmp_path) == [".tensorflow-1.15.5.lock"]


def test_no_pip_is_one_sentence(wheels, tmp_path, monkeypatch):
    (tmp_path / "pip.py").write_text("raise SystemExit('No module named pip')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert refusal() == "TensorFlow 1.15.5 could not be downloaded by pip: No module named pip"


def test_no_compiler_is_one_sentence(wheels, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert refusal() == "TensorFlow 1.15.5 needs gcc, which is not found: expected a C compiler on PATH"
    assert not (tmp_path / "cache").exists()


def test_a_compiler_that_fails_is_one_sentence(wheels, tmp_path, monkeypatch):
    (tmp_path / "gcc").write_text("#!/bin/sh\necho broken >&2\nexit 1\n")
    (tmp_path / "gcc").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert refusal() == "TensorFlow 1.15.5 could not be joined to this Python by gcc: broken"
    assert left(tmp_path) == [".tensorflow-1.15.5.lock"]


@pytest.mark.parametrize(("system", "machine"), [("Darwin", "arm64"), ("Linux", "aarch64"), ("Windows", "AMD64")])
def test_another_system_is_one_sentence(wheels, tmp_path, monkeypatch, system, machine):
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    assert refusal() == f"TensorFlow 1.15.5 is there for Linux on x86-64 alone, this is {system} on {machine}"
    assert not (tmp_path / "cache").exists()


def test_a_place_that_cannot_be_written_is_one_sentence(wheels, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("FACET_CACHE", str(tmp_path / "file"))
    place = tmp_path / "file" / "tensorflow-1.15.5"
    assert refusal() == f"{place}: cannot be written: file exists"
