"""Where the work of packing is done: threads, processes, or the machines of a running Dask cluster.

Each is a `concurrent.futures.Executor`; Facet distributes nothing itself.
"""

import importlib.util
import itertools
import logging
import multiprocessing
import os
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    CancelledError,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    wait,
)
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

from hdf5_helper.cores import available_cores
from hdf5_helper.errors import FacetError, did_you_mean

_Task = TypeVar("_Task")
_Result = TypeVar("_Result")

DASK = "dask://"
EXECUTORS = ("threads", "processes")

#: Tasks handed out per worker: one that is worked on and one that waits.
_AHEAD = 2

#: Where a Dask scheduler listens if it is not told otherwise.
_SCHEDULER_PORT = 8786

#: Seconds without any result, after which it is asked whether there are workers at all.
_PATIENCE = 20.0


class WorkersLostError(FacetError):
    """The workers are gone, but what they have done is kept."""


def _always() -> bool:
    return True


@dataclass(frozen=True)
class Workers:
    """Workers that wait for tasks.

    Attributes:
        executor: takes them.
        count: how many tasks are worked on at a time.
        elsewhere: other machines may be among them, which need not see the same files.
        are_there: says whether there are any still.
    """

    executor: Executor
    count: int
    elsewhere: bool = False
    are_there: Callable[[], bool] = _always

    def results(self, work: Callable[[_Task], _Result], tasks: Iterable[_Task]) -> Iterator[_Result]:
        """Gives the results of `work(task)` as they come; only a few tasks wait, so any number of them may follow.

        Raises:
            WorkersLostError: a worker process died, or the cluster did, or its machines see other files.
        """
        waiting = iter(tasks)
        running: set[Future[_Result]] = set()
        try:
            with _losses_as_sentences(elsewhere=self.elsewhere):
                running |= self._begun(work, itertools.islice(waiting, self.count * _AHEAD))
                while running:
                    done, running = self._some(running)
                    running |= self._begun(work, itertools.islice(waiting, len(done)))
                    yield from (future.result() for future in done)
        finally:
            for future in running:
                future.cancel()

    def _begun(self, work: Callable[[_Task], _Result], tasks: Iterable[_Task]) -> set[Future[_Result]]:
        return {self.executor.submit(work, task) for task in tasks}

    def _some(self, running: set[Future[_Result]]) -> tuple[set[Future[_Result]], set[Future[_Result]]]:
        """Waits until some are done; gives these, and the others."""
        while True:
            done, others = wait(running, timeout=_PATIENCE, return_when=FIRST_COMPLETED)
            if done:
                return done, others
            if not self.are_there():
                raise WorkersLostError(f"--executor {DASK}: the cluster has no workers any more")


@contextmanager
def _losses_as_sentences(*, elsewhere: bool) -> Iterator[None]:
    """Turns what an executor raises when its workers are gone into a WorkersLostError."""
    try:
        yield
    except BrokenProcessPool:
        raise WorkersLostError("--executor processes: a worker died, perhaps for want of memory") from None
    except (FileNotFoundError, ImportError) as error:
        if not elsewhere:
            raise
        raise WorkersLostError(
            f"--executor {DASK}: a worker says {error}, expected Facet and the same folders on every machine"
        ) from error
    except CancelledError:
        raise WorkersLostError(f"--executor {DASK}: the cluster's scheduler is gone") from None
    except Exception as error:
        if not type(error).__module__.startswith("distributed."):
            raise
        raise WorkersLostError(f"--executor {DASK}: the cluster gave up: {error}") from error


def check_executor(name: str) -> None:
    """Refuses what is neither `threads` nor `processes` nor `dask://HOST:PORT`."""
    if name not in EXECUTORS and not (name.startswith(DASK) and name != DASK):
        raise FacetError(f"--executor {name!r}: {did_you_mean(name, EXECUTORS)}, or {DASK}HOST:PORT")


@contextmanager
def workers(name: str, count: int | None) -> Iterator[Workers]:
    """Gives workers for as long as the context lasts.

    Args:
        name: `threads`, `processes` or `dask://HOST:PORT`.
        count: how many; None for one a core and one more thread, or all of the cluster's.

    Raises:
        FacetError: no such cluster, or `distributed` is not installed.
    """
    check_executor(name)
    if name.startswith(DASK):
        with _dask(name, count) as cluster:
            yield cluster
        return
    number = count or available_cores() + (name == "threads")  # one more decodes while another waits for the disk
    # spawned, not forked: whoever calls may have threads, TensorFlow's among them
    pool = (
        ThreadPoolExecutor(number, "facet-pack")
        if name == "threads"
        else ProcessPoolExecutor(number, multiprocessing.get_context("spawn"), _end_with_parent)
    )
    try:
        yield Workers(pool, number)
    finally:
        pool.shutdown(cancel_futures=True)


def _end_with_parent() -> None:
    """Ends this worker process when the one that began it is killed: it would wait for tasks for ever."""
    threading.Thread(target=_wait_for_the_parents_end, daemon=True).start()


def _wait_for_the_parents_end() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def _dask(name: str, count: int | None) -> Iterator[Workers]:
    try:
        from distributed import Client
    except ImportError as error:
        raise FacetError(
            f"--executor {name}: package distributed is not installed, expected it as `pip install -e .[dask]` does"
        ) from error
    with _without_log_lines():
        try:
            _knock(name)
            client = Client(f"tcp://{name.removeprefix(DASK)}", timeout="10s", set_as_default=False)
        except (OSError, ValueError) as error:
            raise FacetError(
                f"--executor {name}: no scheduler answers there, expected a running `dask scheduler`"
            ) from error
        with client:
            threads = _threads(client)
            _check_cluster(name, client, threads)
            pool = client.get_executor(pure=False, retries=1)
            number = min(threads, count or threads)
            try:
                yield Workers(pool, number, elsewhere=True, are_there=lambda: _threads(client) > 0)
            finally:
                pool.shutdown(wait=False)  # by then all is done, or nobody is left to wait for


def _knock(name: str) -> None:
    """Raises OSError at once where nobody listens; a Dask client would try for as long as it may."""
    parts = urlsplit(name)
    socket.create_connection((parts.hostname or "", parts.port or _SCHEDULER_PORT), timeout=10).close()


def _check_cluster(name: str, client: Any, threads: int) -> None:
    if not threads:
        raise FacetError(f"--executor {name}: the cluster has no workers, expected a running `dask worker`")
    # a worker that cannot even read its task would leave the cluster, and come back, without a word to us
    lacking = [worker for worker, found in client.run(importlib.util.find_spec, "hdf5_helper").items() if not found]
    if lacking:
        raise FacetError(f"--executor {name}: {lacking[0]} does not find Facet, expected it on every machine")


def _threads(client: Any) -> int:
    """Gives the number of threads of all workers of a cluster, 0 where it answers no more."""
    try:
        return sum(client.nthreads().values())
    except (OSError, RuntimeError):
        return 0


@contextmanager
def _without_log_lines() -> Iterator[None]:
    """Keeps the client's own log lines off the terminal: what they say ends in one sentence."""
    logs = [logging.getLogger(name) for name in ("distributed", "distributed.client", "distributed.comm")]
    levels = [log.level for log in logs]
    for log in logs:
        log.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for log, level in zip(logs, levels, strict=True):
            log.setLevel(level)
