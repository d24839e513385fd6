"""Stopping on a signal: within one step and one save, with a checkpoint that holds the place."""

import signal
import threading
from dataclasses import dataclass
from types import FrameType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray


class Stopped(Exception):  # noqa: N818 - not an error: the training did what it was asked
    """The training ended early because a signal asked for it, and can be resumed.

    Attributes:
        signal: the signal's number.
    """

    def __init__(self, number: int, sentence: str) -> None:
        super().__init__(sentence)
        self.signal = number


@dataclass(frozen=True)
class Flags:
    """Which signals came, to one worker or to any. They travel with every step's sums, so that all stop at once.

    Attributes:
        interrupt, terminate: SIGINT, SIGTERM.
    """

    interrupt: bool = False
    terminate: bool = False

    @property
    def signal(self) -> int:
        """The signal's number, 0 for none."""
        return signal.SIGTERM if self.terminate else signal.SIGINT if self.interrupt else 0

    def numbers(self) -> NDArray[np.float32]:
        """Gives them as numbers that replicas can add, float32 (2,)."""
        return np.array([self.interrupt, self.terminate], np.float32)

    @classmethod
    def of(cls, numbers: NDArray[np.floating[Any]]) -> Self:
        """Reads added numbers back."""
        return cls(*(bool(number > 0) for number in numbers))


class StopFlag:
    """Says whether SIGINT or SIGTERM came; a SIGINT after that interrupts at once.

    Use as a context manager in the main thread; elsewhere it never asks for a stop.

    Attributes:
        signal: number of the signal that came, 0 before.
    """

    def __init__(self) -> None:
        self.signal = 0
        self._before: dict[int, Any] = {}

    @property
    def asked(self) -> bool:
        """True once a signal came."""
        return self.signal != 0

    @property
    def flags(self) -> Flags:
        """What came to this process so far."""
        return Flags(self.signal == signal.SIGINT, self.signal == signal.SIGTERM)

    def __enter__(self) -> Self:
        """Takes over both signals."""
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_error: object) -> None:
        """Gives both signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if self.asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = number
