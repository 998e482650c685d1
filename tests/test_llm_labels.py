"""Labels of a collection from arrays alone: rewards, advantages of responses or tokens, the KL coefficient after it."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from modeseek.bandit.objectives.advantages import RunningMoments
from modeseek.bandit.objectives.batch import HyperParameters
from modeseek.llm.training.labels import TokenScores, label
from modeseek.llm.training.tune_config import KLControl, TuneConfig, ValueConfig

P, N, T = 3, 2, 4
CONFIG = TuneConfig(
    "reinforce", 6, 2, 6, hyper=HyperParameters(kl_coefficient=0.5, mixture=0.0), kl=KLControl(target=2.0, horizon=12)
)
PPO = dataclasses.replace(CONFIG, method="ppo")
RNG = np.random.default_rng(3)
REAL = np.array([[True, True], [True, True], [True, False]])
MASK = (np.arange(T) < np.array([[4, 1], [2, 3], [3, 4]])[..., None]) & REAL[..., None]
REWARDS, VALUES = RNG.normal(size=(P, N)), np.where(MASK, RNG.normal(size=(P, N, T)), 0.0)
POLICY, REFERENCE = (np.where(MASK, -RNG.exponential(size=(P, N, T)), 0.0) for _ in range(2))


def labelled(config, values=None, sampled=(True, True, True), rewards=REWARDS):
    as_array = lambda a: jnp.asarray(a, jnp.float32)
    scores = TokenScores(
        jnp.asarray(MASK), as_array(POLICY), as_array(REFERENCE), None if values is None else as_array(values)
    )
    beta = jnp.float32(config.hyper.kl_coefficient)
    given = as_array(rewards), jnp.asarray(REAL), np.array(sampled)
    return label(config, *given, scores, RunningMoments.empty(), beta)


def test_without_a_value_function_the_kl_is_in_the_rewards_that_are_standardised():
    found, _ = labelled(CONFIG)
    shaped = REWARDS - 0.5 * (POLICY - REFERENCE).sum(-1)
    np.testing.assert_allclose(found.rewards[REAL], shaped[REAL], rtol=1e-5)
    expected = (shaped - shaped[REAL].mean()) / shaped[REAL].std(ddof=1)
    np.testing.assert_allclose(found.advantages[REAL], expected[REAL], rtol=1e-4, atol=1e-6)
    assert found.returns is None


@pytest.mark.parametrize(("method", "shaped"), [("rloo", True), ("grpo", False), ("nash_md", False)])
def test_a_method_with_a_kl_in_its_loss_has_none_in_its_rewards(method, shaped):
    """And its coefficient follows the KL all the same."""
    found, carried = labelled(dataclasses.replace(CONFIG, method=method))
    expected = REWARDS - (0.5 if shaped else 0.0) * (POLICY - REFERENCE).sum(-1)
    np.testing.assert_allclose(found.rewards[REAL], expected[REAL], rtol=1e-5)
    assert carried.kl_coefficient != 0.5


def test_with_one_rewards_are_standardised_first_and_tokens_bear_the_kl():
    """V = 0, γ = λ = 1, nothing whitened: the advantage of a first token is r̄ - β Σ log π/π_ref."""
    config = dataclasses.replace(PPO, value=ValueConfig(lam=1.0, whiten="none"))
    found, _ = labelled(config, 0 * VALUES)
    standardized = (REWARDS - REWARDS[REAL].mean()) / REWARDS[REAL].std(ddof=1)
    expected = standardized - 0.5 * (POLICY - REFERENCE).sum(-1)
    np.testing.assert_allclose(found.advantages[..., 0][REAL], expected[REAL], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(found.returns, found.advantages)
    assert not np.asarray(found.advantages)[~MASK].any()


def test_whitening_changes_advantages_and_no_return():
    plain, deviation, both = (
        labelled(dataclasses.replace(PPO, value=ValueConfig(whiten=way)), VALUES)[0]
        for way in ("none", "deviation", "both")
    )
    real = np.asarray(plain.advantages)[MASK]
    np.testing.assert_allclose(
        np.asarray(both.advantages)[MASK], (real - real.mean()) / real.std(ddof=1), rtol=1e-4, atol=1e-5
    )
    np.testing.assert_allclose(
        np.asarray(deviation.advantages)[MASK] - np.asarray(both.advantages)[MASK], real.mean(), rtol=1e-4
    )
    for other in (deviation, both):
        np.testing.assert_array_equal(other.returns, plain.returns)


@pytest.mark.parametrize(("config", "values"), [(CONFIG, None), (PPO, VALUES)])
def test_the_coefficient_follows_the_kl_of_the_policys_own_samples(config, values):
    """Whatever the method: β (1 + clip(KL/2 - 1, ±.2) · 6/12), of the prompts that were sampled alone."""
    log_ratios = (POLICY - REFERENCE).sum(-1)
    for sampled in ((True, True, True), (True, False, False)):
        _, carried = labelled(config, values, sampled)
        kl = log_ratios[np.array(sampled)].mean()
        np.testing.assert_allclose(carried.kl, kl, rtol=1e-4)
        np.testing.assert_allclose(carried.kl_coefficient, 0.5 * (1 + np.clip(kl / 2 - 1, -0.2, 0.2) / 2), rtol=1e-5)
    _, carried = labelled(dataclasses.replace(config, kl=KLControl()), values)
    assert float(carried.kl_coefficient) == 0.5


def test_running_moments_are_of_the_rewards_that_are_standardised():
    shaped = REWARDS - 0.5 * (POLICY - REFERENCE).sum(-1)
    for config, values, judged in ((CONFIG, None, shaped), (PPO, VALUES, REWARDS)):
        _, carried = labelled(dataclasses.replace(config, standardization="running"), values)
        np.testing.assert_allclose(carried.moments.mean, judged[REAL].mean(), rtol=1e-4, atol=1e-6)
