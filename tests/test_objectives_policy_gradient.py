"""REINFORCE and PPO against their formulas, on every side of the clip."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modeseek.bandit.objectives.policy_gradient import outside_clip, ppo, reinforce

EPSILON = 0.2
RATIOS = (0.3, 0.79, 0.81, 1.0, 1.19, 1.21, 3.0)
ADVANTAGES = (-2.0, -0.5, 0.0, 0.5, 2.0)
GRID = np.array(list(itertools.product(RATIOS, ADVANTAGES)))


def _surrogate(ratio, advantage):
    """One response's -min(ρ r̄, clip(ρ) r̄), in plain Python."""
    clipped = min(max(ratio, 1 - EPSILON), 1 + EPSILON)
    return -min(ratio * advantage, clipped * advantage)


def test_reinforce_is_minus_advantage_times_log_prob():
    losses = reinforce(jnp.asarray([[-1.0, -2.0]]), jnp.asarray([[0.5, -3.0]]))
    np.testing.assert_allclose(losses, [[0.5, -6.0]])


def test_reinforce_gradient_is_minus_the_advantage_and_advantages_have_none():
    log_probs, advantages = jnp.asarray([-1.0, -2.0]), jnp.asarray([0.5, -3.0])
    wrt = jax.grad(lambda l, a: reinforce(l, a).sum(), argnums=(0, 1))(log_probs, advantages)
    np.testing.assert_array_equal(wrt[0], [-0.5, 3.0])
    np.testing.assert_array_equal(wrt[1], [0, 0])


def _ppo_on_grid(log_behavior):
    """Losses and gradients on log π of the grid's ratios and advantages, whatever the behavior's log-prob."""
    behavior = jnp.full(len(GRID), log_behavior)
    return jax.vmap(jax.value_and_grad(lambda l, b, a: ppo(l, b, a, EPSILON)))(
        behavior + np.log(GRID[:, 0]), behavior, jnp.asarray(GRID[:, 1])
    )


@pytest.mark.parametrize("log_behavior", [0.0, -25.0])
def test_ppo_is_the_papers_surrogate_with_min(log_behavior, float64):
    np.testing.assert_allclose(_ppo_on_grid(log_behavior)[0], [_surrogate(*row) for row in GRID], rtol=1e-12)


def test_clipping_stops_the_gradient_on_exactly_two_sides(float64):
    """-ρ r̄ (ρ = e^(log π - log π_gen)), but 0 where a good response is above 1+ε or a bad one below 1-ε."""
    too_good = (GRID[:, 0] > 1 + EPSILON) & (GRID[:, 1] > 0)
    too_bad = (GRID[:, 0] < 1 - EPSILON) & (GRID[:, 1] < 0)
    assert too_good.sum() == too_bad.sum() == 4  # two ratios beyond each bound, two advantages of each sign
    expected = np.where(too_good | too_bad, 0.0, -GRID[:, 0] * GRID[:, 1])
    np.testing.assert_allclose(_ppo_on_grid(-3.0)[1], expected, rtol=1e-10)


def test_at_ratio_1_ppo_has_the_gradient_of_reinforce():
    rng = np.random.default_rng(0)
    log_probs, advantages = jnp.asarray(-rng.exponential(size=(3, 4))), jnp.asarray(rng.normal(size=(3, 4)))
    of_ppo = jax.grad(lambda l: ppo(l, log_probs, advantages, EPSILON).sum())(log_probs)
    of_reinforce = jax.grad(lambda l: reinforce(l, advantages).sum())(log_probs)
    np.testing.assert_allclose(of_ppo, of_reinforce, rtol=1e-6)


def test_ppo_has_no_gradient_on_behavior_or_advantages():
    wrt = jax.grad(lambda b, a: ppo(jnp.asarray(-1.0), b, a, EPSILON), argnums=(0, 1))
    assert wrt(jnp.asarray(-1.1), jnp.asarray(2.0)) == (0.0, 0.0)


def test_a_wide_clip_is_the_unclipped_importance_weight():
    losses = ppo(jnp.log(jnp.asarray([0.1, 2.5])), jnp.zeros(2), jnp.asarray([-1.0, 4.0]), 5.0)
    np.testing.assert_allclose(losses, [0.1, -10.0], rtol=1e-6)


def test_ppo_of_a_vanished_response_is_finite():
    """ρ = e^-10000 = 0: a good response costs nothing and gains nothing; a bad one is at its clip, 0.8 |r̄|."""
    value, slope = jax.vmap(jax.value_and_grad(lambda l, a: ppo(l, jnp.asarray(-2.0), a, EPSILON)))(
        jnp.asarray([-1e4, -1e4]), jnp.asarray([1.5, -1.5])
    )
    np.testing.assert_allclose(value, [0.0, 1.2], rtol=1e-6)
    np.testing.assert_array_equal(slope, [0, 0])


@pytest.mark.parametrize("advantage", [1.5, 0.0])
def test_ppo_of_a_response_that_gained_100_nats_is_clipped(advantage):
    """ρ = e^100 overflows float32, and the good response is at its clip: loss -1.2 r̄, gradient 0."""
    value, slope = jax.value_and_grad(lambda l: ppo(l, jnp.asarray(-101.0), jnp.asarray(advantage), EPSILON))(
        jnp.asarray(-1.0)
    )
    np.testing.assert_allclose([value, slope], [-1.2 * advantage, 0.0], rtol=1e-6)


def test_outside_clip_counts_ratios_on_both_sides():
    # .5 and 1.5 lie outside [.8, 1.2]; .9, 1 and 1.1 inside: 2 of 5.
    behavior = jnp.asarray([-1.0, -2.0, -3.0, -4.0, -5.0])
    log_probs = behavior + jnp.log(jnp.asarray([0.5, 0.9, 1.0, 1.1, 1.5]))
    np.testing.assert_allclose(outside_clip(log_probs, behavior, EPSILON).mean(), 0.4)
    np.testing.assert_allclose(outside_clip(log_probs, behavior, 0.05).mean(), 0.8)
