"""Rewards of tokens, generalised advantage estimation and whitening against loops over single responses in float64."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modeseek.bandit.objectives.advantages import kl_shaped_rewards, standardize
from modeseek.bandit.objectives.token_advantages import generalized_advantages, token_rewards, whiten

P, N, T = 3, 2, 6
GRID = list(itertools.product((0.0, 0.5, 1.0), (0.0, 0.3, 0.95, 1.0)))


def arrays(seed=0):
    """Rewards and values of tokens, and a mask of responses of 1 to T tokens that begin anywhere; one has none."""
    rng = np.random.default_rng(seed)
    starts = rng.integers(0, T, (P, N))
    lengths = rng.integers(1, T + 1, (P, N))
    columns = np.arange(T)
    mask = (columns >= starts[..., None]) & (columns < (starts + lengths)[..., None])
    mask[0, 0], mask[2, 1] = True, False
    return jnp.asarray(rng.normal(size=(P, N, T))), jnp.asarray(rng.normal(size=(P, N, T))), jnp.asarray(mask)


def double_loop(rewards, values, mask, gamma, lam):
    """Â_t = Σ_l (γλ)^l δ_{t+l}, term by term, on each response's real tokens alone."""
    rewards, values, mask = (np.asarray(a) for a in (rewards, values, mask))
    found = np.zeros_like(rewards)
    for p, n in np.ndindex(P, N):
        there = np.flatnonzero(mask[p, n])
        r, v = rewards[p, n, there], np.append(values[p, n, there], 0.0)
        deltas = [r[t] + gamma * v[t + 1] - v[t] for t in range(len(r))]
        for t in range(len(r)):
            found[p, n, there[t]] = sum((gamma * lam) ** k * deltas[t + k] for k in range(len(r) - t))
    return found


@pytest.mark.parametrize(("gamma", "lam"), GRID)
def test_advantages_are_the_double_sum(gamma, lam, float64):
    rewards, values, mask = arrays()
    found = generalized_advantages(rewards, values, gamma, lam, mask)
    expected = double_loop(rewards, values, mask, gamma, lam)
    np.testing.assert_allclose(found.advantages, expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found.returns, expected + jnp.where(mask, values, 0), rtol=1e-12, atol=1e-12)


def test_real_tokens_with_a_gap_between_are_neighbours(float64):
    """A mask may leave out tokens in the middle: the one after the gap follows the one before it."""
    rewards, values, _ = arrays(1)
    mask = jnp.asarray(np.random.default_rng(2).random((P, N, T)) < 0.6)
    found = generalized_advantages(rewards, values, 0.9, 0.8, mask)
    np.testing.assert_allclose(found.advantages, double_loop(rewards, values, mask, 0.9, 0.8), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("gamma", [0.7, 1.0])
def test_lambda_1_is_the_return_less_the_value_and_lambda_0_is_the_error_of_one_step(gamma, float64):
    rewards, values, mask = arrays(3)
    whole = generalized_advantages(rewards, values, gamma, 1.0, mask)
    short = generalized_advantages(rewards, values, gamma, 0.0, mask)
    for p, n in np.ndindex(P, N):
        there = np.flatnonzero(mask[p, n])
        for i, t in enumerate(there):
            followed = sum(gamma**k * rewards[p, n, u] for k, u in enumerate(there[i:]))
            np.testing.assert_allclose(whole.returns[p, n, t], followed, rtol=1e-12)
            np.testing.assert_allclose(whole.advantages[p, n, t], followed - values[p, n, t], rtol=1e-12)
            after = values[p, n, there[i + 1]] if i + 1 < len(there) else 0.0
            error = rewards[p, n, t] + gamma * after - values[p, n, t]
            np.testing.assert_allclose(short.advantages[p, n, t], error, rtol=1e-12)


def test_a_value_function_that_knows_leaves_no_advantage(float64):
    """V_t = Σ_{u≥t} r_u at γ = 1: every δ is 0, at any λ."""
    rewards, _, mask = arrays(4)
    rewards = jnp.where(mask, rewards, 0.0)
    values = jnp.cumsum(rewards[..., ::-1], axis=-1)[..., ::-1]
    for lam in (0.0, 0.5, 1.0):
        np.testing.assert_allclose(generalized_advantages(rewards, values, 1.0, lam, mask).advantages, 0.0, atol=1e-12)


@pytest.mark.parametrize("filling", [np.nan, np.inf, 7.0])
def test_what_stands_in_a_pad_reaches_nothing(filling):
    rewards, values, mask = arrays(5)
    spoilt = [jnp.where(mask, a, filling) for a in (rewards, values)]
    ours = generalized_advantages(*spoilt, 1.0, 0.95, mask)
    clean = generalized_advantages(rewards, values, 1.0, 0.95, mask)
    for one, other in zip(ours, clean, strict=True):
        np.testing.assert_array_equal(one, other)
        assert not np.asarray(one)[~np.asarray(mask)].any()
    of_rewards = token_rewards(jnp.ones((P, N)), spoilt[0], 0.1, mask)
    np.testing.assert_array_equal(of_rewards, token_rewards(jnp.ones((P, N)), rewards, 0.1, mask))
    np.testing.assert_array_equal(whiten(spoilt[0], mask), whiten(rewards, mask))
    assert not np.asarray(of_rewards)[~np.asarray(mask)].any()


def test_without_a_mask_all_are_real(float64):
    rewards, values, _ = arrays(6)
    everything = jnp.ones((P, N, T), bool)
    for ours, theirs in (
        (generalized_advantages(rewards, values), generalized_advantages(rewards, values, 1.0, 0.95, everything)),
        ((token_rewards(rewards[..., 0], values, 0.2),), (token_rewards(rewards[..., 0], values, 0.2, everything),)),
        ((whiten(rewards),), (whiten(rewards, everything),)),
    ):
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-12)


