"""Waits at the start until all workers are there: the user sees for whom, and signals and patience end it.

TensorFlow waits for them too, but inside native code that holds Python's lock: no signal and no other thread gets a
turn, and its chief waits without an end. So it begins only when every worker answers on its address: until then by a
socket of this module, afterwards by TensorFlow's server on the same port. Between the two a port is closed for a while,
and who asks then asks again: nobody goes back to waiting, so the workers cannot wait for one another in a circle.
"""

import contextlib
import faulthandler
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import FrameType
from typing import Any

from hdf5_helper.errors import FacetError
from hdf5_helper.progress import Say
from models.training.distribution.cluster import Cluster

_PAUSE = 0.2  # seconds between two rounds of asking
_SAY_EVERY = 30.0  # seconds
_PROBE = 1.0  # seconds in which a worker that is there takes a connection
_PROBES = 32  # at once


def await_workers(cluster: Cluster, patience: float, say: Say) -> None:
    """Returns once every worker answers on its address.

    In the main thread, SIGINT and SIGTERM end the process at once with 130 and 143 and one sentence.

    Args:
        cluster: the workers.
        patience: seconds that the others have.
        say: is told every 30 seconds who is missing.

    Raises:
        FacetError: some were missing for too long, or this worker's port is not free.
    """
    others = [number for number in range(cluster.count) if number != cluster.index]
    now = time.monotonic()
    until, next_words, missing = now + patience, now + _SAY_EVERY, others
    with _handled(_ending(cluster)), _listening(cluster) as server:
        while missing := _silent(cluster, missing) or _silent(cluster, others):
            _take_all(server)
            now, names = time.monotonic(), ", ".join(map(cluster.name, missing))
            if now >= until:
                raise FacetError(
                    f"waited {patience:g} s for {names}: expected all workers to be started within that time,"
                    " with the same command"
                )
            if now >= next_words:
                next_words = now + _SAY_EVERY
                say(f"still waiting for {names}")
            time.sleep(_PAUSE)


@contextlib.contextmanager
def bounded(seconds: float) -> Iterator[None]:
    """Ends the process, with 1, where native code inside does not return in time; signals end it as by default."""
    with _handled(signal.SIG_DFL), open(os.devnull, "w") as nowhere:
        faulthandler.dump_traceback_later(seconds, exit=True, file=nowhere)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()


def _silent(cluster: Cluster, numbers: Sequence[int]) -> list[int]:
    """Gives those of the workers that take no connection."""
    with ThreadPoolExecutor(_PROBES) as pool:
        there = pool.map(_answers, [cluster.workers[number] for number in numbers])
        return [number for number, answers in zip(numbers, there, strict=True) if not answers]


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    with contextlib.suppress(OSError), socket.create_connection((host.strip("[]"), int(port)), _PROBE):
        return True
    return False


def _listening(cluster: Cluster) -> socket.socket:
    """Gives a socket on this worker's port, as TensorFlow's server will have it."""
    both = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if both else socket.AF_INET
    port = int(cluster.workers[cluster.index].rpartition(":")[2])
    try:
        server = socket.create_server(("", port), family=family, backlog=socket.SOMAXCONN, dualstack_ipv6=both)
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise FacetError(
            f"{cluster.name(cluster.index)}: cannot listen on port {port} ({reason}), expected a free port"
        ) from None
    server.setblocking(False)
    return server


def _take_all(server: socket.socket) -> None:
    """Empties the queue of those who asked: a full one would look like a worker that is missing."""
    with contextlib.suppress(OSError):
        while True:
            server.accept()[0].close()


def _ending(cluster: Cluster) -> Callable[[int, FrameType | None], None]:
    def end(number: int, _frame: FrameType | None) -> None:
        with contextlib.suppress(OSError, ValueError):  # not descriptor 2: commands keep native logs off it
            sys.stdout.flush()
            name = cluster.name(cluster.index)
            sys.stderr.write(f"facet: {signal.Signals(number).name} while {name} waited for the others\n")
            sys.stderr.flush()
        os._exit(128 + number)  # at once: an ordinary exit waits for names that are being looked up

    return end


@contextlib.contextmanager
def _handled(handler: Any) -> Iterator[None]:
    """Handles SIGINT and SIGTERM in the main thread, and gives the earlier handlers back even if others took them."""
    in_main = threading.current_thread() is threading.main_thread()
    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM) if in_main}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)
