"""What only a machine with GPUs shows: bfloat16 by default, equal losses on two of them, and memory that runs out."""

import subprocess
import sys

import numpy as np
import pytest
from test_distribution import SHORT, rows, trained

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def gpus():
    """Gives how many GPUs TensorFlow finds, asked in a process of its own."""
    code = "import tensorflow as tf; print(len(tf.config.list_physical_devices('GPU')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    count = int(done.stdout.splitlines()[-1])
    if not count:
        pytest.skip("no GPU")
    return count


@pytest.fixture(scope="module")
def file(packed):
    return packed("agegender", count=120, side=32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, gpus):
    return tmp_path_factory.mktemp("gpu")


def config(run):
    return dict(line.partition("  # ")[0].split(": ", 1) for line in (run / "config.yaml").read_text().splitlines()[1:])


def test_a_gpu_that_computes_bfloat16_trains_in_it_and_learns_what_float32_learns(facet, folder, file):
    rough = trained(facet, folder, file, "rough", *SHORT)
    exact = trained(facet, folder, file, "exact", *SHORT, "--precision", "float32")
    assert (config(rough)["precision"], config(exact)["precision"]) == ("mixed_bfloat16", "float32")
    for mine, others in zip(rows(rough), rows(exact), strict=True):
        np.testing.assert_allclose(mine[4:5], others[4:5], rtol=0.1)


def test_two_gpus_lose_what_one_loses(facet, folder, file, gpus):
    if gpus < 2:
        pytest.skip(f"two GPUs wanted, {gpus} found")
    one, two = (
        trained(facet, folder, file, name, *SHORT, "--precision", "float32", "--devices", devices)
        for name, devices in (("first", "gpu:0"), ("both", "gpu:0,1"))
    )
    for mine, others in zip(rows(two), rows(one), strict=True):
        np.testing.assert_allclose(mine[4:], others[4:], rtol=1e-3)


def test_memory_that_runs_out_is_one_sentence_with_a_smaller_batch(facet, folder, packed):
    many = packed("agegender", count=4000, side=32)
    huge = ("--backbone", "vgg19", "--weights", "none", "--image-size", "1024", "--batch-size", "2048")
    answer = facet("train", many, "--run", "huge", *huge, "--trainable-layers", "all", cwd=folder, timeout=900)
    assert (answer.code, answer.stderr.count("\n")) == (1, 1)
    assert answer.stderr.startswith("facet: memory ran out with batches of 2048 (")
    assert "try --batch-size 1024" in answer.stderr
