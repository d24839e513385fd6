"""Memory that JPEGs are decoded into fastest."""

import math

import numpy as np
from numpy.typing import NDArray


def pixel_memory(shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Gives a C-contiguous array, not filled, that begins 16 bytes behind a multiple of 32.

    libjpeg-turbo writes rows that begin on a multiple of 32 around the cache (movntdq), so whoever looks at the pixels
    next waits for the memory: faces of 128×128 took 13 % longer to decode, and 40 % longer to decode and resize.
    """
    size = math.prod(shape)
    memory = np.empty(size + 32, np.uint8)
    start = (16 - memory.ctypes.data) % 32
    return memory[start : start + size].reshape(shape)
