"""Where the work is done: threads, processes, and a real Dask cluster of two workers on this machine."""

import importlib.util
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from clusters import Cluster, wait_until
from trees import LEFT, agegender_paths, encoded, interrupt, left_in, picture, plant, write

from hdf5_helper.errors import FacetError
from hdf5_helper.packing.packer import PackOptions, pack
from hdf5_helper.progress import Silent

ROOT = Path(__file__).resolve().parent.parent
GOES_ON = "; the same command goes on where it stopped"

# 3,000 rows of 64×64 pixels: nine blocks
RAW = {"storage": "raw", "image_size": (64, 64)}

needs_dask = pytest.mark.skipif(importlib.util.find_spec("distributed") is None, reason="distributed is not installed")


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    tree = plant(tmp_path_factory.mktemp("tree"), agegender_paths(1500), 16, 16)
    write(tree, "combined/aligned/30_F/nm9_rm1_1980-1-1_2010.jpg", encoded(picture(1))[:300])
    return tree


@pytest.fixture(scope="module")
def by_threads(tree, tmp_path_factory):
    target = tmp_path_factory.mktemp("threads") / "a.h5"
    pack([tree], target, PackOptions(**RAW))
    return target.read_bytes()


class Strike(Silent):
    """Does something when the first block is packed."""

    def __init__(self, strike: Callable[[], object]):
        self.strike, self.stage, self.struck = strike, "", False

    def start(self, what, total, *, done=0):  # noqa: ARG002
        self.stage = what

    def advance(self, count, note=""):  # noqa: ARG002
        if self.stage == "packing" and not self.struck:
            self.struck = True
            self.strike()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> Iterator[Cluster]:
    """Gives a cluster of two workers that no test may harm."""
    started = Cluster(tmp_path_factory.mktemp("cluster"))
    started.add_worker()
    started.add_worker()
    yield started
    started.stop()


@pytest.fixture
def frail(tmp_path_factory) -> Iterator[Cluster]:
    """Gives a cluster without workers, to do anything with."""
    started = Cluster(tmp_path_factory.mktemp("frail"))
    yield started
    started.stop()


