"""DPO against PPO on a learnt reward: the two classes of optima, and that both are trained towards the same optimum."""

import dataclasses

import numpy as np
import pytest
import xarray
from scipy.special import log_softmax

from modeseek.bandit.categorical.closed_forms import contrastive_rest, regularised_mass
from modeseek.bandit.studies.followups.followup import TWENTY
from modeseek.bandit.studies.followups.moving_references import Moving, gold_at
from modeseek.bandit.studies.followups.moving_references import experiment as moving_experiment
from modeseek.bandit.studies.followups.partial_coverage import COVERED, Training, experiment
from modeseek.bandit.studies.followups.policy_classes import (
    REFERENCES,
    Classes,
    distance_to_ppo,
    dpo_excess,
    enumerated,
    ppo_optimum,
)

SETUP = Classes(preferred=0.7, beta=0.4)
FULL = np.log([0.5, 0.3, 0.2])


def test_a_ppo_optimum_is_a_stationary_point_of_dpo_and_its_loss_the_entropy_of_a_comparison():
    """By finite differences over all three logits, whatever the reward of the answer that nothing is known of."""
    for unseen in (-3.0, 0.0, 5.0):
        logits = ppo_optimum(FULL, unseen, SETUP)
        assert dpo_excess(logits, FULL, SETUP) == pytest.approx(0, abs=1e-15)
        for direction in np.eye(3):
            up, down = (dpo_excess(log_softmax(logits + s * 1e-3 * direction), FULL, SETUP) for s in (1, -1))
            assert up == pytest.approx(down, abs=1e-10)
    moved = log_softmax(ppo_optimum(FULL, 0.0, SETUP) + np.array([0.5, 0.0, 0.0]))
    margin = np.log(0.7 / 0.3) + 0.5 * SETUP.beta
    chance = 1 / (1 + np.exp(-margin))
    divergence = 0.7 * np.log(0.7 / chance) + 0.3 * np.log(0.3 / (1 - chance))
    assert dpo_excess(moved, FULL, SETUP) == pytest.approx(divergence, rel=1e-10)


def test_the_nearest_ppo_optimum_is_what_a_search_over_the_unseen_reward_finds():
    """Of policies with the ratio that all optima have, and where the reference leaves an answer out."""
    ratio = np.exp(np.diff(ppo_optimum(FULL, 0.0, SETUP)[1::-1])[0])
    policy = np.log(np.array([0.4 * ratio / (1 + ratio), 0.4 / (1 + ratio), 0.6]))
    searched = min(
        np.abs(np.exp(policy) - np.exp(ppo_optimum(FULL, unseen, SETUP))).sum() / 2
        for unseen in np.linspace(-5, 5, 1001)
    )
    assert distance_to_ppo(policy, FULL, SETUP) == pytest.approx(searched, abs=5e-3)
    assert distance_to_ppo(policy, FULL, SETUP) == pytest.approx(0, abs=1e-12)
    with np.errstate(divide="ignore"):
        partial = np.log([0.6, 0.4, 0.0])
    assert distance_to_ppo(np.log([0.2, 0.2, 0.6]), partial, SETUP) >= 0.6


def test_all_of_it_is_enumerated_and_dpos_optima_are_optima():
    data = enumerated(Classes(), TWENTY)
    assert float(np.abs(data["excess"]).max()) < 1e-12
    assert float(np.abs(data["dpo_excess"]).max()) < 1e-12
    full, partial = (data["distance"].sel(reference=name).values for name in REFERENCES)
    np.testing.assert_allclose(full, 0, atol=1e-12)
    np.testing.assert_allclose(partial, data["unseen_mass"], atol=1e-12)  # no optimum of PPO gives it any


def test_dpo_and_ppo_are_trained_towards_one_optimum_where_every_response_is_compared():
    """DPO's β and PPO's: the closed forms of both rests agree, from the numbers that the experiments hold."""
    dpo, ppo = (experiment(setup, 5, 2) for setup in (Training("dpo", kl=0.5), Training("ppo", "gpt", kl=0.5)))
    reference, rewards = np.array([0.5, 0.3, 0.2]), np.array([0.1, 0.9, 0.4])
    implicit = rewards / (dpo.hyper.label_temperature * dpo.hyper.beta)
    expected = regularised_mass(reference, rewards, ppo.hyper.kl_coefficient)
    np.testing.assert_allclose(contrastive_rest(reference, implicit), expected, rtol=1e-12)
    assert dpo.behaviors == ppo.behaviors == (f"between:0:{COVERED - 1}",)
    assert (dpo.algorithm.gradient_steps, ppo.algorithm.gradient_steps) == (300, 300)
    assert dpo.algorithm.samples_per_collection == 2 * ppo.reward_model.comparisons
    assert (dpo.reward_model.kind, dpo.hyper.kl_coefficient) == ("none", 0.0)
    fits = [experiment(Training("ppo", "tabular", fit_rate=rate), 5, 2).reward_model for rate in (None, 0.03)]
    assert [fit.learning_rate for fit in fits] == [ppo.reward_model.learning_rate, 0.03]
    free = experiment(Training("ppo", "gpt", kl=0.0), 5, 2)
    assert free.hyper.kl_coefficient == 0


def test_dpo_in_rounds_has_the_comparisons_and_the_steps_of_one_data_set():
    """And no more: what differs is who samples, when, and whether the reference moves."""
    arms = {arm: moving_experiment(Moving(arm), (1e-3,), 5, 2) for arm in ("one-shot", "own", "rounds")}
    iterated = moving_experiment(Moving("rounds", every=1), (1e-3,), 5, 2)
    for each in (*arms.values(), iterated):
        sampled_once = not each.variants[0].on_policy
        samples = each.algorithm.samples_per_collection * (1 if sampled_once else each.algorithm.collections)
        assert (samples, each.algorithm.gradient_steps, each.algorithm.minibatch_size) == (2000, 300, 200)
        assert each.conventions.reference_model == "initial_policy"
    assert [each.behaviors for each in arms.values()] == [("between:0:49",), ("reference",), ("reference",)]
    assert arms["rounds"] == dataclasses.replace(iterated, reference_every=0)
    average = moving_experiment(Moving("ppo", every=1, decay=0.99, peak=40), (1e-3,), 5, 2)
    assert (average.reference_every, average.reference_decay, average.hyper.kl_coefficient) == (1, 0.99, 0.5)


def test_gold_at_a_kl_lies_on_the_line_between_two_evaluations():
    """.4 → .6 nats, .2 → .6 gold: .4 at .5 nats, on the way there and not back. One never gets there, one diverges."""
    kl = [[0.0, 0.4, 0.6, 0.1], [0.0, 0.1, 0.2, 0.3], [0.0, 0.4, np.nan, np.nan]]
    gold = [[0.0, 0.2, 0.6, 0.9], [0.0, 0.1, 0.2, 0.3], [0.0, 0.2, np.nan, np.nan]]
    curves = xarray.Dataset({"kl": (("seed", "step"), kl), "gold": (("seed", "step"), gold)}, {"seed": [7, 8, 9]})
    np.testing.assert_allclose(gold_at(curves, 0.5), [0.4, 0.3, np.nan])
    np.testing.assert_allclose(gold_at(curves, 0.0)[:2], 0.0)
