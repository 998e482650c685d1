"""The rule for verdicts against the textbook, measures by hand, and the catalogue of claims against itself."""

import math

import numpy as np
import pytest
import xarray
from reproduce_cases import fake_cell
from scipy import stats

from modeseek.bandit.studies.contrasts import (
    Term,
    difference,
    difference_of_differences,
    fresh_values,
    level,
    shifted_values,
)
from modeseek.bandit.studies.protocol import QUICK
from modeseek.bandit.studies.reproduce.cells import FIGURES, cells_of
from modeseek.bandit.studies.reproduce.claims import CLAIMS
from modeseek.bandit.studies.reproduce.measures import MEANING, MEASURES, measure
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


def test_measures_on_a_curve_computed_by_hand():
    curves = xarray.Dataset(
        {
            "expected_reward": (("seed", "step"), [[0, 0.2, 0.9, 0.1], [0, 0.5, 0.6, 0.7], [0, 0.1, np.nan, np.nan]]),
            "kl_to_reference": (("seed", "step"), [[0.0, 5, 15, 20], [0, 3, 4, 5], [0, 1, np.nan, np.nan]]),
            "kl_to_behavior": (("seed", "step"), [[0.0, 2, 1, 0], [0, 1, 3, 2], [0, 1, np.nan, np.nan]]),
        },
        coords={"step": [0, 1, 2, 3]},
    )
    # The first curve passes 10 nats halfway between .2 and .9; the second stays below; the third diverged.
    np.testing.assert_allclose(measure(curves, "reward_within_budget"), [0.55, 0.7, np.nan])
    np.testing.assert_allclose(measure(curves, "mean_reward"), [1.15 / 3, 1.45 / 3, np.nan])
    np.testing.assert_allclose(measure(curves, "peak_behavior_kl"), [2, 3, np.nan])
    np.testing.assert_allclose(measure(curves, "final_reward"), [0.1, 0.7, np.nan])
    assert set(MEANING) == set(MEASURES)


def test_contrasts_are_taken_seed_by_seed_on_fresh_seeds():
    a, b, c = (fake_cell(x, 0.05, seed=i) for i, x in enumerate((0.9, 0.5, 0.4)))
    cells = {"a": a, "b": b, "c": c}
    last = lambda d: d["expected_reward"].values[5:, -1].astype(np.float64)
    np.testing.assert_allclose(fresh_values(difference("final_reward", "a", "b"), cells), last(a) - last(b))
    nested = difference_of_differences("final_reward", ("a", "b"), ("b", "c"))
    np.testing.assert_allclose(fresh_values(nested, cells), last(a) - 2 * last(b) + last(c), atol=1e-12)
    np.testing.assert_allclose(fresh_values(level("final_reward", "a", -1.0, 0.3), cells), -last(a) - 0.3)


def test_a_neighbouring_rate_is_the_neighbour_in_size():
    cell = fake_cell(0.5)
    cell["grid_final_reward"] = (("learning_rate", "tuning_seed"), np.outer([1.0, 2.0, 3.0], np.ones(5)))
    one = level("final_reward", "x")
    assert shifted_values(one, {"x": cell}, 1).tolist() == [1.0] * 5  # the grid is stored from large to small
    assert shifted_values(one, {"x": cell}, -1).tolist() == [3.0] * 5
    cell.attrs["learning_rate"] = 0.1
    assert shifted_values(one, {"x": cell}, 1) is None


def test_every_claim_can_be_judged_from_its_figures_cells():
    for claim in CLAIMS.values():
        there = {cell.name for cell in FIGURES[claim.figure]}
        assert set(claim.contrast.cells) <= there, claim.name
        assert {term.measure for term in claim.contrast.terms} <= set(MEASURES)
        assert claim.margin > 0
    assert isinstance(CLAIMS["table3-ppo"].contrast.terms[0], Term)
    # In the quick protocol too: a claim that it cannot judge would look forgotten.
    quick = {name for figure in FIGURES for name in cells_of((figure,), QUICK)}
    assert {name for claim in CLAIMS.values() for name in claim.contrast.cells} <= quick


