"""The exact flow of any row: against the closed forms that there are, and against a million samples."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from method_cases import HYPER as METHOD_HYPER
from method_cases import every_method

from modeseek.bandit.categorical import methods
from modeseek.bandit.categorical.expected import (
    EXACT,
    Situation,
    advantages,
    enumerated,
    expected_gradient,
    penalized,
)
from modeseek.bandit.categorical.problem import Knobs, from_rewards
from modeseek.bandit.categorical.simplex import policy
from modeseek.bandit.objectives.batch import Batch
from modeseek.bandit.objectives.registry import METHODS

HYPER = dataclasses.replace(METHOD_HYPER, kl_coefficient=0.0)
MU = np.array([0.4, 0.3, 0.2, 0.1])
REFERENCE = np.array([0.1, 0.2, 0.3, 0.4])
POLICY = np.array([0.35, 0.05, 0.25, 0.35])
REWARDS = np.array([0.1, 0.9, 0.5, -0.4])


def _situation(on_policy=False):
    return Situation(*(jnp.asarray(a) for a in (np.log(POLICY if on_policy else MU), np.log(REFERENCE), REWARDS)))


def _flow(name, count, hyper, judged="rewards", on_policy=False):
    situation = _situation(on_policy)
    if not METHODS[name].has_kl_in_its_loss:
        situation = penalized(situation, hyper.kl_coefficient)
    draws = enumerated(situation, count, judged)
    return np.asarray(expected_gradient(METHODS[name], situation, draws, jnp.asarray(np.log(POLICY)), hyper))


def _closed(name, knobs, on_policy=False):
    problem = from_rewards(REFERENCE, REWARDS, knobs, MU)
    side = "on_policy" if on_policy else "offline"
    return methods.METHODS[f"{side}_{name}"](problem).gradient(policy(np.log(POLICY)))


def _deviation(on_policy=False):
    mu = POLICY if on_policy else MU
    return np.sqrt((mu * REWARDS**2).sum() - (mu * REWARDS).sum() ** 2)


@pytest.mark.parametrize("on_policy", [False, True])
@pytest.mark.parametrize(("name", "knobs"), [("dpo", Knobs(beta=HYPER.beta)), ("ipo", Knobs(tau=HYPER.tau))])
def test_preferences_of_two_draws_are_the_contrastive_closed_forms(name, knobs, on_policy, float64):
    """Each pair is drawn in two orders: twice the closed form, whose Σ_ij has each i, j once."""
    hyper = dataclasses.replace(HYPER, reward_gap=0.0)
    flow = _flow(name, 2, hyper, "preferences", on_policy)
    np.testing.assert_allclose(flow, 2 * _closed(name, knobs, on_policy), rtol=1e-9)


@pytest.mark.parametrize("on_policy", [False, True])
@pytest.mark.parametrize("count", [1, 3])
def test_rwr_is_its_closed_form_times_the_mean_weight(on_policy, count, float64):
    """exp(r̄/β) of the standardised reward is exp(r/(β σ)) but for a factor: that of its mean under μ."""
    flow = _flow("rwr", count, HYPER, on_policy=on_policy)
    mu, deviation = (POLICY if on_policy else MU), _deviation(on_policy)
    mean_weight = (mu * np.exp((REWARDS - (mu * REWARDS).sum()) / deviation / HYPER.temperature)).sum()
    closed = _closed("rwr", Knobs(beta=HYPER.temperature * deviation), on_policy)
    np.testing.assert_allclose(flow, mean_weight * closed, rtol=1e-9)


@pytest.mark.parametrize("kl_coefficient", [1e-9, 0.3])
@pytest.mark.parametrize("on_policy", [False, True])
def test_reinforce_is_its_closed_form_divided_by_the_deviation(on_policy, kl_coefficient, float64):
    mu = POLICY if on_policy else MU
    shaped = REWARDS - kl_coefficient * np.log(mu / REFERENCE)
    deviation = np.sqrt((mu * shaped**2).sum() - (mu * shaped).sum() ** 2)
    hyper = dataclasses.replace(HYPER, kl_coefficient=kl_coefficient)
    closed = _closed("reinforce", Knobs(beta=kl_coefficient), on_policy)
    np.testing.assert_allclose(_flow("reinforce", 2, hyper, on_policy=on_policy), closed / deviation, rtol=1e-7)


@pytest.mark.parametrize("kl_coefficient", [1e-9, 0.3])
@pytest.mark.parametrize("clip_epsilon", [0.05, 0.2, 1.5])
@pytest.mark.parametrize("on_policy", [False, True])
def test_ppo_is_its_closed_form_divided_by_the_deviation(on_policy, clip_epsilon, kl_coefficient, float64):
    """Ratios are .875, .17, 1.25 and 3.5: at .05 a bad one and a good one are clipped, at .2 the good one alone."""
    mu = POLICY if on_policy else MU
    shaped = REWARDS - kl_coefficient * np.log(mu / REFERENCE)
    deviation = np.sqrt((mu * shaped**2).sum() - (mu * shaped).sum() ** 2)
    hyper = dataclasses.replace(HYPER, kl_coefficient=kl_coefficient, clip_epsilon=clip_epsilon)
    knobs = Knobs(beta=kl_coefficient, clip_epsilon=clip_epsilon)
    closed = _closed("ppo", knobs, on_policy)
    np.testing.assert_allclose(_flow("ppo", 1, hyper, on_policy=on_policy), closed / deviation, rtol=1e-7)
    if on_policy:
        np.testing.assert_allclose(closed, _closed("reinforce", knobs, on_policy), rtol=1e-12)


@pytest.mark.parametrize("name", ["best_of_n", "best_of_n_negative"])
@pytest.mark.parametrize("count", [2, 4])
def test_the_best_of_all_draws_is_the_order_statistic(name, count, float64):
    weights = {"negative_weight": HYPER.negative_weight, "negative_threshold": HYPER.negative_threshold}
    closed = _closed(name, Knobs(draws=float(count), **weights))
    np.testing.assert_allclose(_flow(name, count, HYPER), closed, rtol=1e-9)


def test_every_draw_is_there_once_and_probabilities_sum_to_1(float64):
    situation = _situation()
    for count, judged in ((1, "rewards"), (3, "rewards"), (2, "preferences")):
        draws = enumerated(situation, count, judged)
        assert float(draws.probabilities.sum()) == pytest.approx(1.0, rel=1e-12)
        outcomes = np.unique(np.column_stack([draws.responses, draws.rewards]), axis=0)
        assert len(outcomes) == 4**count * (2 if judged == "preferences" else 1)
    with pytest.raises(ValueError, match="9 draws of 4 responses have 262144 outcomes"):
        enumerated(situation, 9)
    with pytest.raises(ValueError, match="a preference is of 2 responses, got 3"):
        enumerated(situation, 3, "preferences")


def test_advantages_are_equation_19_of_the_distribution(float64):
    found = np.asarray(advantages(_situation()))
    assert (MU * found).sum() == pytest.approx(0.0, abs=1e-12)
    assert (MU * found**2).sum() == pytest.approx(1.0, rel=1e-12)


@every_method
def test_what_the_data_never_hold_has_no_part_in_the_flow(name, float64):
    """A fourth response of no mass: the other three have the flow that they have where there is no fourth draw."""
    mu = np.array([0.5, 0.3, 0.2, 0.0])
    log_mu = np.log(mu, out=np.full(4, -np.inf), where=mu > 0)
    gradients = []
    for log_behavior in (log_mu, np.where(mu > 0, log_mu, -700.0)):
        situation = Situation(*(jnp.asarray(a) for a in (log_behavior, np.log(REFERENCE), REWARDS)))
        draws = enumerated(situation, 2)
        found = expected_gradient(METHODS[name], situation, draws, jnp.asarray(np.log(POLICY)), HYPER)
        gradients.append(np.asarray(found))
    np.testing.assert_allclose(gradients[0], gradients[1], rtol=1e-9, atol=1e-12)


SAMPLED = dataclasses.replace(HYPER, top_k=1.0, kl_coefficient=0.3)
DRAWN = np.random.default_rng(1).choice(len(MU), (500_000, 2), p=MU)


def _drawn(values):
    return jnp.asarray(np.asarray(values, np.float32)[DRAWN])[:, None, :]


@pytest.mark.slow
@every_method
def test_a_million_samples_estimate_the_flow(name):
    """500 000 prompts of two responses each: every logit's gradient within five standard errors of the enumeration."""
    method = METHODS[name]
    rewards = REWARDS - (0.0 if method.has_kl_in_its_loss else 0.3) * np.log(MU / REFERENCE)
    standardized = (rewards - (MU * rewards).sum()) / np.sqrt((MU * rewards**2).sum() - (MU * rewards).sum() ** 2)

    def counted(log_probs, *others):
        losses, weights = method.objective(Batch(log_probs, *others), SAMPLED, EXACT)
        return (losses * weights).sum(), weights.sum()

    each = jax.jit(jax.vmap(jax.grad(counted, has_aux=True)))
    of_tokens = (_drawn(np.log(p))[..., None] for p in (POLICY, MU, REFERENCE))
    slopes, weights = (np.asarray(a, np.float64) for a in each(*of_tokens, _drawn(rewards), _drawn(standardized)))
    slopes = slopes.reshape(DRAWN.shape)
    in_log_probs = np.stack([(slopes * (k == DRAWN)).sum(axis=1) for k in range(len(MU))], axis=1)
    in_logits = in_log_probs - POLICY * slopes.sum(axis=1, keepdims=True)
    estimate = in_logits.mean(axis=0) / weights.mean()
    errors = (in_logits - estimate * weights[:, None]).std(axis=0) / np.sqrt(len(DRAWN)) / weights.mean()
    exact = _flow(name, 2, SAMPLED)
    assert np.abs(exact).max() > 0.01
    np.testing.assert_array_less(np.abs(estimate - exact), 5 * errors + 1e-6)
