"""The value function's loss, its weights and its numbers: loops, finite differences, degenerate cases."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modeseek.bandit.objectives.value_function import (
    ValueBatch,
    ValueNumbers,
    clipped_value_loss,
    explained_variance,
    value_metrics,
    value_objective,
    value_weights,
)

P, N, T, CLIP = 2, 3, 4, 0.2
NUMBERS = ValueNumbers(0.7, CLIP)


def batch(seed=0):
    """Values up to three clips away from those that sampled; responses of 1 to T tokens, one of them missing."""
    rng = np.random.default_rng(seed)
    behavior, returns = rng.normal(size=(2, P, N, T))
    values = behavior + CLIP * rng.uniform(-3, 3, size=behavior.shape)
    mask = np.arange(T) < np.array([[4, 1, 3], [2, 4, 0]])[..., None]
    return ValueBatch(*(jnp.asarray(a) for a in (values, behavior, returns, mask)))


def loop(values, given, numbers):
    """c · mean over responses of Σ_t ½ max(…), in plain Python."""
    sums = []
    for p, n in np.ndindex(P, N):
        terms = []
        for t in np.flatnonzero(given.mask[p, n]):
            v, old, aim = (float(a[p, n, t]) for a in (values, given.behavior_values, given.returns))
            bounded = min(max(v, old - numbers.clip), old + numbers.clip)
            terms.append(0.5 * max((v - aim) ** 2, (bounded - aim) ** 2))
        sums += [sum(terms)] if terms else []
    return numbers.coefficient * sum(sums) / len(sums)


def test_the_objective_is_the_loops(float64):
    given = batch()
    np.testing.assert_allclose(value_objective(given, NUMBERS), loop(given.values, given, NUMBERS), rtol=1e-12)
    wide = ValueNumbers(0.7, np.inf)
    np.testing.assert_allclose(value_objective(given, wide), loop(given.values, given, wide), rtol=1e-12)


def test_weights_are_finite_differences_of_the_loop(float64):
    given, step = batch(1), 1e-6
    found = value_weights(given, NUMBERS)
    assert np.unique(np.asarray(found) == 0, return_counts=True)[1][1] > T  # pads, and values that are held back
    for place in np.ndindex(P, N, T):
        moved = [loop(given.values.at[place].add(sign * step), given, NUMBERS) for sign in (1, -1)]
        np.testing.assert_allclose(found[place], (moved[0] - moved[1]) / (2 * step), atol=1e-8)


def test_clipping_by_hand(float64):
    """V_old = 0, ε = .2, R = 1: V = .5 has the error of .2, ½ .8², and no gradient; -.5 has its own, and one."""
    value = jax.vmap(jax.value_and_grad(lambda v: clipped_value_loss(v, jnp.zeros(()), jnp.ones(()), 0.2)))
    losses, slopes = value(jnp.asarray([0.5, -0.5, 0.1]))
    np.testing.assert_allclose(losses, [0.5 * 0.8**2, 0.5 * 1.5**2, 0.5 * 0.9**2])
    np.testing.assert_allclose(slopes, [0.0, -1.5, -0.9], atol=1e-12)


def test_at_the_values_that_sampled_it_is_half_the_squared_error(float64):
    given = batch(2)
    given = given._replace(values=given.behavior_values)
    found = clipped_value_loss(given.values, given.behavior_values, given.returns, 1e-3)
    np.testing.assert_allclose(found, 0.5 * np.square(given.values - given.returns), rtol=1e-12)
    responses = int(given.mask.any(-1).sum())
    error = np.where(given.mask, given.values - given.returns, 0.0)
    np.testing.assert_allclose(value_weights(given, NUMBERS), 0.7 * error / responses, rtol=1e-12, atol=1e-15)


def test_no_gradient_reaches_what_is_constant():
    given = batch(3)
    wrt = jax.grad(lambda old, aim: clipped_value_loss(given.values, old, aim, CLIP).sum(), argnums=(0, 1))
    for gradient in wrt(given.behavior_values, given.returns):
        np.testing.assert_array_equal(gradient, 0)


@pytest.mark.parametrize("filling", [np.nan, np.inf, -3.0])
def test_a_pad_may_hold_anything(filling):
    given = batch(4)
    spoilt = ValueBatch(*(jnp.where(given.mask, a, filling) for a in given[:3]), given.mask)
    np.testing.assert_allclose(value_weights(spoilt, NUMBERS), value_weights(given, NUMBERS), rtol=1e-6)
    ours, theirs = value_metrics(spoilt, NUMBERS), value_metrics(given, NUMBERS)
    for name, number in theirs.items():
        np.testing.assert_allclose(ours[name], number, rtol=1e-6, err_msg=name)


def test_numbers_are_of_real_tokens(float64):
    given = batch(5)
    real = np.asarray(given.mask)
    values, behavior, returns = (np.asarray(a)[real] for a in given[:3])
    found = value_metrics(given, NUMBERS)
    np.testing.assert_allclose(found["value"], values.mean(), rtol=1e-12)
    np.testing.assert_allclose(found["fraction_values_clipped"], (np.abs(values - behavior) > CLIP).mean(), rtol=1e-12)
    left = np.maximum((values - returns) ** 2, (np.clip(values, behavior - CLIP, behavior + CLIP) - returns) ** 2)
    np.testing.assert_allclose(found["value_loss"], 0.5 * left.mean(), rtol=1e-12)
    np.testing.assert_allclose(found["explained_variance"], 1 - (returns - behavior).var() / returns.var(), rtol=1e-12)


def test_explained_variance_of_the_ends(float64):
    given = batch(6)
    knows = given._replace(behavior_values=given.returns)
    constant = given._replace(behavior_values=jnp.full_like(given.returns, 3.0))
    np.testing.assert_allclose([explained_variance(knows), explained_variance(constant)], [1, 0], atol=1e-12)
    assert np.isnan(explained_variance(given._replace(returns=jnp.ones_like(given.returns))))


def test_a_batch_of_nothing_teaches_nothing():
    given = batch(7)
    nothing = given._replace(mask=jnp.zeros_like(given.mask))
    assert float(value_objective(nothing, NUMBERS)) == 0.0
    assert not np.asarray(value_weights(nothing, NUMBERS)).any()
