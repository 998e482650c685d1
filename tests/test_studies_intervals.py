"""Intervals against the textbook, against brute force, and against how often they miss."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from modeseek.bandit.studies import intervals
from modeseek.bandit.studies.intervals import simultaneous, student

RNG = np.random.default_rng(0)


def test_students_interval_is_students():
    values = np.array([0.1, 0.3, 0.2, 0.5, 0.4, 0.15])
    theirs = stats.t.interval(0.95, 5, values.mean(), stats.sem(values))
    np.testing.assert_allclose(student(values), theirs, rtol=1e-10)
    assert student(values[:1]) == (-math.inf, math.inf)


def test_the_bootstrap_of_four_seeds_is_the_enumeration_of_all_its_draws():
    """All 4⁴ = 256 draws with replacement; |t*| of each by the formula, and its 95 % quantile."""
    values = np.array([0.1, 0.35, 0.5, 0.9])
    strayed = []
    for draw in itertools.product(range(4), repeat=4):
        y = values[list(draw)]
        spread = y.std(ddof=1)
        strayed.append(np.inf if spread == 0 else 2 * abs(y.mean() - values.mean()) / spread)
    # A miss between what two neighbouring values of |t*| leave beyond them, so that 20 000 draws cannot mix them up.
    distinct = np.unique(np.round(strayed, 9))
    beyond = np.array([np.mean(np.asarray(strayed) > value + 1e-9) for value in distinct])
    at = int(np.argmin(np.abs(beyond - 0.15)))
    miss = (beyond[at] + beyond[at - 1]) / 2
    assert beyond[at - 1] - beyond[at] > 0.01
    found = simultaneous(values[None], miss)
    half = distinct[at] * values.std(ddof=1) / 2
    np.testing.assert_allclose(found.high - values.mean(), half, rtol=1e-6)
    np.testing.assert_allclose(values.mean() - found.low, half, rtol=1e-6)
    # At 1 % none of the finite ones suffices.
    assert simultaneous(values[None], miss=0.01).high[0] > 1e3


def test_intervals_are_about_the_mean_scale_with_the_unit_and_are_always_the_same():
    values = RNG.standard_normal((3, 20))
    found = simultaneous(values, 0.02)
    np.testing.assert_allclose((found.low + found.high) / 2, values.mean(1), atol=1e-12)
    scaled = simultaneous(7 - 100 * values, 0.02)
    np.testing.assert_allclose(scaled.high, 7 - 100 * found.low, rtol=1e-5)
    again = simultaneous(values, 0.02)
    np.testing.assert_array_equal(found.low, again.low)


def test_other_draws_give_no_narrower_interval_than_ours(monkeypatch):
    """The bootstrap's own chance is on the safe side: of ten other sets of draws none is wider by more than a tenth."""
    values = np.where(RNG.random((1, 40)) < 0.2, 1.0, 0.4) + 0.05 * RNG.standard_normal((1, 40))
    ours = simultaneous(values, 0.002)
    monkeypatch.setattr(intervals, "GUARD", 0.0)
    widths = []
    for seed in range(1, 6):
        monkeypatch.setattr(intervals, "SEED", seed)
        other = simultaneous(values, 0.002)
        widths.append(float((other.high - other.low)[0]))
    assert max(widths) <= float((ours.high - ours.low)[0])


def test_ranks_are_from_above_and_equal_draws_have_that_of_the_last():
    t = np.array([3.0, 1.0, np.inf, 3.0, np.inf, 0.5], np.float32)
    draws, ordered, ranks = intervals._far(t, 6)
    np.testing.assert_array_equal(t[draws], ordered)
    np.testing.assert_array_equal(ordered, np.array([0.5, 1, 3, 3, np.inf, np.inf], np.float32))
    np.testing.assert_array_equal(ranks, [6, 5, 4, 4, 2, 2])
    draws, ordered, ranks = intervals._far(t, 3)  # of equal ones all or none
    np.testing.assert_array_equal(np.sort(draws), [0, 2, 3, 4])
    np.testing.assert_array_equal(ranks, [4, 4, 2, 2])


