"""The parent's side of a runtime in a process of its own, so that a crash there is an answer and not the end here."""

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from numpy.typing import NDArray

from models.export.formats import format_of
from models.export.runtimes.programs import serve
from models.export.runtimes.runtime import Answer, RuntimeRefusal
from models.export.signature import Signature

#: Where the stand-alone programs lie.
PROGRAMS = Path(serve.__file__).parent

#: Seconds for loading a file or for one batch: far more than any needs, so that a slow machine is no failure.
LIMIT = 300.0


@dataclass(frozen=True)
class ChildGraph:
    """A file that a child process has loaded, see `OpenGraph`.

    Attributes:
        process: the child.
        noise: what it printed.
        outputs: names of the outputs, in the order in which it answers.
        limit: seconds that it is given for one answer.
    """

    process: "subprocess.Popen[bytes]"
    noise: IO[bytes]
    outputs: tuple[str, ...]
    limit: float

    def run(self, images: NDArray[Any]) -> Answer:
        """Gives the outputs' values, see `OpenGraph.run`."""
        answer, values = self.ask({}, [images])
        return Answer(dict(zip(self.outputs, values, strict=True)), answer["seconds"])

    def ask(self, message: dict[str, Any], arrays: Sequence[NDArray[Any]] = ()) -> serve.Message:
        """Gives the child's answer to a message.

        Raises:
            RuntimeRefusal: the child says why it cannot, has ended, or gives no answer in time.
        """
        stdin, stdout = self.process.stdin, self.process.stdout
        if stdin is None or stdout is None:
            raise ValueError("a child is asked through two pipes")
        began, timer = time.monotonic(), threading.Timer(self.limit, self.process.kill)
        timer.start()
        try:
            serve.send(stdin, message, arrays)
            answer, values = serve.receive(stdout)
        except (EOFError, OSError, ValueError):
            raise RuntimeRefusal(self._end(time.monotonic() - began)) from None
        finally:
            timer.cancel()
        if "refused" in answer:
            raise RuntimeRefusal(answer["refused"])
        return answer, values

    def _end(self, seconds: float) -> str:
        """Gives how the child ended, with the last line that it printed."""
        if seconds >= self.limit:
            return f"no answer within {self.limit:g} s"
        code = self.process.wait()
        end = f"crashed (signal {-code})" if code < 0 else f"ended (exit code {code})"
        self.noise.seek(-min(4096, self.noise.seek(0, os.SEEK_END)), os.SEEK_END)
        lines = self.noise.read().decode(errors="replace").strip().splitlines()
        return f"{end}: {lines[-1]}" if lines else end


@contextmanager
def open_in_child(
    program: Path, path: Path, signature: Signature, *, python: str = sys.executable, limit: float = LIMIT, **more: Any
) -> Iterator[ChildGraph]:
    """Starts a program that loads a written file; it is gone when the block ends, and when this process does.

    Args:
        program: a file like those in `PROGRAMS`, with `open_graph(request)`.
        path: of the file to load.
        signature: its input and outputs.
        python: the Python that runs the program.
        limit: seconds for each answer; a child that takes longer is killed.
        more: what else the program wants to know.

    Raises:
        RuntimeRefusal: it cannot load the file.
    """
    outputs = signature.output_names
    request = {"path": str(path.absolute()), "format": format_of(path), "input": signature.input.name, **more}
    command = [python, str(PROGRAMS / "serve.py"), str(program)]
    with tempfile.TemporaryFile() as noise, _started(command, noise) as process:
        graph = ChildGraph(process, noise, outputs, limit)
        graph.ask({**request, "outputs": outputs})
        yield graph


@contextmanager
def _started(command: Sequence[str], noise: IO[bytes]) -> Iterator["subprocess.Popen[bytes]"]:
    try:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=noise)
    except OSError as error:
        raise RuntimeRefusal(f"{command[0]}: {error.strerror}") from None
    try:
        yield process
    finally:
        process.kill()  # it keeps nothing that could be lost
        with suppress(BrokenPipeError), process:  # closes the pipes and waits
            pass
