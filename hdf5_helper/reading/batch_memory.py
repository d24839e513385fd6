"""Memory of batches, used again when nobody looks at the old batch any more."""

import math
import weakref

import numpy as np
from numpy.typing import NDArray

from hdf5_helper.memory import pixel_memory

# bytes that wait for the next batch at most: a few batches, but not what one large read has needed
_KEPT = 96 << 20


class BatchMemory:
    """Gives memory for batches.

    The system takes freed batches back and hands out empty pages for new ones, one fault for each 4 KB: measured on
    raw images that costs a third of the speed.
    """

    def __init__(self) -> None:
        self._free: list[NDArray[np.uint8]] = []
        self._most = _KEPT

    def take(self, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """Gives an array of `shape`, C-contiguous, not filled; it belongs to the caller for as long as he holds it.

        When the last array that shows this memory is gone, it is given out anew.
        """
        size = math.prod(shape)
        memory = self._next(size)
        # an array over a memoryview, unlike one over an array, is what all views of it hold on to
        batch = np.frombuffer(memory.data, np.uint8)
        weakref.finalize(batch, self._give_back, memory).atexit = False
        return batch.reshape(shape)

    def _next(self, size: int) -> NDArray[np.uint8]:
        """Threads may come at once: each `pop` gives its array to one of them."""
        while self._free:
            try:
                memory = self._free.pop()
            except IndexError:
                break
            if memory.size == size:
                return memory
        return pixel_memory((size,))

    def _give_back(self, memory: NDArray[np.uint8]) -> None:
        if sum(free.size for free in self._free) + memory.size <= self._most:
            self._free.append(memory)

    def close(self) -> None:
        """Lets go of all that nobody looks at, now and later."""
        self._most = 0
        self._free.clear()