@pytest.mark.parametrize("kind", ["plain", "ties", "lost", "constant"])
def test_draws_that_do_not_stray_far_change_nothing(kind: str):
    """Intervals from the far draws alone are those from all of them, ranked by counting, to the bit."""
    values = RNG.standard_normal((5, 20))
    if kind == "ties":
        values = np.round(values)
    elif kind == "lost":
        values = np.where(RNG.random(values.shape) < 0.1, np.nan, values)
    elif kind == "constant":
        values[:2] = 0.3
    present = np.isfinite(values)
    count = present.sum(axis=1)
    mean = np.where(present, values, 0.0).sum(axis=1) / count
    centred = np.where(present, values - mean[:, None], 0.0)
    spread = np.sqrt((centred**2).sum(axis=1) / (count - 1))
    t = intervals._strayed(centred, present)
    ordered = np.sort(t, axis=1)
    ranks = np.stack([len(each) - np.searchsorted(up, each) for each, up in zip(t, ordered, strict=True)])
    worst = np.sort(ranks.min(axis=0))
    for miss in (0.05, 0.004, 0.9):
        found = simultaneous(values, miss)
        for high, draws in ((found.high, miss), (found.high_alone, 0.05)):
            rank = intervals._guarded(draws * len(worst))
            rank = int(worst[rank]) - 1 if high is found.high else rank
            half = np.where(spread > 0, ordered[:, len(worst) - 1 - rank], 0.0) * spread / np.sqrt(count)
            np.testing.assert_array_equal(high, mean + half)


def test_a_twin_costs_nothing_and_another_claim_does():
    """The same numbers twice, or mirrored, are one question; an independent claim widens all intervals."""
    values = RNG.standard_normal((1, 30))
    alone = simultaneous(values, 0.02)
    mirrored = simultaneous(np.concatenate([values, -values]), 0.02)
    np.testing.assert_allclose(mirrored.high[0], alone.high[0], rtol=1e-6)
    np.testing.assert_allclose(mirrored.low[1], -alone.high[0], rtol=1e-6)
    joined = simultaneous(np.concatenate([values, RNG.standard_normal((9, 30))]), 0.02)
    assert joined.high[0] > alone.high[0]
    np.testing.assert_allclose(joined.high_alone[0], alone.high_alone[0])


def test_claims_of_any_size_are_treated_alike():
    """Ten claims of one law, scales from 1e-3 to 1e3: in units of their own spread their intervals are equally wide."""
    scales = np.logspace(-3, 3, 10)[:, None]
    values = scales * RNG.standard_normal((10, 60))
    found = simultaneous(values, 0.05)
    width = (found.high - found.low) / values.std(1, ddof=1)
    assert width.max() / width.min() < 1.4


def test_a_seed_without_a_number_is_left_out():
    values = RNG.standard_normal((1, 25))
    lossy = np.concatenate([values, np.full((1, 5), np.nan)], axis=1)
    whole, left = simultaneous(values, 0.05), simultaneous(lossy, 0.05)
    assert (left.low + left.high)[0] / 2 == pytest.approx(values.mean())
    assert (left.high - left.low)[0] == pytest.approx((whole.high - whole.low)[0], rel=0.1)
    nothing = simultaneous(np.full((1, 5), np.nan), 0.05)
    assert nothing.low[0] == -np.inf and nothing.high[0] == np.inf
    single = simultaneous(np.array([[1.0, np.nan]]), 0.05)
    assert single.low[0] == -np.inf


def test_outcomes_that_are_all_equal_leave_no_doubt_that_seeds_could_show():
    found = simultaneous(np.full((1, 20), 0.25), 0.01)
    assert found.low[0] == found.high[0] == 0.25


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(intervals, "DRAWS", 1000)


def test_simultaneous_intervals_miss_as_rarely_as_they_say_where_claims_share_cells(quick):
    """Differences of four normal cells, six claims at once, twenty seeds: one or more misses in 5 % of 600 studies."""
    missed = 0
    for _ in range(600):
        cells = RNG.standard_normal((4, 20)) * np.array([[0.1], [1], [2], [5]])
        pairs = np.stack([cells[i] - cells[j] for i, j in itertools.combinations(range(4), 2)])
        found = simultaneous(pairs, 0.05)
        missed += bool(((found.low > 0) | (found.high < 0)).any())
    # Four standard errors of a share of 600, and the bootstrap's own error at twenty seeds.
    assert missed / 600 < 0.05 + 4 * math.sqrt(0.05 * 0.95 / 600)


def test_of_outcomes_of_two_kinds_the_bootstrap_misses_less_often_than_students_t(quick):
    """One run in ten reaches the ceiling. Where one in a hundred may miss, t misses seven times as often."""
    missed = {"student": 0, "bootstrap": 0}
    for _ in range(800):
        values = np.where(RNG.random(40) < 0.1, 1.0, 0.47) + 0.005 * RNG.standard_normal(40)
        truth = 0.47 + 0.053
        half = stats.t.ppf(0.995, 39) * values.std(ddof=1) / math.sqrt(40)
        missed["student"] += abs(values.mean() - truth) > half
        found = simultaneous(values[None], 0.01)
        missed["bootstrap"] += not found.low[0] <= truth <= found.high[0]
    assert missed["student"] / 800 > 0.04
    # What is left is sets without any run at the ceiling, .9⁴⁰ = 1.5 %: no rule can see them.
    assert missed["bootstrap"] / 800 < 0.9**40 + 4 * math.sqrt(0.9**40 / 800)