def test_rewards_of_tokens_by_hand(float64):
    """β = .5; log-ratios 2, -4, 6 and, of a response of two tokens, 1, 3: the reward joins the last real token."""
    log_ratios = jnp.asarray([[2.0, -4.0, 6.0], [1.0, 3.0, 9.0]])
    mask = jnp.asarray([[True, True, True], [True, True, False]])
    found = token_rewards(jnp.asarray([10.0, 20.0]), log_ratios, 0.5, mask)
    np.testing.assert_allclose(found, [[-1.0, 2.0, 7.0], [-0.5, 18.5, 0.0]])


def test_rewards_of_tokens_sum_to_the_responses_shaped_reward(float64):
    log_ratios, rewards, mask = arrays(7)
    rewards = rewards[..., 0]
    summed = token_rewards(rewards, log_ratios, 0.3, mask).sum(axis=-1)
    shaped = kl_shaped_rewards(rewards, jnp.where(mask, log_ratios, 0).sum(-1), jnp.zeros((P, N)), 0.3)
    there = np.asarray(mask.any(axis=-1))
    np.testing.assert_allclose(summed[there], shaped[there], rtol=1e-12)
    assert (summed[~there] == 0).all()


def test_gae_of_such_rewards_at_lambda_1_without_values_is_the_response_s_advantage(float64):
    """β = 0, V = 0, γ = λ = 1: every token has its response's reward, as without a value function."""
    _, zeros, mask = arrays(8)
    rewards = jnp.asarray(np.random.default_rng(9).normal(size=(P, N)))
    tokens = token_rewards(rewards, jnp.zeros((P, N, T)), 0.0, mask)
    found = generalized_advantages(tokens, 0 * zeros, 1.0, 1.0, mask).advantages
    np.testing.assert_allclose(found, jnp.where(mask, rewards[..., None], 0.0), rtol=1e-12)


def test_nothing_of_it_has_a_gradient():
    rewards, values, mask = arrays(10)
    of_both = jax.grad(lambda r, v: sum(a.sum() for a in generalized_advantages(r, v, 1.0, 0.9, mask)), argnums=(0, 1))
    for gradient in of_both(rewards, values):
        np.testing.assert_array_equal(gradient, 0)
    of_ratios = jax.grad(lambda z: token_rewards(rewards[..., 0], z, 0.5, mask).sum())(values)
    np.testing.assert_array_equal(of_ratios, 0)


def test_whitened_tokens_have_mean_0_and_deviation_1_over_real_tokens_alone(float64):
    advantages, _, mask = arrays(11)
    real = np.asarray(whiten(5.0 * advantages + 3.0, mask))[np.asarray(mask)]
    np.testing.assert_allclose([real.mean(), real.std(ddof=1)], [0, 1], atol=1e-12)
    kept = np.asarray(advantages[mask])
    np.testing.assert_allclose(real, (kept - kept.mean()) / kept.std(ddof=1), rtol=1e-12)


def test_whitening_without_a_shift_keeps_the_mean(float64):
    advantages, _, mask = arrays(12)
    real = np.asarray(whiten(advantages + 3.0, mask, shift=False))[np.asarray(mask)]
    kept = np.asarray(advantages[mask]) + 3.0
    np.testing.assert_allclose([real.mean(), real.std(ddof=1)], [kept.mean(), 1], rtol=1e-12)
    np.testing.assert_allclose(real - real.mean(), (kept - kept.mean()) / kept.std(ddof=1), rtol=1e-12)


def test_whitening_a_batch_of_responses_is_not_whitening_each(float64):
    advantages, _, mask = arrays(13)
    first = np.asarray(whiten(advantages, mask))[0, 0]
    alone = np.asarray(standardize(advantages[0, 0]))
    assert np.abs(first - alone).max() > 0.01


def test_equal_advantages_are_whitened_to_nothing():
    assert not np.asarray(whiten(jnp.full((2, 3), 0.7))).any()


@pytest.mark.parametrize("masked", [False, True])
def test_jit_is_eager(masked):
    rewards, values, mask = arrays(14)
    mask = mask if masked else None
    once = generalized_advantages(rewards, values, 0.9, 0.8, mask)
    compiled = jax.jit(generalized_advantages)(rewards, values, 0.9, 0.8, mask)
    np.testing.assert_allclose(compiled.advantages, once.advantages, rtol=1e-5, atol=1e-6)
