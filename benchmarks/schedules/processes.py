"""A process that trains: its lines with their times, and what it took in all (Linux)."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from benchmarks.load import usage

_PATIENCE = 4 * 3600  # seconds for one training


@dataclass(frozen=True)
class Ended:
    """A process that has ended.

    Attributes:
        code: exit code, negative for a signal.
        lines: (seconds since the start, text) of what it printed to stdout.
        log: what it printed to stderr.
        seconds, cpu: wall and processor time; of its children too.
        memory: highest resident memory of one process, in MB.
        elsewhere: cores that others used meanwhile, on average.
    """

    code: int
    lines: tuple[tuple[float, str], ...]
    log: str
    seconds: float
    cpu: float
    memory: float
    elsewhere: float

    @property
    def last_words(self) -> str:
        """The last line of stderr, else of stdout, else the exit code."""
        said = self.log.strip().splitlines() or [text for _at, text in self.lines if text]
        return said[-1] if said else f"exit code {self.code}"


def run(command: Sequence[object], folder: Path, log: Path, surroundings: Mapping[str, str]) -> Ended:
    """Runs a command to its end.

    Args:
        command: program and arguments.
        folder: that it runs in.
        log: file that takes its stderr.
        surroundings: added to the environment.
    """
    # a process group of its own, so that whoever is interrupted ends all that it started
    with open(log, "w", encoding="utf-8") as errors:
        started = time.perf_counter()
        process = subprocess.Popen(
            [str(part) for part in command],
            cwd=folder,
            env={**os.environ, **surroundings},
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )
    before = usage(process.pid)
    try:
        return _ended(process, started, before.everybody, log)
    except BaseException:
        _kill(process.pid)
        process.wait()
        raise


def _ended(process: "subprocess.Popen[str]", started: float, busy: float, log: Path) -> Ended:
    alarm = threading.Timer(_PATIENCE, _kill, (process.pid,))
    alarm.daemon = True
    alarm.start()
    peak = _Peak(process.pid)
    peak.start()
    try:
        lines = _lines(process.stdout, started)
        # wait4 alone tells what a child took; Popen.wait would take the child away before
        _pid, status, took = os.wait4(process.pid, 0)
    finally:
        alarm.cancel()
        if process.stdout is not None:
            process.stdout.close()
    seconds, cpu = time.perf_counter() - started, took.ru_utime + took.ru_stime
    process.returncode = os.waitstatus_to_exitcode(status)
    elsewhere = max(0.0, usage(process.pid).everybody - busy - cpu) / seconds
    said = log.read_text(encoding="utf-8", errors="replace")
    return Ended(process.returncode, lines, said, seconds, cpu, peak.megabytes, elsewhere)


class _Peak(threading.Thread):
    """Watches the highest resident memory of a process; `ru_maxrss` begins with that of whoever started it."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.megabytes, self._status = 0.0, Path(f"/proc/{pid}/status")

    def run(self) -> None:
        """Looks every 20 ms until the process is gone."""
        while (found := self._highest()) is not None:
            self.megabytes = max(self.megabytes, found)
            time.sleep(0.02)

    def _highest(self) -> float | None:
        try:
            lines = self._status.read_text().splitlines()
        except OSError:
            return None
        kilobytes = next((line.split()[1] for line in lines if line.startswith("VmHWM:")), None)  # none once it ended
        return None if kilobytes is None else int(kilobytes) * 1024 / 1e6


def _lines(stdout: IO[str] | None, started: float) -> tuple[tuple[float, str], ...]:
    return tuple((time.perf_counter() - started, line.rstrip("\n")) for line in stdout or ())


def _kill(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return
