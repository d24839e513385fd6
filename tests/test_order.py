import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdf5_helper.errors import FacetError
from hdf5_helper.hashing import hash_integer, hash_integers, splitmix64, uniform
from hdf5_helper.reading.order import Order, permute, positions_of


def test_splitmix64_gives_the_published_sequence_for_seed_1234567():
    # Vigna's splitmix64.c, state advanced by the golden gamma at each call
    states = np.uint64(1234567) + np.uint64(0x9E3779B97F4A7C15) * np.arange(5, dtype=np.uint64)
    assert splitmix64(states).tolist() == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


def test_hashes_are_the_same_for_ever():
    assert hash_integer(1, 2, 3) == 15020427595393229491
    assert hash_integers(7, np.arange(3)).tolist() == [hash_integer(7, i) for i in range(3)]


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=50))
def test_uniform_lies_in_zero_to_one(hashes):
    values = uniform(np.array(hashes, np.uint64))
    assert ((values >= 0) & (values < 1)).all()


#: (key, n, positions, values), written down once: a resumed run must find its order again in every later version.
GOLDEN = [
    (42, 10, range(10), [4, 6, 9, 5, 7, 2, 3, 1, 0, 8]),
    (0, 1, [0], [0]),
    (0, 2, [0, 1], [0, 1]),
    (2**64 - 1, 17, range(17), [13, 12, 16, 7, 14, 5, 2, 1, 9, 10, 15, 11, 6, 3, 8, 4, 0]),
    (7, 200_000, [0, 1, 2, 199_999], [64478, 105574, 165220, 58841]),
    (7, 10_000_000, [0, 1, 9_999_999], [7207390, 9641117, 952512]),
    (123456789, 2**40, [0, 1, 2**40 - 1], [357371636334, 370599646485, 965652967552]),
]


@pytest.mark.parametrize(("key", "n", "positions", "values"), GOLDEN)
def test_permutations_are_the_same_for_ever(key, n, positions, values):
    assert permute(key, n, np.array(positions)).tolist() == values


@pytest.mark.parametrize(
    ("n", "batch", "seed", "epoch", "step", "first"),
    [
        (1000, 8, 3, 1, 0, [930, 631, 699, 486, 883, 854, 17, 971]),
        (1000, 8, 3, 1, 124, [38, 358, 290, 341, 535, 880, 492, 780]),
        (1000, 8, 3, 2, 0, [465, 362, 808, 408, 157, 752, 101, 929]),
        (200_000, 64, -1, 7, 3124, [195553, 59795, 100433, 176262, 167788, 155206]),
    ],
)
def test_the_full_order_is_the_same_for_ever(n, batch, seed, epoch, step, first):
    assert Order(np.arange(n), batch, seed).batch(epoch, step)[: len(first)].tolist() == first


@given(key=st.integers(0, 2**64 - 1), n=st.integers(1, 3000))
def test_permutation_hits_every_value_once(key, n):
    assert sorted(permute(key, n, np.arange(n))) == list(range(n))


@given(key=st.integers(0, 2**64 - 1), n=st.integers(1, 3000))
def test_a_permutation_is_undone(key, n):
    assert positions_of(key, n, permute(key, n, np.arange(n))).tolist() == list(range(n))


def test_the_order_by_blocks_is_the_same_for_ever():
    order = Order(np.arange(1003), 7, seed=5, shuffle="blocks", block_rows=50)
    assert [order.batch(2, step).tolist() for step in (0, 58, 142)] == [
        [652, 780, 209, 670, 597, 46, 43],
        [829, 497, 817, 816, 701, 723, 975],
        [603, 637, 449, 95, 423, 129, 89],
    ]


def test_the_order_by_blocks_of_a_large_split_is_the_same_for_ever():
    order = Order(np.arange(200_000), 64, shuffle="blocks", block_rows=490)
    assert order.batch(1, 0)[:6].tolist() == [60584, 82421, 60304, 165173, 54585, 82646]
    assert order.batch(9, 3124)[-6:].tolist() == [89383, 89667, 89375, 89209, 89577, 89617]


@pytest.mark.parametrize("shuffle", ["full", "blocks"])
def test_any_step_of_two_hundred_thousand_rows_takes_less_than_half_of_ordering_them_all(shuffle):
    rows = np.arange(200_000)
    order = Order(rows, 64, shuffle=shuffle, block_rows=490)
    for step in (0, 1, 1562, 3124):
        # In turns, and the best of ten: other processes may be busy.
        one, every = [], []
        for epoch in range(1, 11):
            one.append(_seconds(order.batch, epoch, step))
            every.append(_seconds(permute, epoch, rows.size, rows))
        assert min(one) < min(every) / 2


def _seconds(function, *arguments):
    started = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - started


