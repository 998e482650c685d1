"""The rule for verdicts against the textbook."""

import math

import numpy as np
import pytest
from scipy import stats

from modeseek.bandit.studies.verdicts import LEAST_SEEDS, decide, interval, judge, seeds_needed

RNG = np.random.default_rng(0)


def test_interval_is_students():
    values = np.array([0.1, 0.3, 0.2, 0.5, 0.4, 0.15])
    for claims in (1, 40):
        theirs = stats.t.interval(1 - 0.05 / claims, 5, values.mean(), stats.sem(values))
        np.testing.assert_allclose(interval(values, claims), theirs, rtol=1e-10)


def test_interval_covers_the_mean_as_often_as_it_says():
    draws = RNG.normal(0.3, 1.0, (4000, 8))
    covered = np.mean([low < 0.3 < high for low, high in map(interval, draws)])
    assert abs(covered - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 4000)


@pytest.mark.parametrize(
    ("low", "high", "kind", "word"),
    [
        (0.01, 0.5, "more", "reproduced"),
        (-0.5, -0.01, "more", "reversed"),
        (-0.015, 0.015, "more", "not reproduced"),
        (0.001, 0.015, "more", "not reproduced"),
        (-0.015, -0.001, "more", "not reproduced"),
        (0.001, 0.05, "more", "reproduced"),
        (-0.015, 0.05, "more", "undecided"),
        (-0.015, 0.05, "at_least", "reproduced"),
        (-0.5, -0.03, "at_least", "reversed"),
        (-0.03, 0.05, "at_least", "undecided"),
        (-0.5, -0.01, "at_least", "undecided"),
        (-0.015, 0.015, "equal", "reproduced"),
        (0.03, 0.05, "equal", "not reproduced"),
        (-0.05, -0.03, "equal", "not reproduced"),
        (0.0, 0.05, "equal", "undecided"),
    ],
)
def test_words(low, high, kind, word):
    assert decide(low, high, kind, 0.02) == word


def test_too_few_seeds_give_no_verdict_however_clear():
    verdict = judge(np.full(LEAST_SEEDS - 1, 0.9) + 1e-6 * RNG.standard_normal(LEAST_SEEDS - 1), "more", 0.02, 40)
    assert verdict.word == "undecided"
    assert verdict.needed == LEAST_SEEDS
    # A diverged seed is no seed.
    assert judge(np.array([0.9, 0.9, 0.9, 0.9, np.nan]), "more", 0.02, 1).word == "undecided"
    assert judge(np.full(5, np.nan), "more", 0.02, 1).seeds == 0


def test_more_claims_never_make_a_verdict_surer():
    values = 0.1 + 0.09 * RNG.standard_normal(6)
    alone, many = judge(values, "more", 0.02, 1), judge(values, "more", 0.02, 50)
    assert many.low < alone.low < alone.high < many.high
    assert many.low_alone == alone.low


def test_seeds_needed_is_the_smallest_that_decides():
    values = np.array([0.1, -0.05, 0.2, 0.0, 0.12])
    n = seeds_needed(values, "more", 0.02, 1)

    def half(count):
        return stats.t.ppf(0.975, count - 1) * values.std(ddof=1) / math.sqrt(count)

    assert values.mean() - half(n) > 0
    assert values.mean() - half(n - 1) <= 0


def test_of_more_seeds_as_many_will_be_lost():
    values = 0.1 + 0.2 * RNG.standard_normal(6)
    whole, lossy = judge(values, "more", 0.02, 10), judge(np.append(values, [np.nan] * 4), "more", 0.02, 10)
    assert whole.word == lossy.word == "undecided"
    assert lossy.needed == math.ceil(whole.needed * 10 / 6)
