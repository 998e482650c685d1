"""The paper's measures by hand, and the catalogue of its claims against itself."""

import numpy as np
import pytest
import xarray
from reproduce_cases import fake_cell

from modeseek.bandit.studies.contrasts import fresh_values
from modeseek.bandit.studies.reproduce.claims import TREND_OF_REUSE
from modeseek.bandit.studies.reproduce.measures import (
    EARLY_REWARD,
    FINAL_REWARD,
    MEAN_REWARD,
    MEASURES,
    NATS,
    PEAK_BEHAVIOR_KL,
    PEAK_REWARD,
    REWARD,
    REWARD_WITHIN_BUDGET,
    reward_within,
    steps_to,
)
from modeseek.bandit.studies.reproduce.protocols import QUICK
from modeseek.bandit.studies.reproduce.targets import CLAIMS, STUDY


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
    np.testing.assert_allclose(REWARD_WITHIN_BUDGET(curves), [0.55, 0.7, np.nan])
    np.testing.assert_allclose(MEAN_REWARD(curves), [1.15 / 3, 1.45 / 3, np.nan])
    np.testing.assert_allclose(PEAK_BEHAVIOR_KL(curves), [2, 3, np.nan])
    np.testing.assert_allclose(FINAL_REWARD(curves), [0.1, 0.7, np.nan])
    np.testing.assert_allclose(PEAK_REWARD(curves), [0.9, 0.7, np.nan])
    np.testing.assert_allclose(EARLY_REWARD(curves), MEAN_REWARD(curves))
    late = curves.assign_coords(step=[0, 25, 50, 75])  # lines from 0 to .2 to .9; from 0 to .5 to .6
    np.testing.assert_allclose(EARLY_REWARD(late), [(0.1 + 0.55) / 2, (0.25 + 0.55) / 2, np.nan])
    np.testing.assert_allclose(steps_to(late["expected_reward"], 0.5), [50, 25, np.nan])
    np.testing.assert_allclose(reward_within(curves, 15.0), [0.9, 0.7, np.nan])


def test_every_claim_can_be_judged_from_its_figures_cells():
    for target in STUDY.targets:
        for claim in target.claims:
            assert set(claim.contrast.cells) <= set(target.cells), claim.name
            assert {term.measure for term in claim.contrast.terms} <= set(MEASURES)
            assert claim.margin > 0
    # In the quick protocol too: a claim that it cannot judge would look forgotten. Claims whose rates are tuned for
    # their own measure are left out.
    quick = {cell for target in STUDY.targets for cell in target.cells_under(QUICK)}
    for claim in CLAIMS.values():
        (measure,) = {term.measure for term in claim.contrast.terms}
        own = measure in (REWARD_WITHIN_BUDGET, EARLY_REWARD)
        assert set(claim.contrast.cells) <= quick or own
        tuned_for = {cell.tuned_for for cell in claim.contrast.cells}
        assert tuned_for == ({measure.name} if own else {FINAL_REWARD.name})


def test_each_claim_says_where_and_with_which_words_the_paper_makes_it():
    assert all(claim.quote or claim.source.startswith("ours") for claim in CLAIMS.values())
    assert max(len(claim.quote) for claim in CLAIMS.values()) <= 100


def test_a_trend_is_not_monotone_where_it_surely_rises_and_surely_falls():
    word = lambda *words: TREND_OF_REUSE.word(dict(zip(TREND_OF_REUSE.steps, words, strict=True)))
    assert word("reproduced", "undecided", "undecided", "reversed") == "reproduced"
    assert word("reproduced", "reproduced", "reproduced", "reproduced") == "not reproduced"
    assert word("reversed", "reversed", "reversed", "reversed") == "not reproduced"
    assert word("not reproduced", "not reproduced", "reversed", "reversed") == "undecided"  # small steps add up
    assert word("reproduced", "undecided", "reproduced", "reproduced") == "undecided"
    assert TREND_OF_REUSE.word({}) == "undecided"


