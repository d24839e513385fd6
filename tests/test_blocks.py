import json
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT
from scipy.stats import chi2
from trees import encoded, picture, write

from hdf5_helper.packing.packer import PackOptions, pack
from hdf5_helper.reading.generator import HDF5Generator
from hdf5_helper.reading.order import Order
from hdf5_helper.reading.reader import HDF5Reader

ROWS = 100  # of a block here; real ones hold 4 MB
AGES = range(15, 65)


@pytest.fixture(scope="module")
def sorted_by_age(tmp_path_factory):
    """A file of AFAD's tree, sorted by age and gender as it is: 2,758 images, more of the young than of the old."""
    folder = tmp_path_factory.mktemp("blocks")
    count, data = 0, encoded(picture(0, 8, 8), ".png")
    for age in AGES:
        for code, share in (("111", 0.6), ("112", 0.4)):
            for _ in range(round(2 * share * (110 - age) / 74 * 30 - 1)):
                write(folder, f"tree/{age}/{code}/{count:05d}.png", data)
                count += 1
    pack([folder / "tree"], folder / "afad.h5", PackOptions(layout="afad", split="0.64,0.16,0.2"))
    return folder / "afad.h5"


def deviations(classes, blocks):
    """Gives X² and its degrees of freedom for each block against the whole, drawn from it without replacement.

    Pearson's X² = Σ (O - E)² / E, times (N - 1) / (N - n), since a block of n is a part of the N that it is compared
    with. Rare classes are joined until each expects five in a block.
    """
    joined = join_rare(classes, 5 * len(classes) / min(map(len, blocks)))
    whole = np.bincount(joined)
    for rows in blocks:
        expected = whole * len(rows) / len(joined)
        found = np.bincount(joined[rows], minlength=len(whole))
        scale = (len(joined) - 1) / max(len(joined) - len(rows), 1)
        yield scale * ((found - expected) ** 2 / expected).sum(), len(whole) - 1


def join_rare(classes, least):
    _names, numbers, counts = np.unique(classes, return_inverse=True, return_counts=True)
    bins, filled = [0], 0
    for count in counts[:-1]:
        filled += count
        bins.append(bins[-1] + (filled >= least))
        filled = 0 if filled >= least else filled
    bins = np.array(bins)
    if np.bincount(np.repeat(bins, counts))[-1] < least:
        bins = np.minimum(bins, bins[-1] - 1)
    return bins[numbers]


def unlikeliest(classes, blocks):
    """Gives the p-value of the block that deviates most, times the number of blocks (Bonferroni)."""
    found = list(deviations(classes, blocks))
    return min(1.0, len(found) * min(chi2.sf(value, degrees) for value, degrees in found))


def runs(length):
    """Gives the blocks of `length` rows in order; a last one of less than half a block is left out."""
    blocks = [np.arange(first, min(first + ROWS, length)) for first in range(0, length, ROWS)]
    return [rows for rows in blocks if len(rows) > ROWS / 2]


@pytest.mark.parametrize("label", ["age", "gender"])
@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_the_labels_of_every_block_are_within_sampling_error_of_those_of_its_split(sorted_by_age, split, label):
    with HDF5Reader(sorted_by_age) as reader:
        values = reader.labels(label)[reader.split(split)]
    blocks = runs(len(values))
    assert len(blocks) >= 4
    assert unlikeliest(values, blocks) > 0.001


def test_blocks_of_a_tree_in_its_own_order_are_far_outside(sorted_by_age):
    with HDF5Reader(sorted_by_age) as reader:
        rows = reader.split("train")
        order = np.argsort([reader.paths[row] for row in rows])
        ages = reader.labels("age")[rows][order]
    assert unlikeliest(ages, runs(len(ages))) < 1e-9


def test_the_batches_of_a_window_are_within_sampling_error_too(sorted_by_age):
    with HDF5Reader(sorted_by_age) as reader:
        values, rows = reader.labels("age"), reader.split("train")
    order = Order(rows, 50, shuffle="blocks", block_rows=20)
    stream = np.concatenate([order.batch(1, step) for step in range(order.steps_per_epoch)])
    assert unlikeliest(values[stream], runs(len(stream))) > 0.001


def test_the_statistic_follows_its_distribution_where_blocks_are_drawn_at_random():
    random = np.random.default_rng(0)
    classes = np.repeat(np.arange(10), np.arange(200, 400, 20))
    found = [chi2.sf(*pair) for _ in range(40) for pair in deviations(random.permutation(classes), runs(len(classes)))]
    shares = np.histogram(found, 5, (0, 1))[0] / len(found)
    assert np.abs(shares - 0.2).max() < 0.05


@pytest.fixture(scope="module")
def large(packed):
    """A raw file of 108 MB; a block has 15 rows."""
    return packed("agegender", count=400, storage="raw", image_size=(300, 300))


def test_each_window_of_blocks_is_asked_for_once_and_before_its_rows_are_read(large):
    asked = []
    with HDF5Generator(large, "all", 16, "gender", shuffle="blocks") as generator:
        generator.reader.prefetch = lambda rows: asked.append(rows.tolist())
        assert generator.order.block_rows == 15
        for epoch in (1, 2):
            for step in range(generator.steps_per_epoch):
                rows = generator.indices(epoch, step).tolist()
                assert {*rows} <= {row for window in asked for row in window}
        windows = [generator.order.window_rows(epoch, n).tolist() for epoch in (1, 2, 3) for n in range(4)]
    assert asked == windows[:9]
    for window in asked:
        blocks = {row // 15 for row in window}
        assert sorted(window) == [row for row in range(400) if row // 15 in blocks]
        assert len(blocks) <= 8


def test_after_a_seek_the_window_there_is_asked_for_too(large):
    asked = []
    with HDF5Generator(large, "all", 16, "gender", shuffle="blocks") as generator:
        generator.reader.prefetch = lambda rows: asked.append(rows.tolist())
        for epoch, step in ((5, 20), (5, 21), (2, 3)):
            generator.indices(epoch, step)
        order = generator.order
        expected = [order.window_rows(epoch, window).tolist() for epoch, window in ((5, 2), (5, 3), (2, 0), (2, 1))]
    assert asked == expected


def test_a_full_shuffle_asks_for_nothing(large):
    asked = []
    with HDF5Generator(large, "all", 16, "gender") as generator:
        generator.reader.prefetch = asked.append
        generator.indices(1, 0)
    assert asked == []


_COLD = """
import json, os, sys
from hdf5_helper import HDF5Generator

def read():
    return int(next(line for line in open("/proc/self/io") if line.startswith("read_bytes")).split()[1])

with HDF5Generator(sys.argv[1], "all", 16, "gender", shuffle="blocks") as generator:
    handle = os.open(sys.argv[1], os.O_RDONLY)
    os.fsync(handle)
    os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    before = read()
    count = sum(len(generator.batch(1, step)[0]) for step in range(generator.steps_per_epoch))
    print(json.dumps([read() - before, count * 300 * 300 * 3]))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux says what a process has read")
def test_a_cold_epoch_by_blocks_reads_at_most_a_tenth_more_than_it_uses(large):
    done = subprocess.run(
        [sys.executable, "-c", _COLD, str(large)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    read, used = json.loads(done.stdout)
    if read < used / 2:
        pytest.skip("the page cache of this file system cannot be dropped")
    assert read <= 1.1 * used
