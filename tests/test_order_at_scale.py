"""A thousand replicas that share each global batch: every example once, at a cost that nobody notices."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdf5_helper.reading.generator import HDF5Generator
from hdf5_helper.reading.order import Order

REPLICAS = 1000
SHUFFLES = ["full", "blocks", None]

shuffles = pytest.mark.parametrize("shuffle", SHUFFLES)


@shuffles
def test_a_thousand_replicas_take_every_example_of_an_epoch_once(shuffle):
    """Two million examples in batches of 64,000: an epoch leaves out 16,000 under a shuffle, and none without one."""
    order = Order(np.arange(2_000_000), 64_000, seed=3, shuffle=shuffle)
    given = np.zeros(2_000_000, np.int64)
    for replica in range(REPLICAS):
        for step in range(order.steps_per_epoch):
            given[order.batch(1, step, replica, REPLICAS)] += 1
    assert np.bincount(given).tolist() == ([16_000, 1_984_000] if shuffle else [0, 2_000_000])


@shuffles
def test_a_replicas_share_of_a_large_batch_takes_less_than_a_millisecond_a_step(shuffle):
    order = Order(np.arange(2_000_000), 64_000, seed=3, shuffle=shuffle)
    places = [(epoch, step) for epoch in range(1, 11) for step in range(order.steps_per_epoch)]
    begun = time.perf_counter()
    for epoch, step in places:
        order.batch(epoch, step, REPLICAS - 1, REPLICAS)
    assert (time.perf_counter() - begun) / len(places) < 1e-3


@given(
    n=st.integers(1, 600),
    share=st.integers(1, 40),
    replicas=st.integers(1, 12),
    shuffle=st.sampled_from(SHUFFLES),
    data=st.data(),
)
def test_the_shares_of_all_replicas_are_the_batch_of_one(n, share, replicas, shuffle, data):
    batch_size = min(share * replicas, n // replicas * replicas) if shuffle else share * replicas
    if not batch_size:
        return
    order, alone = (Order(np.arange(n) * 3, batch_size, seed=5, shuffle=shuffle, block_rows=7) for _ in range(2))
    step = data.draw(st.integers(0, order.steps_per_epoch - 1))
    shares = [order.batch(2, step, replica, replicas) for replica in range(replicas)]
    assert np.concatenate(shares).tolist() == alone.batch(2, step).tolist()


@shuffles
def test_generators_of_a_thousand_replicas_give_the_order_of_one(packed, shuffle):
    file = packed("agegender", count=2100, side=16, storage="raw", image_size=(16, 16))
    with HDF5Generator(file, "all", 1000, "age", shuffle=shuffle, replicas=REPLICAS) as generator:
        generators = []
        for step in range(generator.steps_per_epoch):
            shares = []
            for generator.replica in range(REPLICAS):
                shares.append(generator.indices(1, step))
            generators.append(np.concatenate(shares).tolist())
        assert generators == [generator.order.batch(1, step).tolist() for step in range(generator.steps_per_epoch)]
        assert sum(map(len, generators)) == len(set().union(*generators)) == (2000 if shuffle else 2100)
