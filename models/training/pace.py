"""How fast a training is, and how long the rest will take."""

import time
from datetime import timedelta

#: Steps after which the first estimate is given; the very first one compiles and is left out.
_STEPS_TO_ESTIMATE = 10


class Pace:
    """Measures steps from the end of one to the end of the next, so that waiting for batches counts."""

    def __init__(self) -> None:
        self._last = time.monotonic()
        self._first_seconds: list[float] = []
        self._steps = 0

    def begin(self) -> None:
        """Starts the clock anew, after a pause that belongs to no step."""
        self._last = time.monotonic()

    def step(self) -> float:
        """Notes the end of a step and gives its seconds."""
        now = time.monotonic()
        seconds, self._last = now - self._last, now
        self._steps += 1
        if self._steps <= _STEPS_TO_ESTIMATE:
            self._first_seconds.append(seconds)
        return seconds

    def estimate(self, steps_left: int) -> str | None:
        """Gives, once after ten steps, what a step takes and how long `steps_left` will; None at all other times."""
        if self._steps != _STEPS_TO_ESTIMATE:
            return None
        step = sum(self._first_seconds[1:]) / (_STEPS_TO_ESTIMATE - 1)
        return f"{step:.2f} s a step, about {timedelta(seconds=round(step * steps_left))}"
