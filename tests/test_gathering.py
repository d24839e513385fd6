"""Workers that wait for one another at the start: real processes that are missing, late, stopped, or in the way."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys

import pytest
from conftest import ROOT

from hdf5_helper.errors import FacetError
from hdf5_helper.progress import no_words
from models.training.distribution.cluster import Cluster
from models.training.distribution.waiting import await_workers

EXPECTED = "expected all workers to be started within that time, with the same command"

# A worker as the command starts it: short waits, native logs off descriptor 2, one sentence for a mistake
WORKER = """
import os, sys
from hdf5_helper.errors import FacetError
from models.training.distribution import gathering, waiting
from models.training.distribution.cluster import cluster_from
from models.training.distribution.devices import parse_devices
from scripts.native_logs import quiet_native_logs
gathering._TO_GATHER, waiting._SAY_EVERY = float(sys.argv[1]), 0.5
if "lost" in sys.argv:
    gathering._TO_JOIN = 4.0
quiet_native_logs()
say = lambda sentence: print(sentence, flush=True)
try:
    with gathering.gathered(parse_devices("cpu"), cluster_from(os.environ), 30.0, say) as replicas:
        say(f"{replicas.chiefs('agreed')}")
except FacetError as error:
    sys.exit(f"facet: {error}")
"""


@pytest.fixture
def addresses():
    """Two free addresses of this machine."""
    with socket.socket() as one, socket.socket() as two:
        for each in (one, two):
            each.bind(("127.0.0.1", 0))
        return [f"127.0.0.1:{each.getsockname()[1]}" for each in (one, two)]


@contextlib.contextmanager
def worker(addresses, index, patience, *more):
    """Starts one of two workers."""
    task = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
    with subprocess.Popen(
        [sys.executable, "-c", WORKER, str(patience), *more],
        env={**os.environ, "PYTHONPATH": str(ROOT), "TF_CONFIG": json.dumps(task)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("index", [0, pytest.param(1, marks=pytest.mark.long)])
def test_a_missing_worker_is_named_while_and_after_it_is_waited_for(addresses, index):
    other = f"worker {1 - index} ({addresses[1 - index]})"
    with worker(addresses, index, 1.5) as process:
        said, error = process.communicate(timeout=30)
    assert (process.returncode, error) == (1, f"facet: waited 1.5 s for {other}: {EXPECTED}\n")
    begun, still = said.splitlines()[0], said.splitlines()[1:]
    assert begun == f"worker {index} ({addresses[index]}) of 2, waiting for {other}"
    assert set(still) == {f"still waiting for {other}"}


@pytest.mark.parametrize(("index", "number"), [(0, signal.SIGINT), (1, signal.SIGTERM)])
def test_a_signal_ends_the_waiting_at_once(addresses, index, number):
    with worker(addresses, index, 60) as process:
        assert "waiting for" in process.stdout.readline()
        assert "still waiting for" in process.stdout.readline()
        process.send_signal(number)
        assert process.wait(2) == 128 + number
        name = f"worker {index} ({addresses[index]})"
        assert process.stderr.read() == f"facet: {number.name} while {name} waited for the others\n"


@pytest.mark.parametrize("first", [0, pytest.param(1, marks=pytest.mark.long)])
def test_a_late_worker_is_waited_for_and_all_go_on(addresses, first):
    with worker(addresses, first, 60) as early:
        for _line in range(4):
            assert "waiting for" in early.stdout.readline()
        with worker(addresses, 1 - first, 60) as late:
            for process in (late, early):
                said, error = process.communicate(timeout=60)
                assert (process.returncode, error) == (0, "")
                assert said.endswith("all 2 workers are there: 2 replicas\nagreed\n")


@pytest.mark.parametrize("index", [0, pytest.param(1, marks=pytest.mark.long)])
def test_a_worker_that_is_lost_while_all_join_ends_the_other(addresses, index):
    host, _, port = addresses[1 - index].rpartition(":")
    with socket.create_server((host, int(port))), worker(addresses, index, 60, "lost") as process:  # never joins
        said, error = process.communicate(timeout=30)
    assert (process.returncode, error) == (1, "")
    assert said.endswith("all 2 workers answer: joining them, for 4 s at most\n")


def test_a_port_that_another_program_has_is_one_sentence(addresses):
    port = int(addresses[1].rpartition(":")[2])
    sentence = f"cannot listen on port {port} (Address already in use), expected a free port"
    with socket.create_server(("127.0.0.1", port)), pytest.raises(FacetError) as raised:
        await_workers(Cluster(tuple(addresses), 1), 60, no_words)
    assert str(raised.value) == f"worker 1 ({addresses[1]}): {sentence}"
