"""Where each flow comes to rest: at the target, or with the bias that the analysis gives it."""

import numpy as np
import pytest

from modeseek.bandit.categorical import closed_forms
from modeseek.bandit.categorical.dynamics import OBJECTIVES, trajectory_numpy
from modeseek.bandit.categorical.methods import best_of_n_distribution, preference_probabilities
from modeseek.bandit.categorical.optimizers import Settings
from modeseek.bandit.categorical.problem import Knobs, from_rewards
from modeseek.bandit.categorical.simplex import policy

REFERENCE = np.array([0.35, 0.3, 0.2, 0.1, 0.05])
REWARDS = np.array([0.1, 0.7, 0.3, 1.0, 0.2])
PROBLEM = from_rewards(REFERENCE, REWARDS, Knobs(beta=0.5, tau=0.8, alpha=0.3))
START = np.array([0.1, 0.2, 0.3, 0.15, 0.25])


@pytest.mark.parametrize(
    "name", ["forward_kl", "reverse_kl", "jensen_shannon", "alpha", "on_policy_reinforce", "on_policy_ppo"]
)
def test_the_target_is_where_they_rest(name):
    at_target = OBJECTIVES[name](PROBLEM).gradient(policy(PROBLEM.log_target))
    np.testing.assert_allclose(at_target, 0, atol=1e-15)
    path = trajectory_numpy(PROBLEM, np.log(START), Settings(step_size=4.0), objective=name, steps=3000)
    np.testing.assert_allclose(np.exp(path[-1]), np.exp(PROBLEM.log_target), atol=1e-9)


def rest(name, problem=PROBLEM, step_size=2.0, steps=4000):
    return np.exp(
        trajectory_numpy(problem, problem.log_reference, Settings(step_size=step_size), objective=name, steps=steps)[-1]
    )


def test_dpo_rests_at_the_optimal_policy_whatever_data_it_sees():
    optimum = np.exp(PROBLEM.log_target)
    skewed = PROBLEM._replace(log_behavior=np.log([0.1, 0.1, 0.1, 0.2, 0.5]))
    for name, problem in (("offline_dpo", PROBLEM), ("offline_dpo", skewed), ("on_policy_dpo", PROBLEM)):
        np.testing.assert_allclose(rest(name, problem, 40.0), optimum, atol=1e-8)


def test_ppo_on_samples_of_one_policy_stops_past_its_clip_on_the_side_that_each_response_is_pulled_to():
    ratios = rest("offline_ppo", steps=400) / REFERENCE
    good = REWARDS > REFERENCE @ REWARDS
    assert (ratios[good] > 1.2).all()
    assert (ratios[~good] < 0.8).all()
    np.testing.assert_array_equal(rest("offline_ppo", steps=500) / REFERENCE, ratios)


def test_offline_rwr_rests_at_the_optimum_only_of_its_data():
    np.testing.assert_allclose(rest("offline_rwr"), np.exp(PROBLEM.log_target), atol=1e-9)
    mu = np.array([0.1, 0.1, 0.1, 0.2, 0.5])
    biased = mu * np.exp(REWARDS / 0.5)
    skewed = PROBLEM._replace(log_behavior=np.log(mu))
    np.testing.assert_allclose(rest("offline_rwr", skewed), biased / biased.sum(), atol=1e-9)


def test_ipo_rests_at_its_own_closed_form_which_depends_on_the_data():
    preferred = preference_probabilities(REWARDS)
    expected = closed_forms.contrastive_rest(REFERENCE, closed_forms.ipo_gain(preferred, REFERENCE, 0.8))
    np.testing.assert_allclose(rest("offline_ipo"), expected, atol=1e-9)
    found = rest("on_policy_ipo")
    own = closed_forms.contrastive_rest(REFERENCE, closed_forms.ipo_gain(preferred, found, 0.8))
    np.testing.assert_allclose(found, own, atol=1e-9)


def test_truncated_data_leaves_the_analysed_bias():
    compared = np.array([True, True, False, True, False])
    mu = np.where(compared, 1 / 3, 0.0)
    truncated = from_rewards(REFERENCE, REWARDS, Knobs(beta=0.5, tau=0.8), behavior=mu)
    expected = closed_forms.contrastive_rest(REFERENCE, REWARDS / 0.5, compared)
    np.testing.assert_allclose(rest("offline_dpo", truncated, 40.0), expected, atol=1e-9)
    with np.errstate(divide="ignore"):
        supervised = rest("offline_rwr", truncated)
    assert supervised[~compared].max() < 1e-3  # supervised learning forgets what the data lacks; DPO keeps it
    assert np.exp(truncated.log_target)[~compared].min() > 0.02


def test_on_policy_supervised_methods_collapse_on_a_best_response():
    for name in ("on_policy_rwr", "on_policy_best_of_n", "on_policy_best_of_n_negative"):
        assert rest(name, steps=1000)[REWARDS.argmax()] > 0.999


def test_offline_negatives_change_nothing_where_best_of_n_leaves_none_above_the_threshold():
    two = from_rewards([0.5, 0.5], [1.0, 0.0], Knobs(draws=4.0, negative_threshold=0.1))
    for kind in ("", "_negative"):
        np.testing.assert_allclose(rest(f"offline_best_of_n{kind}", two, 0.1), [15 / 16, 1 / 16], atol=1e-9)


def test_off_policy_reinforce_runs_away_along_a_fixed_direction():
    # No importance weights, no pull-back: log p_t = log p_0 + η t μ (r - E_μ r) - log Z, to a category that need not
    # be the best one: here 1 (μ A = .3 · .29) and not 3 (.1 · .59).
    steps, eta = 50, 2.0
    path = trajectory_numpy(
        PROBLEM, PROBLEM.log_reference, Settings(step_size=eta), objective="offline_reinforce", steps=steps
    )
    advantage = REFERENCE * (REWARDS - REFERENCE @ REWARDS)
    expected = policy(PROBLEM.log_reference + eta * steps * advantage).log_probs
    np.testing.assert_allclose(path[-1], expected, atol=1e-12)
    assert rest("offline_reinforce", step_size=20.0).argmax() == 1 != REWARDS.argmax()


def test_best_of_n_keeps_tiny_masses_and_shares_ties():
    log_mu = np.log(np.array([1e-300, 0.25, 0.25, 0.5 - 1e-300]))
    best = best_of_n_distribution(log_mu, np.array([1.0, 0.5, 0.5, 0.0]), np.float64(4))
    # P(the top is drawn) = 4e-300; the pair of equals: 1 - (1/2)⁴, halved.
    np.testing.assert_allclose(best[0], np.log(4) + np.log(1e-300), rtol=1e-14)
    np.testing.assert_allclose(np.exp(best[1:]), [15 / 32, 15 / 32, 1 / 16], rtol=1e-14)
    ones = best_of_n_distribution(log_mu, np.array([1.0, 0.5, 0.5, 0.0]), np.float64(1))
    np.testing.assert_allclose(ones, log_mu, rtol=1e-13)
    # In float32 e^-200 is 0, and so is the class's share of the mass below it; in logarithms it is not.
    single = np.array([-200.0, np.log(0.5), np.log(0.5)], np.float32)
    rare = best_of_n_distribution(single, np.array([1.0, 0.5, 0.0], np.float32), np.float32(4))
    np.testing.assert_allclose(rare[0], np.log(4) - 200, rtol=1e-6)
