"""Keeps the log lines of native libraries off the terminal. Imports never do this: commands ask for it."""

import logging
import os
import sys
import warnings


def quiet_native_logs(*, verbose: bool = False) -> None:
    """Keeps what TensorFlow and the image libraries write by themselves off the terminal.

    Native code writes to file descriptor 2 past every log level (six lines at TF_CPP_MIN_LOG_LEVEL=3), so that
    descriptor is pointed at the null device, while Python's `sys.stderr` keeps the terminal.

    Args:
        verbose: leave everything as it is.
    """
    if verbose:
        return
    # what Keras warns of is either checked by Facet itself (variables that a file lacks) or nothing to a user
    warnings.filterwarnings("ignore", module="keras")
    # Pillow warns of every damaged EXIF block; such an image is upright
    warnings.filterwarnings("ignore", module="PIL")
    # Python's part of TensorFlow, such as on functions that are traced once a run
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    terminal = os.dup(2)
    with open(os.devnull, "wb") as null:
        os.dup2(null.fileno(), 2)
    sys.stderr = open(terminal, "w", encoding="utf-8", errors="backslashreplace", buffering=1)  # noqa: SIM115 - lives on
