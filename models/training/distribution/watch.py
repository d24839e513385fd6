"""Notices within a second when another worker's process dies, and within a limit when it hangs.

A collective waits for ever for a worker that hangs, and nothing interrupts it; so a thread of every worker watches, and
ends its process. The chief listens, and every other worker keeps one connection to it. Both sides send lines of text:
the worker's first is `TOKEN NUMBER`, which strangers cannot send; then `alive`, ten times a limit or more; at the end
`bye` or `failed SENTENCE`, and `lost SENTENCE` from the chief to the others when one of them is lost.
"""

import contextlib
import os
import secrets
import selectors
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Self

from hdf5_helper.errors import FacetError
from models.training.distribution.cluster import Cluster
from models.training.distribution.links import Peer, joined, listening
from models.training.stopping import Stopped

OnLoss = Callable[[str], None]

_AGAIN = "start all of them again, and the run goes on from its last checkpoint"
_HELLO = 5.0  # seconds in which a new connection has to say who it is
_LAST_WORD = 1.0  # seconds in which the others should have read the last line
_STRANGERS = 64  # connections that have not said who they are
_LONGEST_SENTENCE = 800  # characters, of up to four bytes


def end_process(sentence: str) -> None:
    """Prints the sentence and ends the process at once: its main thread waits in a collective."""
    with contextlib.suppress(OSError, ValueError):  # not descriptor 2: commands keep native logs off it
        sys.stderr.write(f"facet: {sentence}\n")
        sys.stderr.flush()
    os._exit(1)


