"""The rule for verdicts: words for intervals, how many seeds they take, and what a reported number's own error does."""

import math

import numpy as np
import pytest
from scipy import stats

from modeseek.bandit.studies.intervals import simultaneous
from modeseek.bandit.studies.verdicts import (
    LEAST_SEEDS,
    MANY_SEEDS,
    Question,
    decide,
    decide_number,
    judge,
    scatters,
    seeds_needed,
)

RNG = np.random.default_rng(0)
MORE = Question("more", 0.02)


def one(values, question=MORE, miss=0.05, **how):
    """The verdict on a single claim."""
    return judge(np.asarray(values)[None], [question], miss, **how)[0]


@pytest.mark.parametrize(
    ("low", "high", "kind", "word"),
    [
        (0.021, 0.5, "more", "reproduced"),
        (-0.5, -0.021, "more", "reversed"),
        (-0.015, 0.015, "more", "not reproduced"),
        (0.001, 0.015, "more", "not reproduced"),
        (-0.015, -0.001, "more", "not reproduced"),
        (0.001, 0.05, "more", "undecided"),
        (-0.05, -0.001, "more", "undecided"),
        (-0.015, 0.05, "more", "undecided"),
        (-0.015, 0.05, "at_least", "reproduced"),
        (-0.5, -0.03, "at_least", "reversed"),
        (-0.03, 0.05, "at_least", "undecided"),
        (-0.5, -0.01, "at_least", "undecided"),
        (-0.015, 0.015, "equal", "reproduced"),
        (0.03, 0.05, "equal", "not reproduced"),
        (-0.05, -0.03, "equal", "not reproduced"),
        (0.0, 0.05, "equal", "undecided"),
        (0.03, 0.05, "can", "reproduced"),
        (-0.05, -0.03, "can", "not seen"),
        (-0.01, 0.015, "can", "not seen"),
        (0.01, 0.03, "can", "undecided"),
    ],
)
def test_words(low, high, kind, word):
    assert decide(low, high, kind, 0.02) == word


def test_too_few_seeds_give_no_verdict_however_clear():
    clear = 0.9 + 1e-6 * RNG.standard_normal(LEAST_SEEDS)
    assert one(clear).word == "reproduced"
    few = one(clear[1:])
    assert few.word == "undecided"
    assert few.wanting == f"undecided, needs {LEAST_SEEDS} seeds"
    assert one(np.full(5, np.nan)).seeds == 0
    assert one(clear[:10], least=10).word == "reproduced"
    assert judge(np.zeros((0, 1)), [], 0.05) == []


def test_that_nothing_is_there_takes_a_hundred_seeds():
    """One run in twenty may be of another kind, and of twenty seeds a third of all sets have none of it."""
    nothing = 1e-4 * RNG.standard_normal(MANY_SEEDS)
    for question, word in (
        (MORE, "not reproduced"),
        (Question("can", 0.02), "not seen"),
        (Question("equal", 0.02), "reproduced"),
    ):
        assert one(nothing, question).word == word
        assert one(nothing[:20], question).wanting == "undecided, needs 100 seeds"
        assert one(nothing[:20], question, least=10).word == word  # of a study that says so
    assert one(nothing[:20], Question("at_least", 0.02)).word == "reproduced"


def test_outcomes_that_scatter_take_a_hundred_seeds():
    """Five of six runs rest at .47 and one reaches the ceiling; or ends lie anywhere between 0 and 1."""
    kinds = np.where(np.arange(24) % 6 == 0, 1.0, 0.47) + 0.01 * RNG.standard_normal(24)
    assert scatters(kinds, 0.02)
    assert scatters(np.append(kinds, np.nan), 0.02)
    assert scatters(np.append(np.full(19, 0.47), 1.0), 0.02)
    assert scatters(np.concatenate([np.zeros(34), np.linspace(0, 1, 39), np.ones(27)]), 0.02)
    assert not scatters(np.linspace(0.3, 0.5, 20), 0.02)
    assert not scatters(np.append(np.full(19, 0.98), 1.0), 0.02)  # a gap that does not matter
    assert not scatters(np.array([0.5]), 0.02)
    values = 0.5 + 0.01 * RNG.standard_normal(MANY_SEEDS)
    question = MORE._replace(scattered=True)
    assert one(values, question).word == "reproduced"
    assert one(values[1:], question).needed >= MANY_SEEDS
    # Normal outcomes of twenty seeds with a spread of three margins: one set in twenty is taken for two kinds.
    assert np.mean([scatters(0.06 * RNG.standard_normal(20), 0.02) for _ in range(4000)]) < 1 / 20


