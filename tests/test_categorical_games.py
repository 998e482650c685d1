"""Exact flows of games, whose opponents come from a mixture: against a million samples, and where they come to rest."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from method_cases import HYPER

from modeseek.bandit.categorical.expected import Situation, enumerated, expected_gradient
from modeseek.bandit.objectives.batch import Batch, Options
from modeseek.bandit.objectives.registry import METHODS

REFERENCE = np.array([0.1, 0.2, 0.3, 0.4])
REWARDS = np.array([0.1, 0.9, 0.5, -0.4])
SHARE = 0.4
WINS = (REWARDS[:, None] > REWARDS) + 0.5 * (REWARDS[:, None] == REWARDS)


def mixture(policy, share=SHARE):
    product = policy ** (1 - share) * REFERENCE**share
    return product / product.sum()


def equilibrium(strength, share):
    """π ∝ π_ref exp(strength · P(y ≻ mixture)), by damped iteration."""
    policy = REFERENCE
    for _ in range(2000):
        better = REFERENCE * np.exp(strength * WINS @ mixture(policy, share))
        policy = np.sqrt(policy * better / better.sum())
        policy /= policy.sum()
    return policy


def flow(name, policy, behavior, opponents=None, count=2):
    logs = [None if p is None else jnp.log(jnp.asarray(p)) for p in (behavior, REFERENCE, opponents)]
    situation = Situation(logs[0], logs[1], jnp.asarray(REWARDS), logs[2])
    hyper = dataclasses.replace(HYPER, reward_gap=0.0)
    draws = enumerated(situation, count)
    return np.asarray(expected_gradient(METHODS[name], situation, draws, jnp.log(jnp.asarray(policy)), hyper))


@pytest.mark.parametrize("share", [0.0, SHARE])
@pytest.mark.parametrize("count", [2, 3])
def test_nash_md_rests_at_the_regularised_equilibrium(share, count, float64):
    """π ∝ π_ref exp(P(y ≻ mixture)/β), whatever the number of opponents; away from it the flow moves."""
    policy = equilibrium(1 / HYPER.kl_coefficient, share)
    np.testing.assert_allclose(flow("nash_md", policy, policy, mixture(policy, share), count), np.zeros(4), atol=1e-12)
    other = equilibrium(1 / HYPER.kl_coefficient, 0.9)
    assert np.abs(flow("nash_md", other, other, mixture(other, share), count)).max() > 1e-3


@pytest.mark.parametrize("share", [0.0, SHARE])
def test_ipo_md_rests_where_the_win_rate_against_its_own_samples_says(share, float64):
    """π ∝ π_ref exp(P(y ≻ mixture)/τ): as Nash-MD with β = τ (Calandriello et al., 2024)."""
    policy = equilibrium(1 / HYPER.tau, share)
    np.testing.assert_allclose(flow("ipo_md", policy, mixture(policy, share)), np.zeros(4), atol=1e-12)
    assert np.abs(flow("ipo_md", REFERENCE, mixture(REFERENCE, share))).max() > 1e-3


def test_a_million_samples_of_nash_md_estimate_its_flow():
    """Half of them opponents: every logit's gradient within five standard errors of the enumeration."""
    policy = np.array([0.35, 0.05, 0.25, 0.35])
    rng = np.random.default_rng(2)
    drawn = np.column_stack([rng.choice(4, 500_000, p=p) for p in (policy, mixture(policy))])
    of = lambda values: jnp.asarray(values[drawn], jnp.float32)[:, None, :]
    opponents = jnp.asarray([[False, True]])

    def loss(log_probs, reference, rewards):
        losses, weights = METHODS["nash_md"].objective(
            Batch(log_probs, None, reference, rewards, None, opponents=opponents), HYPER, Options()
        )
        return (losses * weights).sum()

    slopes = jax.jit(jax.vmap(jax.grad(loss)))(
        of(np.log(policy))[..., None], of(np.log(REFERENCE))[..., None], of(REWARDS)
    )
    slopes = np.asarray(slopes, np.float64)[:, 0, 0, 0]
    in_logits = slopes[:, None] * ((drawn[:, :1] == np.arange(4)) - policy)
    errors = in_logits.std(axis=0) / np.sqrt(len(drawn))
    exact = flow("nash_md", policy, policy, mixture(policy))
    assert np.abs(exact).max() > 0.01
    np.testing.assert_array_less(np.abs(in_logits.mean(axis=0) - exact), 5 * errors)