class Watch:
    """A worker's watch over the others; the chief's is over all of them.

    Use as a context manager: a good end and a `Stopped` say `bye`, an error tells the others its sentence.

    Args:
        cluster: the workers.
        limit: seconds without an answer after which a worker counts as lost, at least 1.
        on_loss: is called once by the watch's thread, with one sentence; by default it ends the process.

    Attributes:
        port: where the chief listens.
        token: what a worker has to know to join, in [0, 2**63).
        lost: the sentence that `on_loss` was given, empty before.
    """

    def __init__(self, cluster: Cluster, limit: float, on_loss: OnLoss = end_process) -> None:
        check_limit(limit)
        self._cluster, self._limit, self._on_loss = cluster, limit, on_loss
        self.port, self.token, self.lost = 0, 0, ""
        self._pause = min(1.0, limit / 10)
        self._peers: list[Peer] = []
        self._missing: dict[str, int] = {}  # first line that is still to come: whose
        self._began = self._ticked = self._said = time.monotonic()
        self._last_line = ""
        self._selector = selectors.DefaultSelector()
        self._wake, self._woken = socket.socketpair()
        self._selector.register(self._woken, selectors.EVENT_READ, lambda: None)
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    @classmethod
    def listen(cls, cluster: Cluster, limit: float, on_loss: OnLoss = end_process) -> Self:
        """Gives the chief's watch; the others need its `port` and `token` to join within the limit."""
        watch = cls(cluster, limit, on_loss)
        server = listening()
        watch.port, watch.token = server.getsockname()[1], secrets.randbits(63)
        watch._missing = {f"{watch.token} {number}": number for number in range(1, cluster.count)}
        watch._selector.register(server, selectors.EVENT_READ, lambda: watch._accept(server))
        watch._thread.start()
        return watch

    @classmethod
    def join(cls, cluster: Cluster, limit: float, port: int, token: int, on_loss: OnLoss = end_process) -> Self:
        """Gives another worker's watch, once the chief has answered on `port`.

        Raises:
            FacetError: where it does not answer within the limit.
        """
        link = joined(cluster, check_limit(limit), port, token)
        watch = cls(cluster, limit, on_loss)
        watch.port, watch.token = port, token
        watch._add(link, 0)
        watch._thread.start()
        return watch

    def close(self) -> None:
        """Says `bye`: the others may go on without this worker."""
        self._end("bye")

    def fail(self, sentence: str) -> None:
        """Tells the others that this worker ends, and why; they end with that sentence."""
        self._end(f"failed {' '.join(sentence.split())[:_LONGEST_SENTENCE]}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        """Says `bye`, or tells the others why this worker ends."""
        if error is None or isinstance(error, Stopped):
            self.close()
        elif isinstance(error, FacetError):
            self.fail(str(error))
        else:
            self._thread.join(_LAST_WORD)  # a collective breaks when another worker dies: that is the news then
            self.fail(f"{type(error).__name__}: {error}")

    def _end(self, line: str) -> None:
        self._last_line = self._last_line or line
        with contextlib.suppress(OSError):  # the thread has ended
            self._wake.send(b".")
        if threading.current_thread() is not self._thread:
            self._thread.join()

    # ---- what the thread does

    def _run(self) -> None:
        while not self._last_line and not self.lost:
            for key, _events in self._selector.select(max(0.0, self._said + self._pause - time.monotonic())):
                key.data()
            self._tick(time.monotonic())
        self._leave(f"lost {self.lost}" if self.lost else self._last_line)
        if self.lost:
            self._on_loss(self.lost)

    def _tick(self, now: float) -> None:
        """Says that this worker is alive, and looks for those that have not said it."""
        if now - self._ticked > self._limit / 2:  # this process was stopped itself, and perhaps the others with it
            self._began = now
            for peer in self._peers:
                peer.heard = now
        self._ticked = now
        if now - self._said >= self._pause:
            self._said = now
            for peer in self._peers:
                peer.say("alive")
        late = f"for {self._limit:g} s (--worker-timeout): {_AGAIN}"
        for peer in list(self._peers):
            if now - peer.heard > (_HELLO if peer.number is None else self._limit):
                self._drop(peer, f"has not answered {late}")
        if self._missing and now - self._began > self._limit:
            self._lose(min(self._missing.values()), f"has not joined {late}")

    def _accept(self, server: socket.socket) -> None:
        with contextlib.suppress(OSError):  # it has gone already, or there are too many open files
            self._add(server.accept()[0], None)
        strangers = [peer for peer in self._peers if peer.number is None]
        if len(strangers) > _STRANGERS + self._cluster.count:
            self._drop(strangers[0])

    def _add(self, link: socket.socket, number: int | None) -> None:
        peer = Peer(link, number)
        self._peers.append(peer)
        self._selector.register(link, selectors.EVENT_READ, lambda: self._take(peer))

    def _take(self, peer: Peer) -> None:
        for line in peer.lines():
            if peer in self._peers:
                self._hear(peer, line)
        if peer.ended and peer in self._peers:
            self._drop(peer, f"has died: {_AGAIN}")

    def _hear(self, peer: Peer, line: str) -> None:
        word, _, sentence = line.partition(" ")
        if peer.number is None:
            peer.number = self._missing.pop(line, None)
            if peer.number is None:
                self._drop(peer)
            else:
                peer.say("alive")
        elif word == "bye":
            self._drop(peer)
        elif word == "failed":
            self._drop(peer, f"ended: {sentence}")
        elif word == "lost":
            self.lost = self.lost or sentence

    def _drop(self, peer: Peer, fate: str = "") -> None:
        """Forgets a connection; a worker's with a fate is a loss."""
        self._peers.remove(peer)
        self._selector.unregister(peer.link)
        peer.link.close()
        if peer.number is not None and fate:
            self._lose(peer.number, fate)

    def _lose(self, number: int, fate: str) -> None:
        self.lost = self.lost or f"{self._cluster.name(number)} {fate}"

    def _leave(self, line: str) -> None:
        """Says the last line, and waits a moment until the others have read it: closing at once could destroy it."""
        known = [peer for peer in self._peers if peer.number is not None]
        for peer in known:
            peer.say(line)
        until = time.monotonic() + _LAST_WORD
        for peer in known:
            peer.finish(until)
        for link in (self._wake, *(key.fileobj for key in self._selector.get_map().values())):
            link.close()  # type: ignore[union-attr]
        self._selector.close()


def check_limit(limit: float) -> float:
    """Gives `limit` back, in seconds; refuses one below a second."""
    if not 1 <= limit < float("inf"):
        raise FacetError(f"--worker-timeout {limit:g}: expected at least 1 second")
    return limit
