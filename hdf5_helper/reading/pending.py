"""A batch that is being read while its user does something else."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.uint8]


class PendingRead:
    """The images of a batch, some of which may still be on their way.

    Args:
        tasks: threads of this process that fill the batch.
        finish: gives the filled batch.
        again: reads it anew, for a process that was forked in the meantime: a fork takes no threads along.
    """

    def __init__(
        self, tasks: Sequence[Future[None]], finish: Callable[[], Images], again: Callable[[], Images]
    ) -> None:
        self._tasks, self._finish, self._again = tasks, finish, again
        self._process = os.getpid()

    def result(self) -> Images:
        """Waits for the images and gives them as `HDF5Reader.read` does; raises what it raises."""
        if os.getpid() != self._process:
            return self._again()
        errors = [task.exception() for task in self._tasks]  # nobody writes into the batch after this
        for error in filter(None, errors):
            raise error
        return self._finish()