def interrupted(tree: Path, target: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        pack([tree], target, PackOptions(**RAW), progress=Strike(interrupt))
    assert left_in(target.parent) == LEFT


def test_processes_make_the_same_file(tree, tmp_path, by_threads):
    pack([tree], tmp_path / "a.h5", PackOptions(executor="processes", workers=2, **RAW))
    assert (tmp_path / "a.h5").read_bytes() == by_threads


def test_a_worker_process_that_dies_costs_nothing_but_its_own_work(tree, tmp_path, by_threads):
    def strike() -> None:
        multiprocessing.active_children()[0].kill()

    options = PackOptions(executor="processes", workers=2, **RAW)
    with pytest.raises(FacetError) as error:
        pack([tree], tmp_path / "a.h5", options, progress=Strike(strike))
    assert str(error.value) == f"--executor processes: a worker died, perhaps for want of memory{GOES_ON}"
    assert left_in(tmp_path) == LEFT
    report = pack([tree], tmp_path / "a.h5", options)
    assert report.found > 0
    assert (tmp_path / "a.h5").read_bytes() == by_threads


KILLED = """
import multiprocessing, os, signal, sys
from hdf5_helper.packing.packer import PackOptions, pack
from hdf5_helper.progress import Silent
class Killer(Silent):
    def start(self, what, total, *, done=0):
        self.stage = what
    def advance(self, count, note=""):
        if self.stage != "packing":
            return
        print(*[process.pid for process in multiprocessing.active_children()], flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
if __name__ == "__main__":
    options = PackOptions(storage="raw", image_size=(64, 64), executor="processes", workers=2)
    pack([sys.argv[1]], sys.argv[2], options, progress=Killer())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_worker_processes_end_with_the_process_that_was_killed(tree, tmp_path, by_threads):
    script = write(tmp_path, "killed.py", KILLED.encode())
    (tmp_path / "out").mkdir()
    with open(tmp_path / "told", "wb") as told:  # no pipe: the workers would keep it open
        command = [sys.executable, script, tree, tmp_path / "out" / "a.h5"]
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        killed = subprocess.run(command, stdout=told, stderr=subprocess.DEVNULL, check=False, env=env)
    assert killed.returncode == -signal.SIGKILL
    pids = (tmp_path / "told").read_text().split()
    assert len(pids) == 2
    wait_until(lambda: not any(Path(f"/proc/{pid}/cmdline").exists() for pid in pids))
    assert left_in(tmp_path / "out") == LEFT
    pack([tree], tmp_path / "out" / "a.h5", PackOptions(executor="processes", workers=2, **RAW))
    assert (tmp_path / "out" / "a.h5").read_bytes() == by_threads


def damaged(suffix: str, *, cut: bool) -> bytes:
    data = encoded(picture(1, 90, 90), suffix)
    half = len(data) // 2
    return data[:half] if cut else data[:half] + bytes(200) + data[half + 200 :]


DAMAGED = {f"man/cut{suffix}": damaged(suffix, cut=True) for suffix in (".jpg", ".png", ".webp", ".bmp", ".tiff")} | {
    f"man/wiped{suffix}": damaged(suffix, cut=False) for suffix in (".jpg", ".png")
}


@pytest.mark.parametrize("executor", ["threads", "processes"])
def test_nobody_prints_about_damaged_images(facet, tmp_path, executor):
    tree = plant(tmp_path / "tree", ["man/good.jpg", "woman/good.jpg"])
    for path, data in DAMAGED.items():
        write(tree, path, data)
    answer = facet("pack", tree, tmp_path / "a.h5", "--storage", "raw", "--executor", executor, "--workers", 2)
    assert (answer.code, answer.stderr) == (0, "")
    assert f"{len(DAMAGED)} images left out" in answer.stdout


@needs_dask
def test_two_machines_of_a_cluster_make_the_same_file(cluster, tree, tmp_path, by_threads):
    pack([tree], tmp_path / "a.h5", PackOptions(executor=cluster.executor, **RAW))
    assert (tmp_path / "a.h5").read_bytes() == by_threads
    assert left_in(tmp_path) == ["a.h5", "a.h5.rejects.csv"]


@needs_dask
def test_a_cluster_is_used_from_the_command_line_in_silence(cluster, facet, tree, tmp_path, by_threads):
    asked = ["--storage", "raw", "--image-size", 64, "--executor", cluster.executor]
    answer = facet("pack", tree, tmp_path / "a.h5", *asked)
    assert (answer.code, answer.stderr) == (0, "")
    assert (tmp_path / "a.h5").read_bytes() == by_threads


@needs_dask
def test_what_was_interrupted_elsewhere_goes_on_in_a_cluster(cluster, tree, tmp_path, by_threads):
    interrupted(tree, tmp_path / "a.h5")
    assert pack([tree], tmp_path / "a.h5", PackOptions(executor=cluster.executor, **RAW)).found > 0
    assert (tmp_path / "a.h5").read_bytes() == by_threads


@needs_dask
def test_where_one_machine_of_a_cluster_dies_the_other_goes_on(frail, tree, tmp_path, by_threads):
    frail.add_worker()
    frail.add_worker()
    options = PackOptions(executor=frail.executor, **RAW)
    pack([tree], tmp_path / "a.h5", options, progress=Strike(frail.workers[0].kill))
    assert frail.workers[0].wait() == -signal.SIGKILL
    assert (tmp_path / "a.h5").read_bytes() == by_threads


@needs_dask
def test_where_all_machines_of_a_cluster_die_the_pack_goes_on_with_new_ones(
    frail, tree, tmp_path, by_threads, monkeypatch
):
    monkeypatch.setattr("hdf5_helper.packing.executors._PATIENCE", 1)
    frail.add_worker()
    options = PackOptions(executor=frail.executor, **RAW)
    lost = frail.workers.pop()
    with pytest.raises(FacetError) as error:
        pack([tree], tmp_path / "a.h5", options, progress=Strike(lost.kill))
    assert lost.wait() == -signal.SIGKILL
    assert str(error.value) == f"--executor dask://: the cluster has no workers any more{GOES_ON}"
    assert left_in(tmp_path) == LEFT
    frail.add_worker()
    assert pack([tree], tmp_path / "a.h5", options).found > 0
    assert (tmp_path / "a.h5").read_bytes() == by_threads


@needs_dask
def test_where_the_scheduler_dies_the_pack_goes_on_elsewhere(frail, tree, tmp_path, by_threads, capfd):
    frail.add_worker()
    options = PackOptions(executor=frail.executor, **RAW)
    with pytest.raises(FacetError) as error:
        pack([tree], tmp_path / "a.h5", options, progress=Strike(frail.scheduler.kill))
    assert str(error.value) == f"--executor dask://: the cluster's scheduler is gone{GOES_ON}"
    assert capfd.readouterr().err == ""
    assert left_in(tmp_path) == LEFT
    pack([tree], tmp_path / "a.h5", PackOptions(**RAW))
    assert (tmp_path / "a.h5").read_bytes() == by_threads


@needs_dask
def test_a_cluster_that_is_not_there_is_one_sentence_and_costs_no_interrupted_pack(facet, tree, tmp_path):
    interrupted(tree, tmp_path / "a.h5")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and nobody listens
        name = f"dask://127.0.0.1:{taken.getsockname()[1]}"
        answer = facet("pack", tree, tmp_path / "a.h5", "--storage", "raw", "--image-size", 64, "--executor", name)
    sentence = f"facet: --executor {name}: no scheduler answers there, expected a running `dask scheduler`\n"
    assert (answer.code, answer.stderr) == (1, sentence)
    assert left_in(tmp_path) == LEFT


@needs_dask
def test_a_cluster_without_workers_is_one_sentence_and_costs_no_interrupted_pack(frail, facet, tree, tmp_path):
    interrupted(tree, tmp_path / "a.h5")
    asked = ["--storage", "raw", "--image-size", 64, "--executor", frail.executor]
    answer = facet("pack", tree, tmp_path / "a.h5", *asked)
    sentence = f"--executor {frail.executor}: the cluster has no workers, expected a running `dask worker`"
    assert (answer.code, answer.stderr) == (1, f"facet: {sentence}\n")
    assert left_in(tmp_path) == LEFT


def test_a_missing_package_is_one_sentence_and_costs_no_interrupted_pack(tree, tmp_path):
    interrupted(tree, tmp_path / "a.h5")
    code = "import sys; sys.modules['distributed'] = None; from scripts.cli import main; main()"
    asked = ["--storage", "raw", "--image-size", "64", "--executor", "dask://127.0.0.1:1"]
    command = [sys.executable, "-c", code, "pack", tree, tmp_path / "a.h5", *asked]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    sentence = "package distributed is not installed, expected it as `pip install -e .[dask]` does"
    assert (done.returncode, done.stderr) == (1, f"facet: --executor dask://127.0.0.1:1: {sentence}\n")
    assert left_in(tmp_path) == LEFT


@needs_dask
@pytest.mark.parametrize("hidden", ["the images", "the file"])
def test_a_machine_that_does_not_see_what_the_others_see_makes_no_rejects(frail, tree, tmp_path, hidden):
    place = tree if hidden == "the images" else tmp_path
    frail.add_worker(around=f"mount -t tmpfs none '{place}'")
    if frail.workers[-1].poll() is not None:
        pytest.skip("no user namespaces here")
    with pytest.raises(FacetError) as error:
        pack([tree], tmp_path / "a.h5", PackOptions(executor=frail.executor, **RAW))
    assert str(error.value).startswith("--executor dask://: ")
    assert str(error.value).endswith(f"the same folders on every machine{GOES_ON}")
    assert left_in(tmp_path) == LEFT


@needs_dask
def test_a_machine_without_facet_is_one_sentence(frail, tree, tmp_path):
    frail.add_worker(before="import sys; sys.modules['hdf5_helper'] = None")
    with pytest.raises(FacetError, match=r"127.0.0.1:\d+ does not find Facet, expected it on every machine"):
        pack([tree], tmp_path / "a.h5", PackOptions(executor=frail.executor, **RAW))
    assert left_in(tmp_path) == []
