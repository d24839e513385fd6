import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from hdf5_helper.hashing import hash_integers
from models.augmentation.mixing import mixed, partners, shares

INDICES = np.arange(20_000)


@pytest.mark.parametrize("alpha", [0.05, 0.2, 0.5, 1.0, 4.0])
def test_shares_are_the_larger_part_of_a_beta_distribution(alpha):
    own = shares(alpha, 3, 1, INDICES)
    assert own.dtype == np.float32
    assert (own.min() >= 0.5, own.max() <= 1) == (True, True)
    near = 1 - 2**-12  # nearer to 1 float32 has too few steps to compare
    below = 2 * stats.beta.cdf(near, alpha, alpha) - 1
    spread = own[own < near].astype(float)
    assert abs(len(spread) / len(own) - below) < 0.01
    assert stats.kstest(spread, lambda share: (2 * stats.beta.cdf(share, alpha, alpha) - 1) / below).pvalue > 0.01


@pytest.mark.filterwarnings("error")
def test_the_ends_of_alpha_are_numbers_too():
    assert shares(0.0, 3, 1, INDICES[:3]).tolist() == [1, 1, 1]
    assert (shares(1e-5, 3, 1, INDICES) == 1).mean() > 0.99
    assert shares(1e9, 3, 1, INDICES).max() < 0.501


def test_partners_are_rows_each_equally_likely_and_others_in_another_epoch():
    rows = np.arange(100, 200) * 3
    first, second = (partners(3, epoch, INDICES, rows) for epoch in (1, 2))
    counts = np.bincount(first, minlength=600)[rows]
    assert counts.sum() == 20_000
    assert stats.chisquare(counts).pvalue > 0.01
    assert (first == second).mean() < 0.02


@given(st.lists(st.integers(0, 19_999), min_size=1, max_size=8))
def test_partner_and_share_belong_to_the_example_and_not_to_its_batch(indices):
    rows, some = np.arange(50), np.array(indices)
    assert np.array_equal(partners(3, 2, some, rows), partners(3, 2, INDICES, rows)[some])
    assert np.array_equal(shares(0.2, 3, 2, some), shares(0.2, 3, 2, INDICES)[some])


def test_a_mixture_is_the_weighted_mean_to_the_nearest_integer():
    images = hash_integers(9, np.arange(2 * 50 * 8 * 6 * 3)).astype(np.uint8).reshape(2, 50, 8, 6, 3)
    own = shares(1.0, 3, 1, INDICES[:50])
    own[:2] = 1, 0.5
    wide = own.astype(float)[:, None, None, None]
    expected = np.rint(wide * images[0] + (1 - wide) * images[1])
    result = mixed(images[0].copy(), images[1], own)
    assert np.array_equal(result[0], images[0][0])
    assert np.array_equal(result[1], expected[1])
    assert np.abs(result - expected).max() <= 1
    assert (result == expected).mean() > 0.999
