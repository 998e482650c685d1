"""DPO and IPO: their values where the policy is the reference, minima, and the gradients of paper E.1.4."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modeseek.bandit.objectives.log_probs import log_ratios
from modeseek.bandit.objectives.preference import dpo, implicit_reward, ipo, margins

BETA, TAU = 0.3, 0.05


def _sigmoid(x):
    return 1 / (1 + np.exp(-np.asarray(x, np.float64)))


def test_log_ratio_is_policy_minus_reference_and_implicit_reward_its_multiple():
    ratios = log_ratios(jnp.asarray([-1.0, -2.0]), jnp.asarray([-1.5, -0.5]))
    np.testing.assert_allclose(ratios, [0.5, -1.5])
    np.testing.assert_allclose(implicit_reward(ratios, 0.1), [0.05, -0.15], rtol=1e-6)


def test_the_reference_receives_no_gradient():
    gradient = jax.grad(lambda reference: dpo(log_ratios(jnp.asarray([-1.0]), reference), BETA).sum())
    np.testing.assert_array_equal(gradient(jnp.asarray([-3.0])), [0])


def test_margins_are_row_minus_column():
    # m_ij = a_i - a_j of a = (1, 3, 7).
    np.testing.assert_array_equal(margins(jnp.asarray([1.0, 3.0, 7.0])), [[0, -2, -6], [2, 0, -4], [6, 4, 0]])


@pytest.mark.parametrize("beta", [0.01, 0.1, 5.0])
def test_dpo_is_log_2_where_policy_is_reference(beta):
    log_probs = jnp.asarray([-1.0, -30.0, -0.2])
    np.testing.assert_allclose(dpo(margins(log_ratios(log_probs, log_probs)), beta), np.log(2), rtol=1e-6)


def test_dpo_values():
    # σ(β m) = 3/4 at β m = log 3, 1/4 at -log 3.
    m = jnp.asarray([np.log(3) / BETA, -np.log(3) / BETA])
    np.testing.assert_allclose(dpo(m, BETA), [np.log(4 / 3), np.log(4)], rtol=1e-6)


def test_ipo_values_and_minimum(float64):
    """Zero at m = 1/(2τ) = 10 and nowhere else; (10)² where policy = reference, one unit away 1 on both sides."""
    np.testing.assert_allclose(ipo(jnp.asarray([10.0, 0.0, 9.0, 11.0]), TAU), [0, 100, 1, 1], atol=1e-12)
    assert jax.grad(lambda m: ipo(m, TAU))(jnp.asarray(10.0)) == 0.0


@pytest.mark.parametrize("tau", [0.05, 0.25, 1.0])
def test_ipo_gradient_changes_sign_at_its_target(tau):
    target = 0.5 / tau
    slope = jax.vmap(jax.grad(lambda m: ipo(m, tau)))(jnp.asarray([target - 0.1, target + 0.1]))
    assert slope[0] < 0 < slope[1]


def _gradients(loss, chosen, rejected, reference_chosen, reference_rejected):
    """Gradients of one pair's loss on log π(y_w) and log π(y_l)."""

    def of_log_probs(w, l):
        return loss(log_ratios(w, reference_chosen) - log_ratios(l, reference_rejected)).sum()

    return jax.grad(of_log_probs, argnums=(0, 1))(chosen, rejected)


def _four(seed):
    return [jnp.asarray(-np.random.default_rng(seed + i).exponential(3.0, size=6)) for i in range(4)]


def test_dpo_gradient_is_the_papers(float64):
    """E.1.4: -β c [∇log π(y_w) - ∇log π(y_l)], c = σ(β log π(y_l)/π_ref(y_l) - β log π(y_w)/π_ref(y_w))."""
    w, l, w_ref, l_ref = _four(0)
    c = _sigmoid(BETA * (l - l_ref) - BETA * (w - w_ref))
    chosen, rejected = _gradients(lambda m: dpo(m, BETA), w, l, w_ref, l_ref)
    np.testing.assert_allclose(chosen, -BETA * c, rtol=1e-10)
    np.testing.assert_allclose(rejected, BETA * c, rtol=1e-10)


def test_ipo_gradient_is_the_papers(float64):
    """E.1.4: c [∇log π(y_w) - ∇log π(y_l)], c = 2 (log-ratio of y_w - log-ratio of y_l - 1/(2τ))."""
    w, l, w_ref, l_ref = _four(10)
    c = 2 * ((w - w_ref) - (l - l_ref) - 1 / (2 * TAU))
    chosen, rejected = _gradients(lambda m: ipo(m, TAU), w, l, w_ref, l_ref)
    np.testing.assert_allclose(chosen, c, rtol=1e-10)
    np.testing.assert_allclose(rejected, -c, rtol=1e-10)


@pytest.mark.parametrize("gap", [-1.5, 0.0, 2.0])
def test_dpo_recovers_the_bradley_terry_reward_gap(gap, float64):
    """With P(y_w > y_l) = σ(Δ), E[ℓ] = σ(Δ) ℓ(m) + σ(-Δ) ℓ(-m) is stationary where β m = Δ (eqs. 3, 4)."""
    p = float(_sigmoid(gap))
    slope = jax.grad(lambda m: p * dpo(m, BETA) + (1 - p) * dpo(-m, BETA))
    np.testing.assert_allclose(slope(jnp.asarray(gap / BETA)), 0.0, atol=1e-12)
    assert slope(jnp.asarray(gap / BETA + 1)) > 0 > slope(jnp.asarray(gap / BETA - 1))


def test_dpo_pushes_ever_less_and_never_back(float64):
    """The slope -β σ(-β m) rises to 0 from below: nothing but β holds the margin, unlike IPO."""
    slope = jax.vmap(jax.grad(lambda m: dpo(m, BETA)))(jnp.linspace(-50.0, 50.0, 41))
    assert (slope < 0).all()
    assert (jnp.diff(slope) > 0).all()
    assert slope[-1] > -1e-6


def test_extreme_margins_are_finite_in_float32():
    """β m = ±1000: DPO is linear, -β m, with slope -β on one side, and 0 with slope 0 on the other."""
    extremes = jnp.asarray([-1e4, 1e4])
    assert extremes.dtype == jnp.float32
    value, slope = jax.vmap(jax.value_and_grad(lambda m: dpo(m, 0.1)))(extremes)
    np.testing.assert_allclose(value, [1000, 0], rtol=1e-6)
    np.testing.assert_allclose(slope, [-0.1, 0], rtol=1e-6)
    value, slope = jax.vmap(jax.value_and_grad(lambda m: ipo(m, TAU)))(extremes)
    np.testing.assert_allclose(value, [10_010.0**2, 9_990.0**2], rtol=1e-6)  # target 10
    np.testing.assert_allclose(slope, [-20_020, 19_980], rtol=1e-6)
