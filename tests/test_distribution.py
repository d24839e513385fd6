"""One model on several devices and in several processes: the same batches and losses, and an end with a reason."""

import csv
import json
import os
import signal
import socket
import subprocess
import sys
import time
import zipfile
from contextlib import ExitStack

import numpy as np
import pytest
from conftest import ROOT

from hdf5_helper.reading.generator import HDF5Generator
from models.augmentation.recipe import parse_augmentation
from models.heads.choosing import heads_for
from models.training.feeding import EvaluationFeed, TrainingFeed

NARROW = ("--backbone", "mobilenet", "--weights", "none", "--set", "backbone_arguments={alpha: 0.25}")
PLAIN = (*NARROW, "--label", "age,gender", "--set", "dropout=0", "--batch-size", "16", "--class-weights", "balanced")
SHORT = (*PLAIN, "--warm-up-epochs", "2", "--fine-tuning-epochs", "2", "--trainable-layers", "12")
ENDLESS = (*PLAIN, "--warm-up-epochs", "900", "--fine-tuning-epochs", "0", "--checkpoint-every", "5")


@pytest.fixture(scope="module")
def file(packed):
    return packed("agegender", count=120, side=32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("distribution")


@pytest.fixture(scope="module")
def alone(facet, folder, file):
    """A run on one device."""
    return trained(facet, folder, file, "alone", *SHORT)


def trained(facet, folder, file, name, *options):
    answer = facet("train", file, "--run", name, *options, cwd=folder)
    assert (answer.code, answer.stderr) == (0, "")
    return folder / "history" / name


def rows(run):
    """The rows of `epochs.csv` without the two columns of time; numbers as such."""
    with open(run / "epochs.csv", newline="") as lines:
        found = [dict(row) for row in csv.DictReader(lines)]
    return [[text if n == "phase" else float(text or "nan") for n, text in list(row.items())[:-2]] for row in found]


def assert_same_curve(run, other):
    for mine, others in zip(rows(run), rows(other), strict=True):
        assert mine[0] == others[0]
        np.testing.assert_allclose(mine[1:], others[1:], rtol=1e-5)


def digest(run):
    """Digest of weights and optimizer in the newest checkpoint."""
    name = json.loads((run / "checkpoints" / "latest.json").read_text())["checkpoint"]
    with zipfile.ZipFile(run / "checkpoints" / name) as archive:
        return json.loads(archive.read("facet/state.json"))["variables_digest"]


def free_ports(count):
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


class Workers:
    """Two processes that train one run, their output in files."""

    def __init__(self, folder, *arguments, environments=None):
        addresses = [f"127.0.0.1:{port}" for port in free_ports(2)]
        self.logs = [folder / f"worker-{number}.log" for number in (0, 1)]
        self.processes = []
        for number, log in enumerate(self.logs):
            task = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": number}}
            own = environments[number] if environments else {"TF_CONFIG": json.dumps(task)}
            with open(log, "w") as file:
                process = subprocess.Popen(
                    [sys.executable, "-m", "scripts", "train", *map(str, arguments)],
                    cwd=folder,
                    env={**os.environ, "PYTHONPATH": str(ROOT), **own},
                    stdout=file,
                    stderr=file,
                )
            self.processes.append(process)

    def codes(self, timeout=180):
        return [process.wait(timeout) for process in self.processes]

    def said(self, number):
        return self.logs[number].read_text()

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        for process in self.processes:
            process.kill()
            process.wait()


def until(condition, process, limit=120):
    """Waits until something is there, while a process runs, for at most so many seconds."""
    end = time.monotonic() + limit
    while not condition():
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture(scope="module")
def halves(facet, folder, file):
    """The same on two devices of one process."""
    return trained(facet, folder, file, "cpu-2", *SHORT, "--devices", "cpu:2")


def test_two_replicas_of_one_process_see_the_same_batches_and_lose_the_same(halves, alone):
    assert_same_curve(halves, alone)


@pytest.mark.long
def test_so_do_four(facet, folder, file, alone):
    assert_same_curve(trained(facet, folder, file, "cpu-4", *SHORT, "--devices", "cpu:4"), alone)


def test_two_workers_lose_the_same_as_one_process_and_only_the_chief_writes(folder, file, alone, halves):
    with Workers(folder, file, "--run", "two", *SHORT) as workers:
        assert workers.codes() == [0, 0], workers.said(0) + workers.said(1)
        assert "the chief writes the run" in workers.said(1)
        assert "all 2 workers hold the same weights\n" in workers.said(0)
        assert "warm_up epoch" not in workers.said(1)
    run = folder / "history" / "two"
    assert_same_curve(run, alone)
    assert sorted(p.name for p in run.iterdir()) == sorted(p.name for p in alone.iterdir())
    assert digest(run) == digest(halves)  # to the last bit what two replicas of one process end with


@pytest.mark.long
def test_on_kept_activations_two_devices_and_two_workers_end_with_the_bits_of_live_ones(facet, folder, file, halves):
    kept = ("--cache-views", "2")
    own = {"FACET_CACHE": str(folder / "cache of devices")}
    answer = facet("train", file, "--run", "kept-cpu-2", *SHORT, "--devices", "cpu:2", *kept, cwd=folder, env=own)
    assert (answer.code, answer.stderr) == (0, "")
    assert "keeps activations: " in answer.stdout
    with Workers(folder, file, "--run", "kept-two", *SHORT, *kept) as workers:  # both fill one cache
        assert workers.codes() == [0, 0], workers.said(0) + workers.said(1)
        assert "keeps activations: " in workers.said(0)
    runs = [folder / "history" / name for name in ("kept-cpu-2", "kept-two")]
    assert [digest(run) for run in runs] == [digest(halves)] * 2


@pytest.mark.long
def test_a_run_goes_from_one_replica_to_two_and_back(facet, folder, file, alone):
    run, steps = folder / "history" / "changing", ("--checkpoint-every-steps", "1", "--keep", "all")
    for devices, name in (("cpu:1", "warm_up-epoch-0001-step-*"), ("cpu:2", "fine_tuning-epoch-0001-step-*")):
        process = subprocess.Popen(
            [sys.executable, "-m", "scripts", "train", file, "--run", "changing", *SHORT, *steps, "--devices", devices],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
        )
        until(lambda: list((run / "checkpoints").glob(name)), process)  # noqa: B023 - used at once
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 128 + signal.SIGTERM
    answer = facet("train", "--resume", "changing", cwd=folder)
    assert answer.code == 0
    assert "and with dropout its masks, may differ from an unbroken run: replicas was 2, is 1" in answer.stdout
    assert_same_curve(run, alone)


@pytest.mark.parametrize("victim", [0, pytest.param(1, marks=pytest.mark.long)])
def test_when_a_worker_dies_the_other_ends_within_five_seconds_and_starting_again_goes_on(folder, file, victim):
    name = f"killed-{victim}"
    checkpoints, other = folder / "history" / name / "checkpoints", 1 - victim
    with Workers(folder, file, "--run", name, *ENDLESS) as workers:
        until((checkpoints / "warm_up-epoch-0005.keras").exists, workers.processes[other])
        began = time.monotonic()
        workers.processes[victim].kill()
        assert workers.processes[other].wait(60) == 1
        assert time.monotonic() - began < 5
        assert f"facet: worker {victim} (127.0.0.1:" in workers.said(other)
        assert "has died: start all of them again" in workers.said(other)
    with Workers(folder, file, "--run", name, *ENDLESS) as workers:
        until(lambda: f"resuming {name} from warm_up-epoch-" in workers.said(0), workers.processes[0])
        until((checkpoints / "warm_up-epoch-0010.keras").exists, workers.processes[0])


def test_when_a_worker_hangs_the_other_ends_after_the_timeout(folder, file):
    checkpoints = folder / "history" / "hung" / "checkpoints"
    with Workers(folder, file, "--run", "hung", *ENDLESS, "--worker-timeout", "3") as workers:
        until((checkpoints / "warm_up-epoch-0005.keras").exists, workers.processes[0])
        workers.processes[1].send_signal(signal.SIGSTOP)
        began = time.monotonic()
        assert workers.processes[0].wait(60) == 1
        assert 2 < time.monotonic() - began < 6
        assert "has not answered for 3 s (--worker-timeout)" in workers.said(0)


def test_sigterm_to_one_worker_stops_all_with_a_checkpoint(folder, file):
    checkpoints = folder / "history" / "stopped" / "checkpoints"
    with Workers(folder, file, "--run", "stopped", *ENDLESS) as workers:
        until((checkpoints / "warm_up-epoch-0005.keras").exists, workers.processes[0])
        workers.processes[1].send_signal(signal.SIGTERM)
        assert workers.codes() == [128 + signal.SIGTERM] * 2
        assert "holds the place; go on with: facet train --resume stopped" in workers.said(0)
    latest = json.loads((checkpoints / "latest.json").read_text())["checkpoint"]
    assert (checkpoints / latest).is_file()


def test_a_mistake_of_the_chief_is_told_to_the_others(folder, file):
    run = folder / "history" / "taken"
    with ExitStack() as held:
        run.mkdir(parents=True)
        lock = held.enter_context(open(run / ".lock", "a"))
        import fcntl

        fcntl.flock(lock, fcntl.LOCK_EX)
        with Workers(folder, file, "--run", "taken", *SHORT) as workers:
            assert workers.codes() == [1, 1]
            assert "facet: run 'taken': another process is training it now\n" in workers.said(0)
            assert "run 'taken': another process is training it now" in workers.said(1)


def test_slurms_variables_make_a_cluster(folder, file, alone):
    common = {
        "SLURM_JOB_ID": str(free_ports(1)[0] % 20000),
        "SLURM_STEP_ID": "0",
        "SLURM_NTASKS": "2",
        "SLURM_STEP_NUM_TASKS": "2",
        "SLURM_STEP_NODELIST": "localhost",
        "SLURM_STEP_TASKS_PER_NODE": "2",
    }
    environments = [{**common, "SLURM_PROCID": str(number), "SLURM_LOCALID": str(number)} for number in (0, 1)]
    with Workers(folder, file, "--run", "slurm", *SHORT, environments=environments) as workers:
        assert workers.codes() == [0, 0], workers.said(0) + workers.said(1)
    assert_same_curve(folder / "history" / "slurm", alone)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--devices", "cpu:3"), "batch size 16: 3 replicas cannot share it evenly, expected a multiple of 3"),
        (
            ("--devices", "cpu:2", "--set", "gradient_accumulation=16"),
            "batch size 16: 2 replicas, each in 16 parts cannot share it evenly, expected a multiple of 32",
        ),
        (("--devices", "gpu:9"), "--devices gpu:9: TensorFlow finds"),
        (("--devices", "tpu"), "--devices tpu: expected auto, cpu, cpu:N"),
    ],
)
def test_devices_that_do_not_fit_are_one_sentence(facet, folder, file, options, sentence):
    answer = facet("train", file, "--run", "unfit", *SHORT, *options, cwd=folder)
    assert (answer.code, answer.stderr.count("\n")) == (1, 1)
    assert answer.stderr.startswith(f"facet: {sentence}")
    assert not (folder / "history" / "unfit").exists()


