"""Which workers train together: from TF_CONFIG, else from the variables of a SLURM step.

TensorFlow's own SlurmClusterResolver is not used: on nodes without GPUs it fails (a range of step 0), it sorts the
hosts (n10 before n2, so that ranks no longer fit), and knows no names with two brackets such as rack[1-2]n[1-4].
"""

import itertools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hdf5_helper.errors import FacetError, did_you_mean

_JOBS = ("chief", "worker")
_EXPECTED = '{"cluster": {"worker": ["host:port", …]}, "task": {"type": "worker", "index": 0}}'

# Below the ports that Linux gives to outgoing connections (from 32768), and another one for each job of a shared node
_FIRST_PORT, _PORTS = 12000, 20000

_RANGES = r"\[\d+(?:-\d+)?(?:,\d+(?:-\d+)?)*\]"
_HOST = rf"(?:[^\[\],\s]|{_RANGES})+"


@dataclass(frozen=True)
class Cluster:
    """The processes that train together, and which of them this one is.

    Attributes:
        workers: their addresses as `host:port`, each once, the chief first.
        index: of this process among them.
    """

    workers: tuple[str, ...]
    index: int

    def __post_init__(self) -> None:
        """Refuses addresses that are none, or there twice, and an index outside."""
        for address in self.workers:
            host, _, port = address.rpartition(":")
            if not host or not port.isdecimal() or not 0 < int(port) < 65536:
                raise FacetError(f"worker address {address!r}: expected host:port with a port from 1 to 65535")
            if self.workers.count(address) > 1:
                raise FacetError(f"worker address {address!r} is there twice, expected each address once")
        if not 0 <= self.index < self.count:
            raise FacetError(f"index {self.index}: expected 0 to {self.count - 1} among {self.count} workers")

    @property
    def chief(self) -> bool:
        """True in the process that writes the run folder."""
        return self.index == 0

    @property
    def count(self) -> int:
        """Number of workers."""
        return len(self.workers)

    def name(self, index: int) -> str:
        """Gives `worker 1 (host:port)`."""
        return f"worker {index} ({self.workers[index]})"


def cluster_from(environ: Mapping[str, str]) -> Cluster | None:
    """Gives the cluster that the environment describes, None where this process trains alone.

    A TF_CONFIG beats SLURM's variables, so `TF_CONFIG={}` makes a task of a SLURM step train alone.

    Args:
        environ: variables of the process by name.

    Raises:
        FacetError: for a description that cannot be right.
    """
    source = "TF_CONFIG" if environ.get("TF_CONFIG", "").strip() else "SLURM"
    try:
        cluster = _from_tf_config(environ["TF_CONFIG"]) if source == "TF_CONFIG" else _from_slurm(environ)
    except FacetError as error:
        raise FacetError(f"{source}: {error}") from None
    return cluster if cluster and cluster.count > 1 else None


def _from_tf_config(text: str) -> Cluster | None:
    try:
        config = json.loads(text)
    except json.JSONDecodeError as error:
        raise FacetError(f"is no JSON ({error}), expected such as {_EXPECTED}") from None
    jobs = config.get("cluster", {}) if isinstance(config, dict) else None
    if not isinstance(jobs, dict):
        raise FacetError(f"found {text}, expected such as {_EXPECTED}")
    if not jobs:
        return None
    task = config.get("task")
    if not isinstance(task, dict) or type(task.get("index")) is not int:
        raise FacetError(f"found the task {json.dumps(task)}, expected such as {_EXPECTED}")
    for job in (*jobs, task.get("type")):
        if job not in _JOBS:
            raise FacetError(f"has the task type {job!r}, {did_you_mean(str(job), _JOBS)}: every worker trains alike")
    chiefs, workers = (_addresses(jobs, job) for job in _JOBS)
    return _cluster_of(chiefs, workers, task)


def _addresses(jobs: Mapping[str, Any], job: str) -> tuple[str, ...]:
    addresses = jobs.get(job, [])
    if not isinstance(addresses, list) or not all(isinstance(address, str) for address in addresses):
        raise FacetError(f"found {json.dumps(addresses)} for {job}, expected a list of host:port")
    return tuple(addresses)


