"""The connections of a watch: lines of text over TCP between the chief and each other worker."""

import contextlib
import socket
import time

from hdf5_helper.errors import FacetError
from models.training.distribution.cluster import Cluster

_LONGEST_LINE = 4096  # bytes


class Peer:
    """The connection to another worker, or to a stranger whose number is None.

    Attributes:
        heard: when something came last, by the monotonic clock.
        ended: True once nothing more will come.
    """

    def __init__(self, link: socket.socket, number: int | None) -> None:
        link.setblocking(False)
        self.link, self.number, self.heard, self.ended = link, number, time.monotonic(), False
        self._begun = b""

    def lines(self) -> list[str]:
        """Gives the whole lines that have come."""
        try:
            read = self.link.recv(_LONGEST_LINE)
        except BlockingIOError:
            return []
        except OSError:
            read = b""
        *whole, self._begun = (self._begun + read).split(b"\n")
        self.ended = not read or len(self._begun) > _LONGEST_LINE
        if whole:
            self.heard = time.monotonic()
        return [line.decode(errors="replace") for line in whole]

    def say(self, line: str) -> None:
        """Sends a line; that it does not arrive is noticed otherwise."""
        with contextlib.suppress(OSError):
            self.link.send(f"{line}\n".encode())

    def finish(self, until: float) -> None:
        """Waits until the other side has closed too, at most until then."""
        with contextlib.suppress(OSError):
            self.link.shutdown(socket.SHUT_WR)
            while (left := until - time.monotonic()) > 0:
                self.link.settimeout(left)
                if not self.link.recv(_LONGEST_LINE):
                    return


def listening() -> socket.socket:
    """Gives a socket that listens on a free port of all interfaces."""
    both = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if both else socket.AF_INET
    server = socket.create_server(("", 0), family=family, backlog=socket.SOMAXCONN, dualstack_ipv6=both)
    server.setblocking(False)
    return server


def joined(cluster: Cluster, limit: float, port: int, token: int) -> socket.socket:
    """Gives a connection on which the chief has taken this worker in."""
    host = cluster.workers[0].rpartition(":")[0].strip("[]")
    expected = b"alive\n"
    try:
        link = socket.create_connection((host, port), timeout=limit)
        with contextlib.ExitStack() as on_error:
            on_error.callback(link.close)
            link.sendall(f"{token} {cluster.index}\n".encode())
            if link.recv(len(expected), socket.MSG_WAITALL) != expected:
                raise ConnectionError("it was turned away")
            on_error.pop_all()
    except OSError as error:
        raise FacetError(
            f"{cluster.name(0)} does not answer {cluster.name(cluster.index)} on port {port} ({error}),"
            " expected all ports to be open between workers"
        ) from None
    return link