@pytest.mark.parametrize(("workers", "augment"), [(2, "mirror"), (4, "strong,mixup=0.2")])
def test_workers_read_shares_of_the_same_batches(file, workers, augment):
    def feed(worker, workers):
        generator = HDF5Generator(file, "train", 16, ("gender",), replica=worker, replicas=workers)
        ones = {"gender": np.ones(len(generator.reader), np.float32)}
        return TrainingFeed(generator, heads_for(("gender",)), ones, parse_augmentation(augment))

    whole, shares = feed(0, 1), [feed(worker, workers) for worker in range(workers)]
    for epoch, step in ((1, 0), (1, 3), (2, 1)):
        expected, parts = whole.batch(epoch, step), [share.batch(epoch, step) for share in shares]
        assert np.array_equal(np.concatenate([part.inputs for part in parts]), expected.inputs)
        for field in ("targets", "weights", "counted"):
            joined = np.concatenate([getattr(part, field)["gender"] for part in parts])
            assert np.array_equal(joined, getattr(expected, field)["gender"])
        assert [part.totals for part in parts] == [expected.totals] * workers


def test_workers_validate_shares_of_the_same_rows(file):
    with HDF5Generator(file, "test", 16) as generator:
        rows_, heads = generator.order.rows[:21], heads_for(("gender",))
        whole = EvaluationFeed(generator.reader, rows_, heads, 16)
        halves = [EvaluationFeed(generator.reader, rows_, heads, 16, worker=n, workers=2) for n in (0, 1)]
        assert [half.steps for half in halves] == [whole.steps] * 2 == [2, 2]
        for step in (0, 1):
            expected, parts = whole.batch(step), [half.batch(step) for half in halves]
            assert np.array_equal(np.concatenate([part.inputs for part in parts]), expected.inputs)
            counted = np.concatenate([part.counted["gender"] for part in parts])
            assert (counted.tolist(), counted.sum()) == (expected.counted["gender"].tolist(), [16, 5][step])
