"""Reads the blocks of a Markdown page that are to be run, runs them in order, and compares what they print.

The rules for authors are in CONTRIBUTING.md.
"""

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

RUN_KINDS = ("console", "python")

#: `python needs torch`: a block that runs only where that package is installed.
_NEEDS = re.compile(r"python needs (\w+)")

_FENCE = re.compile(r"^(?P<indent> *)```(?P<info>[^`]*)$")
_EXITS = re.compile(r"\s+# exits (\d+)$")
_ANY = "…"

#: Numbers that differ from run to run: times, speeds, free space.
_VARYING = re.compile(
    r"[\d,.]*\d(?=\s?(?:ms|s|seconds?|min|minutes?|images/s|examples/s|steps/s|MB/s|(?:[kMGT]B|bytes) free)\b)"
)

_PYTHON = """
import json, sys, traceback
answers, sys.stdout = sys.stdout, sys.stderr
names = {"__name__": "__main__"}
for line in sys.stdin:
    block = json.loads(line)
    error = None
    try:
        exec(compile("\\n" * block["line"] + block["code"], block["page"], "exec"), names)
    except BaseException:
        error = traceback.format_exc()
    print(json.dumps(error), file=answers, flush=True)
"""


@dataclass(frozen=True)
class Command:
    """One `$ ` line of a console block: the shell's words, the exit code, the lines shown below it."""

    text: str
    line: int
    code: int = 0
    shown: tuple[str, ...] = ()


@dataclass(frozen=True)
class Code:
    """One python block."""

    text: str
    line: int


def blocks(page: str) -> list[tuple[str, int, list[str]]]:
    """Gives (info string, line number of the first line, lines) of every fenced block of a page."""
    found: list[tuple[str, int, list[str]]] = []
    inside: list[str] | None = None
    for number, line in enumerate(page.splitlines(), start=1):
        fence = _FENCE.match(line)
        if fence and inside is None:
            inside, indent = [], len(fence["indent"])
            found.append((fence["info"].strip(), number + 1, inside))
        elif fence:
            inside = None
        elif inside is not None:
            inside.append(line[min(indent, len(line) - len(line.lstrip())) :])
    return found


def needed(page: str) -> list[str]:
    """Gives the packages that blocks of a page need beside Facet's own requirements."""
    found = (_NEEDS.fullmatch(info) for info, _line, _lines in blocks(page))
    return sorted({match[1] for match in found if match})


def is_installed(package: str) -> bool:
    """Says whether a package can be imported, without importing it."""
    return importlib.util.find_spec(package) is not None


def steps(page: str, having: Collection[str] = ()) -> list[Command | Code]:
    """Gives what is to be run on a page, in order; blocks that need a package only if that is among `having`."""
    result: list[Command | Code] = []
    for info, line, lines in blocks(page):
        need = _NEEDS.fullmatch(info)
        if info == "python" or (need and need[1] in having):
            result.append(Code("\n".join(lines), line))
        elif info == "console":
            result += commands(lines, line)
    return result


def commands(lines: list[str], first: int) -> list[Command]:
    """Gives the commands of a console block; a line that ends in a backslash goes on in the next one."""
    result: list[Command] = []
    waiting = list(enumerate(lines, start=first))
    while waiting:
        number, line = waiting.pop(0)
        if not line.startswith("$ "):
            if not result:
                raise ValueError(f"line {number}: a console block must begin with a `$ ` line, found {line!r}")
            last = result.pop()
            result.append(Command(last.text, last.line, last.code, (*last.shown, line)))
            continue
        text = line[2:]
        while text.endswith("\\") and waiting:
            text = f"{text[:-1].rstrip()} {waiting.pop(0)[1].removeprefix('> ').strip()}"
        exits = _EXITS.search(text)
        result.append(Command(_EXITS.sub("", text), number, int(exits[1]) if exits else 0))
    return result


def pattern(shown: str) -> re.Pattern[str]:
    """Gives what a shown line matches: … stands for anything, varying numbers for each other."""
    parts = (_VARYING.sub("#", part).rstrip() if last else _VARYING.sub("#", part) for part, last in _parts(shown))
    return re.compile(".*".join(map(re.escape, parts)))


def _parts(shown: str) -> list[tuple[str, bool]]:
    parts = shown.split(_ANY)
    return [(part, number == len(parts) - 1) for number, part in enumerate(parts)]


def difference(shown: tuple[str, ...], printed: list[str]) -> str | None:
    """Gives how the printed lines differ from the shown ones, or None; a line `…` stands for any lines."""
    wanted = [line for line in shown if line.strip()]
    actual = [line.rstrip() for line in printed if line.strip()]
    place = 0
    skipping = False
    for line in wanted:
        if line.strip() in (_ANY, "..."):
            skipping = True
            continue
        matches = [n for n in range(place, len(actual)) if pattern(line).fullmatch(_VARYING.sub("#", actual[n]))]
        if not matches or (not skipping and matches[0] != place):
            found = actual[place] if place < len(actual) else "the end"
            return f"the page shows\n    {line}\nwhere there is\n    {found}"
        place, skipping = matches[0] + 1, False
    if place < len(actual) and not skipping:
        return f"the page ends, and there is still\n    {actual[place]}"
    return None


@dataclass
class Runner:
    """Runs the steps of one page in one folder; Python blocks share one process."""

    page: Path
    folder: Path
    timeout: float = 400
    _python: Any = field(default=None, repr=False)

    def run(self, step: Command | Code) -> str | None:
        """Runs one step, and gives what is wrong with it, or None."""
        problem = self._command(step) if isinstance(step, Command) else self._code(step)
        return f"{self.page.name}, line {step.line}: {problem}" if problem else None

    def close(self) -> None:
        """Ends the process of the Python blocks."""
        if self._python is not None:
            self._python.stdin.close()
            self._python.wait(self.timeout)
            self._python.stdout.close()

    def _environment(self) -> dict[str, str]:
        without = {name: value for name, value in os.environ.items() if not name.startswith("FACET_")}
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return {**without, "PATH": path, "COLUMNS": "120", "TF_CPP_MIN_LOG_LEVEL": "3"}

    def _command(self, step: Command) -> str | None:
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", step.text],
            cwd=self.folder,
            env=self._environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=self.timeout,
            check=False,
        )
        if done.returncode != step.code:
            return f"$ {step.text}\nexited {done.returncode}, expected {step.code}; it printed\n{done.stdout}"
        wrong = difference(step.shown, done.stdout.splitlines()) if step.shown else None
        return f"$ {step.text}\n{wrong}\nIt printed\n{done.stdout}" if wrong else None

    def _code(self, step: Code) -> str | None:
        if self._python is None:
            self._python = subprocess.Popen(
                [sys.executable, "-c", _PYTHON],
                cwd=self.folder,
                env=self._environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        request = {"page": self.page.name, "line": step.line - 1, "code": step.text}
        self._python.stdin.write(json.dumps(request) + "\n")
        self._python.stdin.flush()
        answer = self._python.stdout.readline()
        return json.loads(answer) if answer else "the process of the python blocks has ended"
