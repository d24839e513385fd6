"""Waits for the other workers at the start: the user sees for whom, and signals and patience end it.

TensorFlow waits for them inside native code that nothing interrupts, and takes SIGTERM for itself meanwhile. So it does
that on a thread of its own, while the main thread looks at the clock and lets Python handle signals.
"""

import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from types import FrameType
from typing import NoReturn, TypeVar

from hdf5_helper.progress import Say
from models.training.distribution.cluster import Cluster

T = TypeVar("T")
_Handlers = dict[int, Callable[[int, FrameType | None], None]]

_TICK = 0.2  # seconds until a signal is handled, and until a handler that TensorFlow replaced is back
_SAY_EVERY = 30.0  # seconds
_PROBE = 1.0  # seconds in which a worker that is there takes a connection
_PROBES = 32  # at once


def awaited(join: Callable[[], T], cluster: Cluster, patience: float, say: Say) -> T:
    """Gives what `join` gives once the other workers are there.

    SIGINT and SIGTERM end the process at once with 130 and 143 (in the main thread; elsewhere they do what they did),
    and the end of patience ends it with 1; each with one sentence. An ordinary exit would wait for the native code.

    Args:
        join: waits for the others; is called on a thread of its own.
        cluster: the workers.
        patience: seconds that the others have.
        say: is told now and then who is missing.

    Raises:
        Exception: what `join` raises.
    """
    joined: Future[T] = Future()
    threading.Thread(target=_settle, args=(joined, join), name="joining", daemon=True).start()
    now = time.monotonic()
    until, next_words = now + patience, now + _SAY_EVERY
    with _ended_by_signals(cluster) as handlers:
        while not wait([joined], max(0.0, min(_TICK, until - now))).done:
            _install(handlers)
            now = time.monotonic()
            if now >= until:
                _give_up(cluster, patience)
            if now >= next_words:
                next_words = now + _SAY_EVERY
                say(f"still waiting for {_missing(cluster)}")
    return joined.result()


def _settle(future: Future[T], make: Callable[[], T]) -> None:
    try:
        future.set_result(make())
    except BaseException as error:  # noqa: BLE001 - the waiting thread raises it
        future.set_exception(error)


def _give_up(cluster: Cluster, patience: float) -> NoReturn:
    expected = "expected all workers to be started within that time, with the same command"
    _end(f"waited {patience:g} s for {_missing(cluster)}: {expected}", 1)


def _missing(cluster: Cluster) -> str:
    """Names the workers that take no connection; each listens from when it waits itself."""
    others = [number for number in range(cluster.count) if number != cluster.index]
    with ThreadPoolExecutor(_PROBES) as pool:
        there = pool.map(_answers, (cluster.workers[number] for number in others))
        names = [cluster.name(number) for number, answers in zip(others, there, strict=True) if not answers]
    return ", ".join(names) or "the other workers, which are there but have not joined"


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    with contextlib.suppress(OSError), socket.create_connection((host.strip("[]"), int(port)), _PROBE):
        return True
    return False


@contextlib.contextmanager
def _ended_by_signals(cluster: Cluster) -> Iterator[_Handlers]:
    """Has signals end the process, and gives the earlier handlers back afterwards."""

    def end(number: int, _frame: FrameType | None) -> None:
        _end(f"{signal.Signals(number).name} while {cluster.name(cluster.index)} waited for others", 128 + number)

    in_main = threading.current_thread() is threading.main_thread()
    handlers: _Handlers = dict.fromkeys((signal.SIGINT, signal.SIGTERM), end) if in_main else {}
    before = {number: signal.getsignal(number) for number in handlers}
    _install(handlers)
    try:
        yield handlers
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _install(handlers: _Handlers) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)


def _end(sentence: str, code: int) -> NoReturn:
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.write(f"facet: {sentence}\n")  # not descriptor 2: commands keep native logs off it
        sys.stderr.flush()
    os._exit(code)
