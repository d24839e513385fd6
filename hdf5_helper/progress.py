"""How long work tells how far it is, without knowing who watches."""

from collections.abc import Callable
from typing import Protocol

#: Takes one finished sentence for the user.
Say = Callable[[str], None]


class Progress(Protocol):
    """A watcher of long work; the command line shows a bar, tests and libraries need nothing."""

    def start(self, what: str, total: int, *, done: int = 0) -> None:
        """A stage named `what` of `total` units begins, `done` of them earlier; an earlier stage has ended."""

    def advance(self, count: int, note: str = "") -> None:
        """`count` more units are done; `note` is a short text shown beside the bar."""

    def stop(self) -> None:
        """The last stage has ended."""


class Silent:
    """A Progress that shows nothing."""

    def start(self, what: str, total: int, *, done: int = 0) -> None:
        """Shows nothing."""

    def advance(self, count: int, note: str = "") -> None:
        """Shows nothing."""

    def stop(self) -> None:
        """Shows nothing."""


def no_words(_sentence: str) -> None:
    """A Say that drops every sentence."""
