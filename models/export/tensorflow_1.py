"""TensorFlow 1.15's C library, taken out of its last Linux wheel: the oldest program that still reads our graphs.

The wheel is for CPython 3.7. Its two shared libraries hold the whole C interface and load into any Python from 3.10 to
3.13 once the one symbol that those lack, `_Py_CheckRecursionLimit`, is given by a library of one line.
"""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hdf5_helper.atomic import folder_made, sync_file, sync_folder
from hdf5_helper.disk import check_space, failures_as_sentences
from hdf5_helper.errors import FacetError

VERSION = "1.15.5"

#: Size of the wheel, and of the libraries in it, in bytes.
DOWNLOAD_BYTES, UNPACKED_BYTES = 110_499_974, 279_723_920

#: SHA-256 of tensorflow-1.15.5-cp37-cp37m-manylinux2010_x86_64.whl, as the package index has it.
WHEEL_DIGEST = "29831dda98d668067de75403b2fca0d06a2f026ef6f217fa2ca873c20b4ee4d3"

_LIBRARIES = ("tensorflow_core/libtensorflow_framework.so.1", "tensorflow_core/python/_pywrap_tensorflow_internal.so")
_SHIM, _SHIM_SOURCE = "libshim.so", "int _Py_CheckRecursionLimit = 1000;\n"
_TAGS = ("--python-version", "37", "--implementation", "cp", "--abi", "cp37m", "--platform", "manylinux2010_x86_64")


def folder() -> Path:
    """Gives where it lies: below `$FACET_CACHE`, else `$XDG_CACHE_HOME/facet`, else `~/.cache/facet`."""
    given, home = os.environ.get("FACET_CACHE"), os.environ.get("XDG_CACHE_HOME")
    cache = Path(given) if given else (Path(home) if home else _users_cache()) / "facet"
    return cache / f"tensorflow-{VERSION}"


def _users_cache() -> Path:
    try:
        return Path.home() / ".cache"
    except RuntimeError:  # a container's user may have no home
        return Path(tempfile.gettempdir())


def installed() -> Path | None:
    """Gives the folder of its shared libraries, None where it has not been fetched."""
    return folder() if folder().is_dir() else None


def install() -> Path:
    """Downloads the wheel by pip, checks it and unpacks its libraries, unless that has been done.

    Several processes may do this at once: one fetches, the others wait for it.

    Returns:
        The folder of the shared libraries, which is there whole or not at all.

    Raises:
        FacetError: another system than Linux on x86-64; no pip, no network, no C compiler, no space.
    """
    final = folder()
    if final.is_dir():
        return final
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise FacetError(
            f"TensorFlow {VERSION} is there for Linux on x86-64 alone, this is {platform.system()} on"
            f" {platform.machine()}"
        )
    if shutil.which("gcc") is None:
        raise FacetError(f"TensorFlow {VERSION} needs gcc, which is not found: expected a C compiler on PATH")
    with failures_as_sentences(final), folder_made(final.parent), _alone(final):
        if not final.is_dir():
            check_space(DOWNLOAD_BYTES + UNPACKED_BYTES, final, f"TensorFlow {VERSION}")
            _make(final)
    return final


@contextmanager
def _alone(final: Path) -> Iterator[None]:
    """Waits until no other process is here."""
    import fcntl

    with open(final.with_name(f".{final.name}.lock"), "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make(final: Path) -> None:
    part = final.with_name(f".{final.name}.part")
    shutil.rmtree(part, ignore_errors=True)  # of one that was killed
    try:
        part.mkdir()
        wheel = _download(part)
        _check(wheel)
        _unpack(wheel, part)
        wheel.unlink()
        _build_shim(part)
        for file in part.iterdir():
            sync_file(file)
        part.rename(final)
        sync_folder(final.parent)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _download(into: Path) -> Path:
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", *_TAGS]
    _run([*pip, "--dest", str(into), f"tensorflow=={VERSION}"], "be downloaded by pip")
    return next(into.glob("*.whl"))


def _check(wheel: Path) -> None:
    with open(wheel, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != WHEEL_DIGEST:
        raise FacetError(f"{wheel.name}: SHA-256 of what pip downloaded is {found}, expected {WHEEL_DIGEST}")


def _unpack(wheel: Path, into: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for name in _LIBRARIES:
            with archive.open(name) as source, open(into / Path(name).name, "wb") as target:
                shutil.copyfileobj(source, target, 2**20)


def _build_shim(into: Path) -> None:
    source = into / "shim.c"
    source.write_text(_SHIM_SOURCE)
    _run(["gcc", "-shared", "-fPIC", "-o", str(into / _SHIM), str(source)], "be joined to this Python by gcc")


def _run(command: list[str], what: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise FacetError(f"TensorFlow {VERSION} could not {what}: {lines[-1]}")
