"""Kills packs with SIGKILL, at chosen calls or at random moments, and says what they left and what became of it.

Run as a program it is the process that does the killing: it has imported everything once, and forks one process for
every pack that is to die. With `kill_shim.c` preloaded these can be killed at any call that changes a file.
"""

import ctypes
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hdf5_helper.errors import FacetError
from hdf5_helper.hashing import hash_integer
from hdf5_helper.packing import plan
from hdf5_helper.packing.packer import PackOptions, pack, write_pack
from hdf5_helper.packing.repack import RepackOptions, repack_plan

ROOT = Path(__file__).resolve().parent.parent
SHIM = Path(__file__).with_name("kill_shim.c")

BEFORE, TORN, AFTER = range(3)

#: Calls that can be torn in their middle.
_LONG = ("write", "writev", "pwrite", "pwritev", "copy_file_range", "fallocate", "posix_fallocate")


@dataclass(frozen=True)
class Job:
    """Packs to kill.

    Attributes:
        tree: what is packed; a packed file is repacked.
        target: the file; it has a folder of its own, emptied before every pack.
        options: those of PackOptions, or of RepackOptions.
        begin: a folder whose files lie beside the target when a pack begins.
        block_rows: most rows of a block.
        moments: of every call at which to kill; none for kills at random.
        every: kill at each call whose number is a multiple of it.
        random: number of kills at random; with neither, the calls of an unbroken pack are told.
    """

    tree: str
    target: str
    options: dict[str, Any] = field(default_factory=dict)
    begin: str | None = None
    block_rows: int = 1024
    moments: tuple[int, ...] = ()
    every: int = 1
    random: int = 0


@dataclass(frozen=True)
class Kill:
    """One pack that was killed, and the same one again.

    Attributes:
        when: where it died, in words.
        died: it was killed before its end.
        found: digest of the file under the final name after that, None where there was none.
        left: names of the files beside it.
        said: the sentence with which the second pack ended, None where it went well.
        digest: of the file at last.
        names: of the files beside it at last.
        rejects: the list of rejects at last.
    """

    when: str
    died: bool
    found: str | None
    left: list[str]
    said: str | None
    digest: str | None
    names: list[str]
    rejects: str | None


