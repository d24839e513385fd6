"""VGG-Face at its published size, about 580 MB a file, from each of the four formats that it is published in."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from foreign_networks import channels_first, channels_last, in_words, keras_targets
from weight_files_caffe import write_caffe
from weight_files_keras_h5 import write_keras_h5
from weight_files_matconvnet import write_matconvnet
from weight_files_torch7 import write_torch7

ROOT = Path(__file__).resolve().parent.parent
SECONDS, TIMES_ITS_SIZE = 60, 2.5

LAUNCHER = """
import resource, subprocess, sys, time
began = time.monotonic()
subprocess.run(sys.argv[1:], check=True)
print(time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def network():
    targets = keras_targets("vggface", {"output": "fc7"})
    # a prime number of values: no two rows are alike
    values = np.random.default_rng(0).normal(0, 0.01, 1_000_003).astype(np.float32)
    return targets, {target.name: np.resize(values, target.shape) for target in targets}


def write(path, targets, arrays):
    fc8 = ("fc8", {"weight": np.zeros((2622, 4096), np.float32), "bias": np.zeros(2622, np.float32)})
    layers = [*in_words(channels_first(targets, arrays)), fc8]
    if path.suffix == ".t7":
        write_torch7(path, layers)
    elif path.suffix == ".caffemodel":
        write_caffe(path, layers)
    elif path.suffix == ".mat":
        write_matconvnet(path, channels_last(layers, targets))
    else:
        names = dict.fromkeys(target.layer for target in targets)
        write_keras_h5(
            path, [(name, {role: arrays[f"{name}.{role}"] for role in ("kernel", "bias")}) for name in names]
        )


def measured(folder, *command):
    """Runs `facet` and gives its seconds and peak memory in bytes; a large parent would count as its child's memory."""
    done = subprocess.run(
        [sys.executable, "-c", LAUNCHER, sys.executable, "-m", "scripts", *command],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    seconds, kilobytes = done.stdout.splitlines()[-1].split()
    return float(seconds), int(kilobytes) * 1024


def test_it_is_imported_in_a_minute_and_in_two_and_a_half_times_its_size(network, tmp_path):
    digests = set()
    for suffix in (".t7", ".caffemodel", ".mat", ".h5"):
        source, out = tmp_path / f"face{suffix}", tmp_path / "face.weights.h5"
        write(source, *network)
        command = ("import-weights", source.name, out.name, "--architecture", "vggface", "--overwrite")
        seconds, memory = measured(tmp_path, *command)
        assert (seconds < SECONDS, memory < TIMES_ITS_SIZE * source.stat().st_size) == (True, True), (suffix, memory)
        with out.open("rb") as file:
            digests.add(hashlib.file_digest(file, "sha256").hexdigest())
        source.unlink()
    assert len(digests) == 1
    with h5py.File(out) as file:
        stored = {group.attrs["name"]: group for group in (layer["vars"] for layer in file["layers"].values())}
        arrays = network[1]
        assert all(np.array_equal(stored[name]["0"], arrays[f"{name}.kernel"]) for name in ("conv1_1", "fc6", "fc7"))
