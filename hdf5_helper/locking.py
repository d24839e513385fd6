"""A lock on a file that ends with the process that holds it, however it ends."""

import errno
import os
from pathlib import Path
from typing import IO

# Some network file systems know no locks: two writers of one name are the user's own care there, as on Windows
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


def try_lock(file: IO[bytes] | IO[str]) -> bool:
    """Locks an open file for this process alone; says whether it could.

    A lock on a file that has been removed or replaced since it was opened keeps nobody out, so it does not count.
    """
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:  # Windows has no flock
        return True
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        return True
    return _is_there_still(file)


def _is_there_still(file: IO[bytes] | IO[str]) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), Path(file.name).stat())
    except FileNotFoundError:
        return False