@pytest.mark.parametrize(
    ("claim", "measured", "high", "low"),
    [
        ("staleness-reward-R1", "expected_reward", "best_of_n-B100-R1", "best_of_n-B1000-R1"),
        ("staleness-kl-R2", "kl_to_behavior", "best_of_n-B1000-R2", "best_of_n-B100-R2"),
        ("staleness-milder-on-R2", "expected_reward", "best_of_n-B100-R1", "best_of_n-B1000-R1"),
        ("staleness-milder-on-R2", "expected_reward", "best_of_n-B1000-R2", "best_of_n-B100-R2"),
        ("reuse-1-over-10", "expected_reward", "rwr-T1-R1", "rwr-T10-R1"),
        ("reuse-ppo-tolerates", "expected_reward", "best_of_n-T1-R1", "best_of_n-T10-R1"),
        ("reuse-ppo-tolerates", "expected_reward", "ppo-T10-R1", "ppo-T1-R1"),
        ("ipo-over-rwr-final-R1", "expected_reward", "ipo-100-steps-R1", "offline_rwr-100-steps-R1"),
        ("ipo-over-rwr-mean-R2", "expected_reward", "ipo-100-steps-R2", "offline_rwr-100-steps-R2"),
        (
            "negative-closes-gap-R1",
            "expected_reward",
            "best_of_n_negative-100-steps-R1",
            "ipo-100-steps-R1",
        ),
        (
            "offline-rwr-over-best_of_n-R2",
            "expected_reward",
            "offline_rwr-100-steps-R2",
            "offline_best_of_n-100-steps-R2",
        ),
        ("reuse-2-over-1", "expected_reward", "rwr-T2-R1", "rwr-T1-R1"),
        ("reuse-costs-ppo-little", "expected_reward", "ppo-T10-R1", "ppo-T1-R1"),
        ("offline-gap-smaller-on-R2-ipo-rwr", "expected_reward", "ipo-100-steps-R1", "ipo-100-steps-R2"),
        ("offline-best-of-n-better-on-R2", "expected_reward", "offline_best_of_n-100-steps-R2", None),
        ("larger-kl-ipo-rwr-R1", "kl_to_reference", "ipo-100-steps-R1", "offline_rwr-100-steps-R1"),
        ("larger-kl-negative-rwr-R2", "kl_to_reference", "best_of_n_negative-100-steps-R2", "offline_rwr-100-steps-R2"),
        ("negative-underperforms-R1", "expected_reward", "ipo-100-steps-R1", "best_of_n_negative-100-steps-R1"),
        ("negative-closes-gap-R1", "expected_reward", "best_of_n_negative-100-steps-R1", "ipo-100-steps-R1"),
        ("offline-trade-off-best_of_n-R1", "expected_reward", "ipo-100-steps-R1", "offline_best_of_n-100-steps-R1"),
        ("displacement-few-chosen", "chosen_implicit_reward", "ipo-5-prompts-R1", None),
        ("displacement-few-rejected", "rejected_implicit_reward", None, "ipo-5-prompts-R1"),
        ("displacement-many-chosen", "chosen_implicit_reward", None, "ipo-100-prompts-R1"),
        ("displacement-many-rejected", "rejected_implicit_reward", None, "ipo-100-prompts-R1"),
        ("displacement-trend", "chosen_implicit_reward", "ipo-5-prompts-R1", "ipo-100-prompts-R1"),
        ("on-policy-ipo-over-ipo-mean-R1", "expected_reward", "on_policy_ipo-R1", "ipo-R1"),
        ("on-policy-ipo-matches-ppo-R2", "expected_reward", "on_policy_ipo-R2", "ppo-R2"),
        ("one-token-best-of-n-over-ipo-R2", "expected_reward", "offline_best_of_n-one-token-R2", "ipo-one-token-R2"),
    ],
)
def test_a_claims_number_is_positive_where_its_words_are_true(claim, measured, high, low):
    """All curves zero but those that the sentence calls higher (at +1) and lower (at -1)."""
    contrast = CLAIMS[claim].contrast
    cells = {name: fake_cell(0.0, 0.0) for name in contrast.cells}
    for name, level_there in ((high, 1.0), (low, -1.0)):
        if name is not None:
            cells[name][measured] = xarray.full_like(cells[name][measured], level_there)
    assert (fresh_values(contrast, cells) > 0).all()
