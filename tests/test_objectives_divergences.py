"""Exact divergences against sums written out in float64 NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from modeseek.bandit.objectives.divergences import entropy, expectation, kl, sampled_kl

pytestmark = pytest.mark.usefixtures("float64")


def _log(p):
    return jnp.asarray(np.log(p, out=np.full_like(p, -np.inf), where=p > 0))


def _distributions(seed, rows=4, size=5, zeros=False):
    p = np.random.default_rng(seed).dirichlet(np.ones(size), rows)
    if zeros:
        p[:, ::2] = 0.0
        p /= p.sum(axis=-1, keepdims=True)
    return p


def _kl(p, q):
    """Σ p log(p/q) over p > 0, one term at a time."""
    return sum(a * np.log(a / b) for a, b in zip(p, q, strict=True) if a > 0)


@pytest.mark.parametrize("zeros", [False, True])
def test_entropy_is_its_sum(zeros):
    p = _distributions(0, zeros=zeros)
    expected = [-sum(a * np.log(a) for a in row if a > 0) for row in p]
    np.testing.assert_allclose(entropy(_log(p)), expected, rtol=1e-12)


def test_entropy_runs_from_zero_to_log_v():
    np.testing.assert_allclose(entropy(_log(np.array([0.0, 1.0, 0.0]))), 0.0)
    np.testing.assert_allclose(entropy(_log(np.full(8, 1 / 8))), np.log(8))


@pytest.mark.parametrize("zeros", [False, True])
def test_kl_is_its_sum(zeros):
    p, q = _distributions(1, zeros=zeros), _distributions(2)
    np.testing.assert_allclose(kl(_log(p), _log(q)), [_kl(*rows) for rows in zip(p, q, strict=True)], rtol=1e-12)


def test_kl_where_both_lack_the_same_mass():
    # p = (1/2, 1/2, 0), q = (1/4, 3/4, 0): KL = ½ log 2 + ½ log(2/3).
    value = kl(_log(np.array([0.5, 0.5, 0.0])), _log(np.array([0.25, 0.75, 0.0])))
    np.testing.assert_allclose(value, 0.5 * np.log(2) + 0.5 * np.log(2 / 3))


def test_kl_is_infinite_where_q_misses_mass_and_not_the_other_way_round():
    whole, half = _log(np.array([0.5, 0.5])), _log(np.array([1.0, 0.0]))
    assert kl(whole, half) == jnp.inf
    np.testing.assert_allclose(kl(half, whole), np.log(2))


def test_kl_is_never_negative_and_zero_between_equals():
    p, q = _distributions(3, rows=200), _distributions(4, rows=200)
    assert (kl(_log(p), _log(q)) > 0).all()
    np.testing.assert_allclose(kl(_log(p), _log(p)), 0.0, atol=1e-15)


def test_kl_of_p_from_q_is_not_that_of_q_from_p():
    # p = (.9, .1), q = (.5, .5): .9 log 1.8 + .1 log .2 = .3681; ½ log(1/1.8) + ½ log 5 = .5108.
    p, q = _log(np.array([0.9, 0.1])), _log(np.array([0.5, 0.5]))
    np.testing.assert_allclose([kl(p, q), kl(q, p)], [0.3681, 0.5108], atol=5e-5)


def test_kl_gradient_matches_finite_differences():
    rng = np.random.default_rng(5)
    of_logits = lambda a, b: kl(jax.nn.log_softmax(a), jax.nn.log_softmax(b)).sum()
    check_grads(of_logits, tuple(jnp.asarray(rng.normal(size=(2, 4))) for _ in range(2)), order=1, modes=["rev"])


def test_reverse_and_forward_kl_gradients_on_logits():
    """Lemma E.4: ∂KL(q‖p)/∂f = p - q and ∂KL(p‖q)/∂f = p [log(p/q) - KL(p‖q)] for p = softmax(f)."""
    logits, q = jnp.asarray([0.3, -1.0, 2.0]), np.array([0.2, 0.5, 0.3])
    p = np.exp(logits) / np.exp(logits).sum()
    forward = jax.grad(lambda f: kl(_log(q), jax.nn.log_softmax(f)))(logits)
    reverse = jax.grad(lambda f: kl(jax.nn.log_softmax(f), _log(q)))(logits)
    np.testing.assert_allclose(forward, p - q, atol=1e-12)
    np.testing.assert_allclose(reverse, p * (np.log(p / q) - _kl(p, q)), atol=1e-12)


@pytest.mark.parametrize("divergence", [entropy, lambda p: kl(p, _log(np.array([0.2, 0.3, 0.5])))])
def test_gradients_are_finite_where_mass_is_zero(divergence):
    gradient = jax.grad(lambda f: divergence(jax.nn.log_softmax(f)))(jnp.asarray([0.3, -jnp.inf, 0.1]))
    assert jnp.isfinite(gradient).all()
    assert gradient[1] == 0.0


def test_expectation_is_the_dot_product():
    p, values = _distributions(6, zeros=True), np.random.default_rng(7).normal(size=5)
    np.testing.assert_allclose(expectation(_log(p), jnp.asarray(values)), p @ values, rtol=1e-12)


def test_sampled_kl_has_the_mean_kl_of_behavior_from_policy():
    """E_behavior[k3] = Σ b (p/b - 1 - log(p/b)) = 1 - 1 + KL(b ‖ p), enumerated; and it is not KL(p ‖ b)."""
    behavior, policy = _distributions(8, rows=1)[0], _distributions(9, rows=1)[0]
    mean = (behavior * sampled_kl(jnp.asarray(np.log(policy / behavior)))).sum()
    np.testing.assert_allclose(mean, _kl(behavior, policy), rtol=1e-12)
    assert abs(mean - _kl(policy, behavior)) > 0.01


def test_sampled_kl_is_never_negative():
    values = sampled_kl(jnp.arange(-200.0, 201.0) / 10)
    assert (values >= 0).all()
    np.testing.assert_array_equal(np.flatnonzero(values == 0), [200])  # at ratio 1 alone


def test_sampled_kl_keeps_its_digits_near_ratio_one():
    """x²/2 + x³/6 to second order; (e^x - 1) - x by plain `exp` would lose everything at x = 1e-6."""
    np.testing.assert_allclose(sampled_kl(jnp.asarray([1e-6, -1e-6])), 0.5e-12, rtol=1e-4)


def test_mass_that_underflows_counts_as_none():
    """e^-110 is 0 in float32: 0 · log 0 = 0, value and gradient, where q has no mass either."""
    log_p, log_q = (jnp.asarray(a, jnp.float32) for a in ([0.0, -110.0], [0.0, -jnp.inf]))
    value, slope = jax.value_and_grad(kl)(log_p, log_q)
    assert float(value) == 0.0
    assert np.isfinite(slope).all()
