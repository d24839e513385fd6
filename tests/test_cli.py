import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from scripts.cli import COMMANDS
from scripts.cli import facet as group

ROOT = Path(__file__).resolve().parent.parent
EVERY_COMMAND = pytest.mark.parametrize("name", COMMANDS)


def test_help_answers_within_three_tenths_of_a_second(facet):
    seconds = []
    for _ in range(7):
        started = time.perf_counter()
        assert facet("--help", cwd=ROOT).code == 0
        seconds.append(time.perf_counter() - started)
    assert min(seconds) <= 0.3  # the best of seven: other processes may be busy


def test_help_lists_every_command_in_its_order(facet):
    lines = facet("--help", cwd=ROOT).stdout.splitlines()
    listed = [line.split()[0] for line in lines[lines.index("Commands:") + 1 :] if line.startswith("  ")]
    assert [name for name in listed if name in COMMANDS] == list(COMMANDS)


@EVERY_COMMAND
def test_every_command_has_help_with_an_example(name):
    answer = CliRunner().invoke(group, [name, "--help"])
    assert answer.exit_code == 0
    assert "Example:" in answer.output
    assert f"facet {name}" in answer.output


def test_help_of_no_command_imports_tensorflow():
    code = (
        "import sys; from click.testing import CliRunner; from scripts.cli import COMMANDS, facet\n"
        "for name in COMMANDS: assert CliRunner().invoke(facet, [name, '--help']).exit_code == 0, name\n"
        "print({'tensorflow', 'keras', 'sklearn', 'matplotlib', 'h5py', 'cv2'} & set(sys.modules))"
    )
    assert run(code) == "set()"


@pytest.mark.parametrize("package", ["hdf5_helper", "models", "scripts"])
def test_importing_a_package_brings_no_tensorflow(package):
    assert run(f"import sys, {package}; print({{'tensorflow', 'keras'}} & set(sys.modules))") == "set()"


def test_importing_changes_neither_environment_nor_threads():
    code = (
        "import os, cv2; before = dict(os.environ), cv2.getNumThreads()\n"
        "import hdf5_helper.packing.packer, hdf5_helper.reading.reader, hdf5_helper.reading.generator\n"
        "import models, scripts.cli\n"
        "print(before == (dict(os.environ), cv2.getNumThreads()))"
    )
    assert run(code) == "True"


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_installed_command_is_the_module(facet):
    command = Path(sys.executable).with_name("facet")
    done = subprocess.run([command, "--help"], capture_output=True, text=True, check=True)
    assert done.stdout == facet("--help").stdout.replace("python -m scripts", "facet")


def test_version_is_that_of_the_project(facet):
    assert facet("--version").stdout.strip().endswith("version 0.1.0")


@pytest.mark.parametrize(
    "words",
    [
        ["trian"],
        ["sample", "faces", "--layuot", "afad"],
        ["sample", "faces"],
        ["sample"],
        ["inspect", "one.h5", "two.h5"],
        ["sample", "faces", "--layout"],
    ],
)
def test_a_mistake_in_usage_is_one_line_and_exits_with_2(words, facet, tmp_path):
    answer = facet(*words, cwd=tmp_path)
    assert (answer.code, answer.stdout) == (2, "")
    assert answer.stderr.startswith("facet: ")
    assert answer.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_misspelt_command_or_option_is_named_with_the_nearest(facet):
    assert "'trian'" in facet("trian").stderr
    assert "train" in facet("trian").stderr
    assert "--layout" in facet("sample", "faces", "--layuot", "afad").stderr


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["sample", "faces", "--layout", "afda"], ("--layout", "'afda'", "did you mean 'afad'?")),
        (["sample", "faces", "--layout", "afad", "--count", "many"], ("--count", "many")),
        (["sample", "faces", "--layout", "afad", "--count", "0"], ("--count", "0")),
    ],
)
def test_a_wrong_value_is_one_sentence_and_exits_with_1(words, parts, facet, tmp_path):
    answer = facet(*words, cwd=tmp_path)
    assert (answer.code, answer.stdout) == (1, "")
    assert all(part in answer.stderr for part in parts)
    assert answer.stderr.startswith("facet: ")
    assert answer.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("file/faces", "no such folder as file, expected an existing one"),
        ("not/faces", "no such folder as not, expected an existing one"),
        ("file", "is a file, expected a new or empty folder"),
    ],
)
def test_a_folder_that_cannot_be_made_is_one_sentence(place, reason, facet, tmp_path):
    (tmp_path / "file").write_text("")
    answer = facet("sample", place, "--layout", "afad", cwd=tmp_path)
    assert (answer.code, answer.stdout, answer.stderr) == (1, "", f"facet: {place}: {reason}\n")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def on_a_small_disk(tmp_path, script):
    """Runs a shell script in `disk`, a file system of 64 kB; `$python` is this Python."""
    (tmp_path / "disk").mkdir()
    start = 'mount -t tmpfs -o size=64k tmpfs disk && cd disk && PYTHONPATH="$root" && export PYTHONPATH && '
    words = ["unshare", "--map-root-user", "--mount", "sh", "-c", start + script]
    names = {**os.environ, "python": sys.executable, "root": str(ROOT)}
    return subprocess.run(words, cwd=tmp_path, env=names, capture_output=True, text=True, check=False)


needs_a_small_disk = pytest.mark.skipif(
    shutil.which("unshare") is None
    or subprocess.run(["unshare", "--map-root-user", "--mount", "true"], capture_output=True, check=False).returncode
    != 0,
    reason="unshare may not make a file system here",
)


@needs_a_small_disk
def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path):
    script = "$python -m scripts sample faces --layout afad --count 50; echo $?; ls -A"
    done = on_a_small_disk(tmp_path, script)
    assert done.stdout == "1\n"
    assert done.stderr == "facet: faces: no space left on its file system, so nothing was written\n"


@needs_a_small_disk
def test_a_disk_that_must_not_be_written_is_one_sentence(tmp_path):
    script = "mount -o remount,ro . && $python -m scripts sample faces --layout afad --count 50"
    done = on_a_small_disk(tmp_path, script)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "facet: faces: cannot be written: read-only file system\n"


@needs_a_small_disk
def test_a_grid_on_a_full_disk_leaves_nothing(tmp_path, packed):
    script = f"$python -m scripts inspect {packed('agegender', count=300)} --grid grid.png; echo $?; ls -A"
    done = on_a_small_disk(tmp_path, script)
    assert done.stdout == "1\n"
    assert done.stderr == "facet: grid.png: no space left on its file system, so nothing was written\n"