@given(
    n=st.integers(1, 400),
    batch=st.integers(1, 50),
    block=st.integers(1, 60),
    epoch=st.integers(1, 5),
)
def test_a_window_holds_the_rows_of_its_steps_and_all_windows_hold_every_row_once(n, batch, block, epoch):
    order = Order(np.arange(n) * 3, min(batch, n), seed=4, shuffle="blocks", block_rows=block)
    windows = [order.window_rows(epoch, window).tolist() for window in range(-(-n // (8 * block)))]
    assert sorted(row for rows in windows for row in rows) == list(range(0, 3 * n, 3))
    assert order.window_rows(epoch, len(windows)).tolist() == []
    for step in range(order.steps_per_epoch):
        last = order.window(epoch, step)
        assert 0 <= last < len(windows)
        assert order.batch(epoch, step)[-1] in windows[last]


def test_a_full_epoch_mixes_rows_from_everywhere_into_every_part():
    n = 64_000
    order = Order(np.arange(n), 64, seed=1)
    rows = np.concatenate([order.batch(1, step) for step in range(order.steps_per_epoch)])
    table = np.bincount(np.arange(n) // 1000 * 64 + rows // 1000, minlength=64 * 64).reshape(64, 64)
    expected = 1000 / 64
    # chi square with 63² degrees of freedom: mean 3,969, standard deviation 89
    assert abs(((table - expected) ** 2 / expected).sum() - 63 * 63) < 5 * np.sqrt(2 * 63 * 63)
    assert abs(np.corrcoef(rows[:-1], rows[1:])[0, 1]) < 5 / np.sqrt(n)


def test_an_epoch_by_blocks_takes_every_row_once_where_the_batch_divides_them():
    for n, block in ((96, 7), (96, 8), (96, 95), (96, 200), (1000, 3)):
        order = Order(np.arange(n), 8, seed=1, shuffle="blocks", block_rows=block)
        rows = np.concatenate([order.batch(3, step) for step in range(order.steps_per_epoch)])
        assert sorted(rows.tolist()) == list(range(n))


def test_a_batch_by_blocks_takes_no_longer_with_a_thousand_times_as_many_blocks():
    def seconds(n: int) -> float:
        order = Order(np.arange(n), 64, shuffle="blocks", block_rows=8)
        order.batch(1, 0)
        times = []
        for step in range(20):
            started = time.perf_counter()
            order.batch(1, step * 7)
            times.append(time.perf_counter() - started)
        return min(times)

    assert seconds(8_000_000) < 5 * seconds(8_000)


@given(key=st.integers(0, 2**64 - 1), n=st.integers(1, 10**9), position=st.integers(0, 10**9))
def test_a_position_has_its_value_without_its_neighbours(key, n, position):
    position %= n
    together = permute(key, n, np.array([0, position, n - 1]))
    assert permute(key, n, np.array([position]))[0] == together[1]


@given(
    n=st.integers(1, 400),
    batch=st.integers(1, 50),
    block=st.integers(1, 60),
    shuffle=st.sampled_from(["full", "blocks"]),
    epoch=st.integers(1, 5),
)
def test_a_shuffled_epoch_has_full_batches_without_repeats(n, batch, block, shuffle, epoch):
    batch = min(batch, n)
    order = Order(np.arange(n) * 3, batch, seed=9, shuffle=shuffle, block_rows=block)
    batches = [order.batch(epoch, step) for step in range(order.steps_per_epoch)]
    together = np.concatenate(batches)
    assert [len(b) for b in batches] == [batch] * (n // batch)
    assert len(set(together.tolist())) == len(together)
    assert set(together.tolist()) <= set(range(0, 3 * n, 3))


def test_unshuffled_order_is_the_rows_own_with_a_smaller_last_batch():
    order = Order(np.array([5, 3, 9]), 2, shuffle=None)
    assert [order.batch(1, step).tolist() for step in range(order.steps_per_epoch)] == [[5, 3], [9]]


def test_epochs_and_seeds_differ():
    rows = np.arange(1000)
    batches = {tuple(Order(rows, 8, seed).batch(epoch, 0)) for seed in range(5) for epoch in range(1, 6)}
    assert len(batches) == 25


def test_each_example_is_left_out_about_equally_often():
    order = Order(np.arange(10), 3, seed=1)
    seen = np.zeros(10, int)
    for epoch in range(1, 1001):
        for step in range(order.steps_per_epoch):
            seen[order.batch(epoch, step)] += 1
    assert seen.sum() == 9000
    assert seen.min() > 850  # 900 expected, standard deviation 9.5


def test_blocks_are_read_together():
    order = Order(np.arange(100_000), 64, seed=1, shuffle="blocks", block_rows=500)
    rows = np.concatenate([order.batch(1, step) for step in range(60)])
    assert len(set((rows // 500).tolist())) == 8  # 3,840 rows come from one window of eight blocks


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"batch_size": 5}, "batch_size 5: only 4 examples to take it from"),
        ({"batch_size": 0}, "batch_size must be at least 1, found 0"),
        (
            {"batch_size": 2, "shuffle": "ful"},
            "shuffle 'ful': expected one of blocks, full (did you mean 'full'?), or None",
        ),
    ],
)
def test_an_order_that_gives_no_batch_is_refused(arguments, sentence):
    with pytest.raises(FacetError) as error:
        Order(np.arange(4), **arguments)
    assert str(error.value) == sentence