def _cluster_of(chiefs: tuple[str, ...], workers: tuple[str, ...], task: Mapping[str, Any]) -> Cluster:
    """Gives the cluster with the chief first, and the task's place in it."""
    if len(chiefs) > 1:
        raise FacetError(f"has {len(chiefs)} chiefs ({', '.join(chiefs)}), expected one at most")
    own, before = (chiefs, 0) if task["type"] == "chief" else (workers, len(chiefs))
    if not 0 <= task["index"] < len(own):
        raise FacetError(f"this process is {task['type']} {task['index']}, but {len(own)} of that type are listed")
    return Cluster((*chiefs, *workers), before + task["index"])


def _from_slurm(environ: Mapping[str, str]) -> Cluster | None:
    """Gives the tasks of a SLURM step; None outside a step, as in a batch script or an interactive allocation."""
    if not {"SLURM_PROCID", "SLURM_STEP_NODELIST"} <= environ.keys():
        return None
    count = _integer(environ, "SLURM_STEP_NUM_TASKS" if "SLURM_STEP_NUM_TASKS" in environ else "SLURM_NTASKS")
    if count < 2:
        return None
    index = _integer(environ, "SLURM_PROCID")
    hosts, tasks = expand_hosts(environ["SLURM_STEP_NODELIST"]), _tasks(environ.get("SLURM_STEP_TASKS_PER_NODE", ""))
    if len(hosts) != len(tasks) or sum(tasks) != count:
        raise FacetError(
            f"{count} tasks, SLURM_STEP_NODELIST {environ['SLURM_STEP_NODELIST']!r} and SLURM_STEP_TASKS_PER_NODE"
            f" {environ.get('SLURM_STEP_TASKS_PER_NODE', '')!r} do not fit together"
        )
    places = [(node, local) for node, of_node in enumerate(tasks) for local in range(of_node)]
    first = _first_port(environ)
    cluster = Cluster(tuple(f"{hosts[node]}:{first + local}" for node, local in places), index)
    _check_place(environ, places[index])
    return cluster


def _check_place(environ: Mapping[str, str], expected: tuple[int, int]) -> None:
    """Refuses a step whose ranks do not fill node after node: nothing says where the others are then."""
    names = ("SLURM_NODEID", "SLURM_LOCALID")
    found = tuple(_integer(environ, name) for name in names if name in environ)
    if len(found) == len(names) and found != expected:
        raise FacetError(
            f"task {environ['SLURM_PROCID']} is number {found[1]} on node {found[0]},"
            f" expected number {expected[1]} on node {expected[0]}: start with srun --distribution=block"
        )


def _first_port(environ: Mapping[str, str]) -> int:
    if "FACET_PORT" in environ:
        return _integer(environ, "FACET_PORT")
    return _FIRST_PORT + _integer(environ, "SLURM_JOB_ID") % _PORTS


def _integer(environ: Mapping[str, str], name: str) -> int:
    text = environ.get(name, "")
    if not text.isdecimal():
        raise FacetError(f"{name} is {text!r}, expected a whole number")
    return int(text)


def _tasks(text: str) -> tuple[int, ...]:
    """Reads `2(x3),1` as (2, 2, 2, 1)."""
    if not re.fullmatch(r"\d+(\(x\d+\))?(,\d+(\(x\d+\))?)*", text):
        raise FacetError(f"SLURM_STEP_TASKS_PER_NODE is {text!r}, expected such as 2(x3),1")
    found = re.findall(r"(\d+)(?:\(x(\d+)\))?", text)
    return tuple(int(count) for count, times in found for _ in range(int(times or 1)))


def expand_hosts(text: str) -> tuple[str, ...]:
    """Gives the names in a SLURM host list such as `rack[1-2]n[01-04],login`, in its own order."""
    if not re.fullmatch(f"{_HOST}(,{_HOST})*", text):
        raise FacetError(f"SLURM_STEP_NODELIST is {text!r}, expected such as rack[1-2]n[01-04],login")
    parts = (re.findall(rf"{_RANGES}|[^\[\],]+", part) for part in re.findall(_HOST, text))
    return tuple("".join(name) for part in parts for name in itertools.product(*map(_choices, part)))


def _choices(piece: str) -> Iterator[str]:
    """Gives 01, 02, 05 for `[01-02,05]`, and any other text as it is."""
    if not piece.startswith("["):
        yield piece
        return
    for numbers in piece[1:-1].split(","):
        low, _, high = numbers.partition("-")
        yield from (f"{number:0{len(low)}d}" for number in range(int(low), int(high or low) + 1))
