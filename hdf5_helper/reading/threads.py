"""Threads that read: several at one batch, and batches ahead of whoever uses them. Both survive a fork."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Threads:
    """A process's own threads, started when they are first needed: a fork takes none along.

    Args:
        count: how many work at once, the caller's own among them.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._pools: dict[int, ThreadPoolExecutor] = {}

    def team(self, count: int) -> "Team":
        """Gives `count` of the threads, or all where there are fewer."""
        return Team(self, min(count, self._count))

    def together(self, task: Callable[[], None], count: int) -> None:
        """Runs `task` on `count` threads at once, the caller's among them, and comes back when all are done.

        Tasks that share an iterator share the work. Raises what one of them raised.
        """
        tasks = [task]
        helpers = [self._pool().submit(_run_all, tasks) for _ in range(count - 1)]
        try:
            task()
        finally:
            # nobody works behind this line: those that have not begun would find nothing left to do
            errors = [helper.exception() for helper in helpers if not helper.cancel()]
            tasks.clear()  # what still lies in the queue keeps no batch's memory
        for error in filter(None, errors):
            raise error

    def _pool(self) -> ThreadPoolExecutor:
        """Whoever comes second takes the first one's."""
        pool = self._pools.get(os.getpid())
        return pool or self._pools.setdefault(os.getpid(), ThreadPoolExecutor(self._count, "facet-read"))

    def close(self) -> None:
        """Ends the threads of this process."""
        pool = self._pools.pop(os.getpid(), None)
        if pool is not None:
            pool.shutdown()


def _run_all(tasks: list[Callable[[], None]]) -> None:
    for task in tasks:
        task()


@dataclass(frozen=True)
class Team:
    """Some of the threads, for one piece of work."""

    threads: Threads
    count: int

    def run(self, task: Callable[[], None]) -> None:
        """See Threads.together."""
        self.threads.together(task, self.count)


def ahead(make: Callable[[Item], Result], items: Iterable[Item], threads: int = 1, depth: int = 2) -> Iterator[Result]:
    """Gives `make(item)` for each item in turn, made by other threads while the ones before it are in use.

    Args:
        make: called on `threads` threads at once.
        items: taken one by one, at most `depth` ahead of the result that is handed out.
        threads: how many.
        depth: how many results wait or are being made at most.

    An error of `make` is raised in its place; leaving the loop early ends the threads.
    """
    process, pool = os.getpid(), ThreadPoolExecutor(threads, "facet-ahead")
    waiting: deque[tuple[Item, Future[Result] | None]] = deque()

    def submitted() -> Iterator[tuple[Item, Future[Result] | None]]:
        for item in items:
            # a fork has no threads: what it takes from here it makes itself
            waiting.append((item, pool.submit(make, item) if os.getpid() == process else None))
            if len(waiting) > depth:
                yield waiting.popleft()
        while waiting:
            yield waiting.popleft()

    try:
        for item, future in submitted():
            yield make(item) if future is None or os.getpid() != process else future.result()
    finally:
        pool.shutdown(cancel_futures=True)
