"""Interquartile mean, profile and probability of improvement, by hand and by brute force."""

import numpy as np
import pytest

from modeseek.bandit.studies.aggregates import improvement, interquartile_mean, interquartile_mean_of, profile

RNG = np.random.default_rng(0)


def test_the_interquartile_mean_leaves_a_quarter_out_on_either_side():
    assert float(interquartile_mean(np.array([9.0, 1, 2, 3, 4, 5, 6, -50]))) == pytest.approx((2 + 3 + 4 + 5) / 4)
    rows = RNG.standard_normal((7, 20))
    np.testing.assert_allclose(interquartile_mean(rows), np.sort(rows, axis=1)[:, 5:15].mean(1))


def test_its_interval_holds_it_and_shrinks_with_seeds():
    few, many = RNG.standard_normal(20), RNG.standard_normal(500)
    estimates = [interquartile_mean_of(values) for values in (few, many)]
    assert all(low < value < high for value, low, high in estimates)
    assert estimates[1].high - estimates[1].low < (estimates[0].high - estimates[0].low) / 3
    assert str(estimates[0]).count(".") == 3


def test_the_probability_of_improvement_counts_pairs_and_half_of_ties():
    x, y = np.array([1.0, 2, 3]), np.array([2.0, 0, 0, 0])
    by_hand = np.mean([(a > b) + 0.5 * (a == b) for a in x for b in y])
    assert improvement(x, y).value == pytest.approx(by_hand)
    assert improvement(y, x).value == pytest.approx(1 - by_hand)
    apart = improvement(x + 10, y)
    assert apart == (1, 1, 1)
    same = improvement(RNG.standard_normal(100), RNG.standard_normal(100))
    assert same.low < 0.5 < same.high


def test_a_profile_is_the_share_that_gets_so_far():
    assert profile(np.array([0.1, 0.5, 0.9, 1.0]), np.array([0, 0.5, 0.95, 1.01])).tolist() == [1, 0.75, 0.25, 0]
