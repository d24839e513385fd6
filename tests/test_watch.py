"""Workers that watch one another: real processes that die, hang or end, and what the others say of it."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hdf5_helper.errors import FacetError
from models.training.distribution.cluster import Cluster
from models.training.distribution.links import joined
from models.training.distribution.watch import Watch, check_limit

ROOT = Path(__file__).resolve().parent.parent
AGAIN = "start all of them again, and the run goes on from its last checkpoint"

# A worker: told to listen, or where to join, it watches, and does one Python line after the other as it is told
WORKER = """
import sys, time
from hdf5_helper.errors import FacetError
from models.training.distribution.cluster import Cluster
from models.training.distribution.watch import Watch
index, count, limit = map(int, sys.argv[1:])
cluster = Cluster(tuple(f"127.0.0.1:{port}" for port in range(1, count + 1)), index)
print("ready", flush=True)
place = map(int, sys.stdin.readline().split())
watch = Watch.join(cluster, limit, *place) if index else Watch.listen(cluster, limit)
print(watch.port, watch.token, flush=True)
try:
    with watch:
        for line in sys.stdin:
            exec(line)
except FacetError as error:
    sys.exit(f"facet: {error}")
"""


class Workers:
    """Processes that watch one another, the chief first."""

    def __init__(self, processes: list[subprocess.Popen[str]]):
        self.processes = processes

    def gather(self) -> None:
        """Begins the watch once all processes are there: on a busy machine that takes longer than their limit."""
        assert [process.stdout.readline() for process in self.processes] == ["ready\n"] * len(self.processes)
        place = ""
        for number, process in enumerate(self.processes):
            self.do(number, place)
            place = process.stdout.readline().strip()

    def do(self, number: int, line: str) -> None:
        process = self.processes[number]
        process.stdin.write(f"{line}\n")
        process.stdin.flush()

    def finish(self, number: int) -> None:
        """Lets a worker come to a good end."""
        self.processes[number].stdin.close()

    def send(self, number: int, which: signal.Signals) -> None:
        os.kill(self.processes[number].pid, which)

    def end(self, number: int) -> tuple[int, str]:
        """Gives exit status and standard error of a worker that ends within five seconds."""
        process = self.processes[number]
        status = process.wait(5)
        return status, process.stderr.read()


@contextlib.contextmanager
def watching(count: int, limit: int, joining: int | None = None, around: tuple[str, ...] = ()):
    """Gives workers, of which the last may not join; `around` is put before each command."""
    pipe, processes = subprocess.PIPE, []
    try:
        for number in range(joining or count):
            command = [*around, sys.executable, "-c", WORKER, str(number), str(count), str(limit)]
            processes.append(subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe, text=True))
        workers = Workers(processes)
        workers.gather()
        yield workers
    finally:
        for process in processes:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                with contextlib.suppress(BrokenPipeError):
                    stream.close()


def lost(number: int, fate: str) -> tuple[int, str]:
    return 1, f"facet: worker {number} (127.0.0.1:{number + 1}) {fate}\n"


@pytest.mark.parametrize("dead", [0, 1, 2])
def test_when_a_worker_is_killed_the_others_end_with_its_name_within_five_seconds(dead):
    with watching(3, limit=60) as workers:
        workers.do(0, "time.sleep(1000)")  # as in a collective
        begun = time.monotonic()
        workers.send(dead, signal.SIGKILL)
        ends = [workers.end(number) for number in range(3) if number != dead]
        assert time.monotonic() - begun < 5
    assert ends == [lost(dead, f"has died: {AGAIN}")] * 2


@pytest.mark.parametrize("hung", [0, 1])
def test_when_a_worker_hangs_the_others_end_with_its_name_after_the_limit(hung):
    with watching(3, limit=2) as workers:
        begun = time.monotonic()
        workers.send(hung, signal.SIGSTOP)
        ends = [workers.end(number) for number in range(3) if number != hung]
        assert 1.5 < time.monotonic() - begun < 5
    assert ends == [lost(hung, f"has not answered for 2 s (--worker-timeout): {AGAIN}")] * 2


@contextlib.contextmanager
def network():
    """Gives the pid of a process in a network of its own."""
    if not shutil.which("unshare") or not shutil.which("nsenter") or not shutil.which("ip"):
        pytest.skip("unshare, nsenter and ip are needed for a network of one's own")
    up = "ip link set lo up && echo up && exec sleep 1000"
    process = subprocess.Popen(["unshare", "-rn", "sh", "-c", up], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        if process.stdout.readline() != b"up\n":
            pytest.skip("this machine allows no network namespaces")
        yield process.pid
    finally:
        process.kill()
        process.communicate()


def test_when_the_network_is_cut_both_sides_end_after_the_limit():
    with network() as pid:
        inside = ("nsenter", "-t", str(pid), "-U", "-n", "--preserve-credentials")
        with watching(2, limit=2, around=inside) as workers:
            begun = time.monotonic()
            subprocess.run([*inside, "ip", "link", "set", "lo", "down"], check=True)
            ends = [workers.end(number) for number in (0, 1)]
            assert 1.5 < time.monotonic() - begun < 5
    fate = f"has not answered for 2 s (--worker-timeout): {AGAIN}"
    assert ends == [lost(1, fate), lost(0, fate)]


def test_a_worker_that_never_joins_is_named_after_the_limit():
    with watching(3, limit=1, joining=2) as workers:
        ends = [workers.end(number) for number in (0, 1)]
    assert ends == [lost(2, f"has not joined for 1 s (--worker-timeout): {AGAIN}")] * 2


@pytest.mark.parametrize("failing", [0, 1])
def test_a_worker_that_ends_with_a_sentence_makes_the_others_end_with_it(failing):
    with watching(3, limit=60) as workers:
        workers.do(failing, "raise FacetError('x.h5: is no HDF5 file')")
        ends = [workers.end(number) for number in range(3)]
    expected = [lost(failing, "ended: x.h5: is no HDF5 file")] * 3
    expected[failing] = (1, "facet: x.h5: is no HDF5 file\n")
    assert ends == expected


def test_an_error_that_follows_from_a_death_is_not_told_as_the_reason():
    with watching(3, limit=60) as workers:
        workers.do(2, "raise RuntimeError('Connection reset by peer')")
        time.sleep(0.2)  # as if that news had come faster
        workers.send(1, signal.SIGKILL)
        ends = [workers.end(number) for number in (0, 2)]
    assert ends == [lost(1, f"has died: {AGAIN}")] * 2


def test_another_error_is_told_with_its_kind_on_one_line():
    with watching(2, limit=60) as workers:
        workers.do(1, r"raise ValueError('one\ntwo')")
        assert workers.end(0) == lost(1, "ended: ValueError: one two")


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)])
def test_after_a_good_end_of_one_the_others_go_on(order):
    with watching(3, limit=2) as workers:
        workers.finish(order[0])
        first = workers.end(order[0])
        time.sleep(2.5)
        assert [workers.processes[number].poll() for number in order[1:]] == [None, None]
        for number in order[1:]:
            workers.finish(number)
        assert [first, *map(workers.end, order[1:])] == [(0, "")] * 3


def test_a_training_that_is_stopped_says_goodbye():
    with watching(2, limit=2) as workers:
        workers.do(0, "from models.training.stopping import Stopped; raise Stopped(15, 'stopped')")
        assert workers.processes[0].wait(5) == 1
        time.sleep(2.5)
        workers.finish(1)
        assert workers.end(1) == (0, "")


def test_busy_workers_on_a_busy_machine_are_no_losses():
    spin = "while True: pass"
    burners = [subprocess.Popen([sys.executable, "-c", spin]) for _ in range(2 * (os.cpu_count() or 1))]
    try:
        with watching(2, limit=2) as workers:
            for number in (0, 1):
                workers.do(number, "sum(n * n for n in range(20_000_000))")
                workers.finish(number)
            ends = [(process.wait(60), process.stderr.read()) for process in workers.processes]
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()
    assert ends == [(0, "")] * 2


def test_when_all_were_stopped_together_and_go_on_nobody_is_lost():
    with watching(3, limit=2) as workers:
        for which in (signal.SIGSTOP, signal.SIGCONT):
            for number in range(3):
                workers.send(number, which)
            time.sleep(3)
        for number in range(3):
            workers.finish(number)
        assert [workers.end(number) for number in range(3)] == [(0, "")] * 3


# ---- strangers


@pytest.fixture
def pair():
    """The chief of two, with what it lost."""
    losses: list[str] = []
    cluster = Cluster(("127.0.0.1:1", "127.0.0.1:2"), 0)
    chief = Watch.listen(cluster, 1, losses.append)
    yield chief, Cluster(cluster.workers, 1), losses
    chief.close()


@pytest.mark.parametrize("words", [b"", b"GET / HTTP/1.1\r\n\r\n", b"0 1\n", b"\xff\x00\n", b"x" * 100_000, b"bye\n"])
def test_a_stranger_is_dropped_and_does_no_harm(pair, words):
    chief, worker, losses = pair
    with socket.create_connection(("127.0.0.1", chief.port)) as stranger:
        stranger.settimeout(10)
        with contextlib.suppress(ConnectionError):
            stranger.sendall(words)
        with Watch.join(worker, 1, chief.port, chief.token, losses.append):
            if words:
                with contextlib.suppress(ConnectionError):
                    assert stranger.recv(1) == b""
            time.sleep(1.2)
    assert losses == []


def test_a_worker_with_a_wrong_token_is_turned_away(pair):
    chief, worker, losses = pair
    expected = (
        rf"^worker 0 \(127.0.0.1:1\) does not answer worker 1 \(127.0.0.1:2\) on port {chief.port} \(.*\),"
        " expected all ports to be open between workers$"
    )
    with pytest.raises(FacetError, match=expected):
        Watch.join(worker, 1, chief.port, chief.token + 1, losses.append)
    Watch.join(worker, 1, chief.port, chief.token, losses.append).close()
    assert losses == []


def test_a_second_worker_of_one_number_is_turned_away(pair):
    chief, worker, losses = pair
    with Watch.join(worker, 1, chief.port, chief.token, losses.append):
        with pytest.raises(FacetError, match="does not answer worker 1"):
            Watch.join(worker, 1, chief.port, chief.token, losses.append)
        time.sleep(1.2)
    assert losses == []


def test_the_last_word_is_left_time_to_arrive(pair):
    """Who closes a connection at once, with something unread, may destroy what was sent."""
    chief, worker, losses = pair
    with joined(worker, 1, chief.port, chief.token) as link:
        begun = time.monotonic()
        chief.close()
        assert 0.5 < time.monotonic() - begun < 5
        assert link.makefile("rb").read().endswith(b"bye\n")
    assert losses == []


def test_many_strangers_at_once_do_not_keep_a_worker_out(pair):
    chief, worker, losses = pair
    with contextlib.ExitStack() as strangers:
        for _ in range(200):
            strangers.enter_context(socket.create_connection(("127.0.0.1", chief.port)))
        Watch.join(worker, 1, chief.port, chief.token, losses.append).close()
    assert losses == []


def test_a_chief_that_does_not_listen_is_named():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    cluster = Cluster(("127.0.0.1:1", "127.0.0.1:2"), 1)
    with pytest.raises(FacetError, match=rf"^worker 0 .* on port {port} \(.*refused\), expected all ports to be open"):
        Watch.join(cluster, 1, port, 5)


@pytest.mark.parametrize("limit", [0, 0.5, -1, float("nan"), float("inf")])
def test_a_limit_below_a_second_is_refused(limit):
    with pytest.raises(FacetError, match=r"--worker-timeout .*: expected at least 1 second"):
        check_limit(limit)