def test_a_reported_number_has_an_error_of_its_own():
    """.725 ± .017 against .82 ± .04: with both errors the distance is less than three of them."""
    distance = 0.725 - 0.82 + 0.017 * np.sqrt(100) * stats.zscore(RNG.standard_normal(100), ddof=1)
    number = Question("equal", 0.03)
    assert one(distance, number, 0.01).word == "not reproduced"
    unsure = one(distance, number._replace(error=0.04), 0.01)
    assert unsure.word == "undecided"
    assert unsure.needed == 1000  # their error is too large for any number of our seeds
    assert one(distance, number._replace(error=0.001), 0.01).word == "not reproduced"
    # A number that is met is met, however unsure its authors were.
    assert decide_number(-0.01, 0.02, 0.005, 0.03, 0.1) == "reproduced"
    assert decide_number(0.2, 0.3, 0.25, 0.03, 0.1) == "not reproduced"
    # Two independent errors add as squares: the lower end is .25 - √(.05² + .12²) = .12, inside of .13 and out of .11.
    assert decide_number(0.2, 0.3, 0.25, 0.13, 0.12) == "undecided"
    assert decide_number(0.2, 0.3, 0.25, 0.11, 0.12) == "not reproduced"


def test_verdicts_follow_from_the_simultaneous_intervals():
    values = np.stack([0.3 + 0.1 * RNG.standard_normal(20), 0.05 + 0.1 * RNG.standard_normal(20)])
    first, second = judge(values, [MORE, MORE], 0.01)
    intervals = simultaneous(values, 0.01)
    assert (first.low, second.high) == (intervals.low[0], intervals.high[1])
    assert (first.low_alone, second.high_alone) == (intervals.low_alone[0], intervals.high_alone[1])
    assert first.word == "reproduced" and second.word == "undecided"
    assert first.effect == pytest.approx(values[0].mean())


def test_seeds_needed_is_the_smallest_that_decides():
    values = np.array([0.1, -0.05, 0.2, 0.0, 0.12])
    n = seeds_needed(values, lambda low, high: decide(low, high, "more", 0.02), 0.05)

    def half(count):
        return stats.t.ppf(0.975, count - 1) * values.std(ddof=1) / math.sqrt(count)

    assert values.mean() - half(n) > 0.02
    assert values.mean() - half(n - 1) <= 0.02


def test_a_lost_seed_is_named_and_many_leave_nothing_to_say():
    values = 0.5 + 0.01 * RNG.standard_normal(MANY_SEEDS)
    few = one(np.where(np.arange(MANY_SEEDS) < 5, np.nan, values))
    assert (few.word, few.counted) == ("reproduced", "95 of 100, the others diverged")
    many = one(np.where(np.arange(MANY_SEEDS) < 6, np.nan, values))
    assert many.wanting == "undecided, too many diverged"
    assert one(np.where(np.arange(20) < 1, np.nan, values[:20])).word == "reproduced"


def test_where_a_few_seeds_stray_more_seeds_of_that_spread_are_not_the_answer():
    """Ninety-nine at .1 and one at 1: the t interval would decide, the seeds themselves would not."""
    verdict = one(np.append(0.1 + 0.001 * RNG.standard_normal(99), 1.0), miss=0.01)
    assert verdict.word == "undecided"
    assert verdict.wanting == "undecided, a few seeds decide it"
