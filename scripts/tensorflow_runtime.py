"""What commands set before TensorFlow starts: silence, determinism, threads. Imports never do this."""

import os
import sys


def quiet_tensorflow(*, verbose: bool = False) -> None:
    """Keeps TensorFlow's own log lines off the terminal.

    Native code writes to file descriptor 2 past every log level (six lines at TF_CPP_MIN_LOG_LEVEL=3), so that
    descriptor is pointed at the null device, while Python's `sys.stderr` keeps the terminal.

    Args:
        verbose: leave everything as it is.
    """
    if verbose:
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    terminal = os.dup(2)
    with open(os.devnull, "wb") as null:
        os.dup2(null.fileno(), 2)
    sys.stderr = open(terminal, "w", encoding="utf-8", errors="backslashreplace", buffering=1)  # noqa: SIM115 - lives on


def deterministic_tensorflow() -> None:
    """Makes the same operations give the same bits again: op determinism and one inter-op thread.

    With two inter-op threads TensorFlow sums gradients of three or more terms in run-time order: one step repeated
    16 times gave six different results; with one thread, no deviation in 70 and no slowdown.
    """
    import tensorflow as tf

    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.experimental.enable_op_determinism()
