"""A contender's process: started, waited for, asked for repeats; stopped with all its threads in between."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.contenders import Contender
from benchmarks.load import usage
from hdf5_helper.errors import FacetError

_ROOT = Path(__file__).resolve().parent.parent
_PATIENCE = 900  # seconds for one answer: FFCV compiles, writers write their files first

Answer = dict[str, Any]


class AbsentError(Exception):
    """A contender gives no figures here; the message says why: `absent: …`, `failed: …` or `not measured: …`."""


class Process:
    """One contender at one task.

    Args:
        contender: what to start.
        task: what it shall do, and into what: such as `("raw", "numpy")`.
        work: folder of the prepared files.
        peers: folder of virtual environments, or None.
        seconds: length of a repeat.

    Raises:
        AbsentError: its environment or a package is not installed, it failed, or the machine does not let it measure.
        FacetError: it is Facet's own and failed.
    """

    def __init__(
        self, contender: Contender, task: tuple[str, str], work: Path, *, peers: Path | None, seconds: float
    ) -> None:
        self.contender = contender
        self._log = work / f"log-{contender.program}-{contender.variant}-{'-'.join(task)}.txt"
        words = [python_of(contender, peers), "-P", "-m", f"benchmarks.peers.{contender.program}", work, *task]
        with open(self._log, "wb") as log:
            self._process = subprocess.Popen(
                [*map(str, words), contender.variant, "--seconds", str(seconds)],
                cwd=work,
                env={**os.environ, "PYTHONPATH": str(_ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        try:
            self.warm_up = self._answer()
        except BaseException:
            self.close()
            raise
        self._stop()

    def go(self) -> Answer:
        """Asks for one repeat: `amount`, `seconds`, what else the program tells, and `elsewhere`.

        That is the number of cores that others used meanwhile, on average. Raises as a new Process: it may have died.
        """
        before, started = usage(self._process.pid), time.perf_counter()
        self._signal(signal.SIGCONT)
        if self._process.stdin is not None:
            with suppress(BrokenPipeError):  # it has died: there is no answer either
                self._process.stdin.write("go\n")
                self._process.stdin.flush()
        answer = self._answer()
        others = usage(self._process.pid).elsewhere(before)
        self._stop()
        return {**answer, "elsewhere": others / (time.perf_counter() - started)}

    def _stop(self) -> None:
        """Stops all its threads and processes, and waits until it stands."""
        self._signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def _answer(self) -> Answer:
        alarm = threading.Timer(_PATIENCE, self._process.kill)
        alarm.daemon = True  # whoever leaves in between does not wait for it
        alarm.start()
        try:
            line = self._process.stdout.readline() if self._process.stdout is not None else ""
        finally:
            alarm.cancel()
        if not line.endswith("\n"):
            raise self._failure()
        answer: Answer = json.loads(line)
        if "absent" in answer:
            raise AbsentError(answer["absent"])
        return answer

    def _failure(self) -> Exception:
        self._process.kill()
        said = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        reason = f"failed: {said[-1] if said else f'exit code {self._process.wait()}'}"
        # a contender that cannot run is said and left out; Facet itself must run
        if self.contender.own:
            return FacetError(f"{self.contender.name} {reason}, see {self._log}")
        return AbsentError(reason)

    def _signal(self, number: int) -> None:
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            return

    def close(self) -> None:
        """Ends the process and all that it started."""
        self._signal(signal.SIGKILL)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):  # what was never read by one that died
                    pipe.close()

    def __enter__(self) -> Self:
        """Gives itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the process."""
        self.close()


def python_of(contender: Contender, peers: Path | None) -> Path:
    """Gives the Python that a contender runs in; raises AbsentError where its environment is not there."""
    if not contender.environment:
        return Path(sys.executable)
    if peers is None:
        raise AbsentError("absent: no --peers given")
    python = peers.absolute() / contender.environment / "bin" / "python"
    if not python.exists():
        raise AbsentError(f"absent: no environment {contender.environment} in {peers}")
    return python