def test_effects_too_small_to_matter_follow_from_the_unit():
    """Two hundredths of reward or one nat, but for Table 3, whose numbers have two digits."""
    margins = {name: (claim.contrast.unit, claim.margin) for name, claim in CLAIMS.items()}
    assert margins["staleness-reward-R1"] == (REWARD, 0.02)
    assert margins["ppo-trade-off-R1"] == (REWARD, 0.02)
    assert margins["staleness-kl-R2"] == margins["displacement-trend-R1"] == (NATS, 1.0)
    assert margins["table3-ppo"] == (REWARD, 0.03)


@pytest.mark.parametrize(
    ("claim", "measured", "high", "low"),
    [
        ("staleness-reward-R1", "expected_reward", "best_of_n-B100-R1", "best_of_n-B1000-R1"),
        ("staleness-kl-R2", "kl_to_behavior", "best_of_n-B1000-R2", "best_of_n-B100-R2"),
        ("staleness-milder-on-R2", "expected_reward", "best_of_n-B100-R1", "best_of_n-B1000-R1"),
        ("staleness-milder-on-R2", "expected_reward", "best_of_n-B1000-R2", "best_of_n-B100-R2"),
        ("reuse-slows", "expected_reward", "rwr-T1-R1", "rwr-T10-R1"),
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
        ("offline-gap-smaller-on-R2", "expected_reward", "ipo-100-steps-R1", "ipo-100-steps-R2"),
        ("offline-best-of-n-better-on-R2", "expected_reward", "offline_best_of_n-100-steps-R2", None),
        ("larger-kl-ipo-rwr-R1", "kl_to_reference", "ipo-100-steps-R1", "offline_rwr-100-steps-R1"),
        ("larger-kl-negative-rwr-R2", "kl_to_reference", "best_of_n_negative-100-steps-R2", "offline_rwr-100-steps-R2"),
        ("negative-underperforms-R1", "expected_reward", "ipo-100-steps-R1", "best_of_n_negative-100-steps-R1"),
        ("negative-closes-gap-R1", "expected_reward", "best_of_n_negative-100-steps-R1", "ipo-100-steps-R1"),
        (
            "offline-trade-off-best_of_n-R1",
            "expected_reward",
            "ipo-100-steps-within-10-nats-R1",
            "offline_best_of_n-100-steps-within-10-nats-R1",
        ),
        ("displacement-few-chosen-R1", "chosen_implicit_reward", "ipo-5-prompts-R1", None),
        ("displacement-few-rejected-R1", "rejected_implicit_reward", None, "ipo-5-prompts-R1"),
        ("displacement-many-chosen-R1", "chosen_implicit_reward", None, "ipo-100-prompts-R1"),
        ("displacement-many-rejected-R1", "rejected_implicit_reward", None, "ipo-100-prompts-R1"),
        ("displacement-trend-R1", "chosen_implicit_reward", "ipo-5-prompts-R1", "ipo-100-prompts-R1"),
        ("displacement-many-chosen-R2", "chosen_implicit_reward", None, "ipo-100-prompts-best-rest-R2"),
        ("on-policy-ipo-over-ipo-mean-R1", "expected_reward", "on_policy_ipo-R1", "ipo-R1"),
        ("on-policy-ipo-matches-ppo-R1", "expected_reward", "on_policy_ipo-R1", "ppo-R1"),
        ("on-policy-ipo-over-ppo-early-R1", "expected_reward", "on_policy_ipo-50-steps-R1", "ppo-50-steps-R1"),
        ("on-policy-ipo-over-ipo-peak-R2", "expected_reward", "on_policy_ipo-R2", "ipo-R2"),
        ("ppo-trade-off-R2", "expected_reward", "ppo-within-10-nats-R2", "rwr-within-10-nats-R2"),
        ("one-token-best-of-n-over-ipo-R2", "expected_reward", "offline_best_of_n-one-token-R2", "ipo-one-token-R2"),
    ],
)
def test_a_claims_number_is_positive_where_its_words_are_true(claim, measured, high, low):
    """All curves zero but those that the sentence calls higher (at +1) and lower (at -1)."""
    contrast = CLAIMS[claim].contrast
    cells = {cell: fake_cell(0.0, 0.0) for cell in contrast.cells}
    named = {cell.name: data for cell, data in cells.items()}
    for name, level_there in ((high, 1.0), (low, -1.0)):
        if name is not None:
            named[name][measured] = xarray.full_like(named[name][measured], level_there)
    assert (fresh_values(contrast, cells) > 0).all()
