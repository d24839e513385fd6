"""Two workers on real faces: the loss curve of one process, also when one of them dies on the way."""

import time

import numpy as np
import pytest
from test_distribution import Workers, assert_same_curve, rows, until

FACES = "mobilenet_1.0_224_faces_notop.weights.h5"
SCHEDULE = ("--warm-up-epochs", "2", "--fine-tuning-epochs", "2", "--set", "dropout=0", "--keep", "all")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("real-workers")


@pytest.fixture(scope="module")
def command(facet, real_data, folder):
    """What all of them train: gender on the agegender cut."""
    weights = real_data("agegender_cleaned").parent.parent / "weights" / FACES
    if not weights.is_file():
        pytest.skip(f"real weights not found: {weights}")
    assert facet("pack", real_data("agegender_cleaned"), "ag.h5", cwd=folder).code == 0
    return ("ag.h5", "--label", "gender", "--backbone", "mobilenet", "--weights", weights, *SCHEDULE)


@pytest.mark.long
def test_two_workers_one_of_whom_dies_follow_the_curve_of_one_process(facet, folder, command):
    assert facet("train", *command, "--run", "one", cwd=folder, timeout=1500).code == 0
    one, two = folder / "history" / "one", folder / "history" / "two"
    with Workers(folder, *command, "--run", "two") as workers:
        until((two / "checkpoints" / "warm_up-epoch-0002.keras").exists, workers.processes[0], limit=900)
        time.sleep(5)
        workers.processes[1].kill()
        assert workers.processes[0].wait(60) == 1
    with Workers(folder, *command, "--run", "two") as workers:
        assert workers.codes(timeout=1500) == [0, 0], workers.said(0) + workers.said(1)
        assert "all 2 workers hold the same weights" in workers.said(0)
    curves = [np.array([row[4:] for row in rows(run)]) for run in (one, two)]
    apart = np.abs(curves[1] / curves[0] - 1)
    print(f"largest relative difference {np.nanmax(apart):.2e}")  # noqa: T201 - the figure is what this is for
    assert_same_curve(two, one)