def build_shim(folder: Path) -> Path:
    """Compiles the shim into `folder`."""
    library = folder / "kill_shim.so"
    command = ["gcc", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", library, SHIM, "-ldl"]
    subprocess.run(command, check=True)
    return library


def killed(job: Job, shim: Path | None = None) -> list[Kill]:
    """Does a job, with the shim preloaded where kills are at calls."""
    return [Kill(**json.loads(line)) for line in _lines_of(job, shim)]


def calls_of(job: Job, shim: Path) -> list[tuple[str, str]]:
    """Gives (name, file) of every call by which an unbroken pack changes the target's folder."""
    return [(name, file) for name, file in map(json.loads, _lines_of(job, shim))]


def _lines_of(job: Job, shim: Path | None) -> list[str]:
    """Does a job in a process of its own."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), **({"LD_PRELOAD": str(shim)} if shim else {})}
    command = [sys.executable, __file__, json.dumps(asdict(job))]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode or done.stderr:
        raise RuntimeError(done.stderr or f"exit code {done.returncode}")
    return done.stdout.splitlines()


def pack_or_repack(source: Path | str, target: Path | str, **options: Any) -> None:
    """Packs a tree, or repacks a packed file."""
    if not str(source).endswith(".h5"):
        pack([source], target, PackOptions(**options))
        return
    with repack_plan([source], target, RepackOptions(**options)) as plan:
        write_pack(plan)


def digest_of(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else None


def main(job: Job) -> None:
    plan._MOST_ROWS = job.block_rows
    if not job.moments and not job.random:
        for call in _calls(job):
            sys.stdout.write(f"{json.dumps(call)}\n")
    for kill in _random(job) if job.random else _at_calls(job):
        sys.stdout.write(f"{json.dumps(asdict(kill))}\n")


def _at_calls(job: Job) -> Iterator[Kill]:
    calls = _calls(job) if job.moments else []
    for number in range(0, len(calls), job.every):
        name, path = calls[number]
        for moment in job.moments:
            if moment == TORN and name.removesuffix("64") not in _LONG:
                continue
            when = f"{('before', 'in', 'after')[moment]} call {number}, {name} of {path}"
            yield _kill(job, when, lambda: _arm(job, number, moment), lambda _pid: None)  # noqa: B023


def _calls(job: Job) -> list[tuple[str, str]]:
    """Gives (name, file) of every call of an unbroken pack."""
    reading, writing = os.pipe()
    _begin(job)
    child = _pack_in_a_child(job, lambda: _arm(job, -1, BEFORE, writing))
    os.close(writing)
    with open(reading, encoding="utf-8") as lines:
        calls = [line.rstrip("\n").split(" ", 1) for line in lines]
    if os.waitpid(child, 0)[1]:
        raise RuntimeError("the unbroken pack failed")
    return [(name, Path(path).name) for name, path in calls]


def _random(job: Job) -> Iterator[Kill]:
    lasts = min(_seconds(job) for _ in range(3))
    for number in range(job.random):
        delay = lasts * (hash_integer(job.random, number) / 2**64)
        yield _kill(job, f"after {delay:.4f} s", lambda: None, lambda pid: _kill_later(pid, delay))  # noqa: B023


def _seconds(job: Job) -> float:
    """Gives how long an unbroken pack takes."""
    _begin(job)
    started = time.monotonic()
    os.waitpid(_pack_in_a_child(job, lambda: None), 0)
    return time.monotonic() - started


def _kill_later(pid: int, delay: float) -> None:
    time.sleep(delay)
    os.kill(pid, signal.SIGKILL)


def _kill(job: Job, when: str, prepare: Callable[[], None], strike: Callable[[int], None]) -> Kill:
    target = Path(job.target)
    _begin(job)
    child = _pack_in_a_child(job, prepare)
    strike(child)
    _pid, status = os.waitpid(child, 0)
    found, left, said = digest_of(target), _names(target), None
    try:
        pack_or_repack(job.tree, target, **{**job.options, "workers": 2})
    except FacetError as error:
        said = str(error)
    rejects = target.with_name(f"{target.name}.rejects.csv")
    listed = rejects.read_text() if rejects.exists() else None
    return Kill(when, os.WIFSIGNALED(status), found, left, said, digest_of(target), _names(target), listed)


def _pack_in_a_child(job: Job, prepare: Callable[[], None]) -> int:
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        prepare()
        pack_or_repack(job.tree, job.target, **job.options)
        code = 0
    except BaseException:  # noqa: BLE001 - a child never returns
        traceback.print_exc()
    finally:
        os._exit(code)


def _begin(job: Job) -> None:
    """Empties the target's folder, but for what is to be there."""
    folder = Path(job.target).parent
    shutil.rmtree(folder, ignore_errors=True)
    if job.begin is None:
        folder.mkdir()
    else:
        shutil.copytree(job.begin, folder)


def _arm(job: Job, call: int, moment: int, log: int = -1) -> None:
    arm = ctypes.CDLL(None).kill_shim_arm
    arm(os.fsencode(Path(job.target).parent), ctypes.c_long(call), moment, log)


def _names(target: Path) -> list[str]:
    return sorted(path.name for path in target.parent.iterdir())


def _job_of(text: str) -> Job:
    given = json.loads(text)
    options = {name: tuple(value) if isinstance(value, list) else value for name, value in given["options"].items()}
    return Job(**{**given, "options": options, "moments": tuple(given["moments"])})


if __name__ == "__main__":
    main(_job_of(sys.argv[1]))
