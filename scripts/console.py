"""What commands show: sentences on stdout, progress on stderr."""

import json
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import click


def shown(path: Path) -> Path:
    """Gives a path as sentences show it: relative to the current folder where it lies inside, else as it is."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


class Console:
    """Speaks to the user, and is the Progress of long work: a bar on a terminal, plain lines elsewhere.

    Args:
        as_json: stdout is kept for one JSON value, so sentences go to stderr.

    Use as a context manager, so that a bar is gone before an error is printed.
    """

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json
        self._bar: Any = None
        self._what, self._total, self._done, self._before, self._started, self._told = "", 0, 0, 0, 0.0, 0.0

    def __enter__(self) -> Self:
        """Gives itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the bar."""
        self.stop()

    def say(self, sentence: str) -> None:
        """Prints one line for the user."""
        on_same_terminal = self.as_json or sys.stdout.isatty()
        if self._bar is not None and on_same_terminal:
            self._bar.console.print(sentence, markup=False, highlight=False, soft_wrap=True)
        else:
            click.echo(sentence, err=self.as_json)

    def result(self, value: object) -> None:
        """Prints the one JSON value of --json."""
        click.echo(json.dumps(value, indent=2))

    def start(self, what: str, total: int, *, done: int = 0) -> None:
        """Begins a stage; see Progress."""
        self.stop()
        self._what, self._total, self._done, self._before = what, total, done, done
        self._started = self._told = time.monotonic()
        if sys.stderr.isatty():
            self._open_bar(what, total, done)

    def advance(self, count: int, note: str = "") -> None:
        """Moves the bar, or says every ten seconds how far the work is."""
        self._done += count
        if self._bar is not None:
            self._bar.update(self._task, advance=count, note=note)
        elif time.monotonic() - self._told >= 10:
            self._told = time.monotonic()
            each = (self._told - self._started) / max(self._done - self._before, 1)
            left = each * (self._total - self._done)
            click.echo(f"{self._what}: {self._done:,}/{self._total:,} {note} about {left:.0f} s left", err=self.as_json)

    def stop(self) -> None:
        """Ends the last stage."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _open_bar(self, what: str, total: int, done: int) -> None:
        from rich.console import Console as RichConsole
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        note = TextColumn("{task.fields[note]}")
        self._bar = Progress(
            *columns,
            note,
            console=RichConsole(stderr=True),
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task = self._bar.add_task(what, total=total, completed=done, note="")
        self._bar.start()
