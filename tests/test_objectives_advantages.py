"""Standardisation (eq. 19 and its relatives), leave-one-out, and the KL in the reward."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modeseek.bandit.objectives.advantages import (
    STANDARDIZATIONS,
    RunningMoments,
    kl_shaped_rewards,
    leave_one_out,
    standardize,
    standardize_by,
    standardize_per_prompt,
    standardize_running,
)
from modeseek.bandit.objectives.log_probs import log_ratios


def _rewards(seed=0, shape=(3, 4)):
    return jnp.asarray(np.random.default_rng(seed).uniform(size=shape))


def test_standardize_is_equation_19(float64):
    r = np.asarray(_rewards()).ravel()
    mean = sum(r) / 12
    deviation = np.sqrt(sum((x - mean) ** 2 for x in r) / 11)  # B - 1
    np.testing.assert_allclose(standardize(_rewards()).ravel(), (r - mean) / deviation, rtol=1e-12)


def test_standardize_by_hand():
    # 1, 2, 3, 6: mean 3, squares 4 + 1 + 0 + 9 = 14, divided by B - 1 = 3.
    expected = np.array([[-2, -1], [0, 3]]) / np.sqrt(14 / 3)
    np.testing.assert_allclose(standardize(jnp.asarray([[1.0, 2.0], [3.0, 6.0]])), expected, rtol=1e-6)


def test_standardized_rewards_have_mean_0_and_deviation_1(float64):
    whole, each = np.asarray(standardize(_rewards(1))), np.asarray(standardize_per_prompt(_rewards(1)))
    np.testing.assert_allclose([whole.mean(), whole.std(ddof=1)], [0, 1], atol=1e-12)
    np.testing.assert_allclose(each.mean(axis=1), 0, atol=1e-12)
    np.testing.assert_allclose(each.std(axis=1, ddof=0), 1, atol=1e-12)


@pytest.mark.parametrize("way", [standardize, standardize_per_prompt])
def test_standardizing_forgets_scale_and_shift(way, float64):
    np.testing.assert_allclose(way(7.0 * _rewards(2) - 3.0), way(_rewards(2)), atol=1e-12)


def test_per_prompt_compares_a_prompt_with_itself_alone():
    # (0, 2): mean 1, deviation (divisor N) 1. Prompt 1 is prompt 0 shifted by 100 and scaled by 4.
    rewards = jnp.asarray([[0.0, 2.0], [100.0, 108.0]])
    np.testing.assert_allclose(standardize_per_prompt(rewards), [[-1, 1], [-1, 1]], rtol=1e-6)


def _every_way(rewards):
    return (
        standardize(rewards),
        standardize_per_prompt(rewards),
        standardize_running(rewards, RunningMoments.empty())[0],
        leave_one_out(rewards),
    )


@pytest.mark.parametrize("constant", [0.0, 0.1, 0.7, 1.0])
def test_equal_rewards_give_no_advantage(constant):
    for advantages in _every_way(jnp.full((10, 10), constant)):
        np.testing.assert_allclose(advantages, 0.0, atol=1e-5)


def test_equal_rewards_give_no_advantage_whatever_their_size():
    """Rounding of the mean is of the order of |r| times 1e-7: at |r| ~ 10 it passes any absolute floor of 1e-6."""
    constants = jnp.asarray(np.linspace(-100, 100, 50), jnp.float32)
    for advantages in jax.vmap(_every_way)(jnp.broadcast_to(constants[:, None, None], (50, 10, 10))):
        np.testing.assert_allclose(advantages, 0.0, atol=1e-3)


@pytest.mark.parametrize("one_by_one", [False, True])
def test_merged_batches_have_the_moments_of_all_rewards_together(one_by_one, float64):
    every = _rewards(3, (24,)) * 5 + 100
    batches = every[:, None] if one_by_one else jnp.split(every, [4, 5, 15])  # 4, 1, 10 and 9 rewards
    moments = RunningMoments.empty()
    for batch in batches:
        moments = moments.update(batch)
    values = np.asarray(every)
    assert moments.seen == 24
    np.testing.assert_allclose(moments.mean, values.mean(), rtol=1e-12)
    np.testing.assert_allclose(moments.squares, values.var() * 24, rtol=1e-10)


def test_running_standardization_counts_the_batch_itself_and_all_before(float64):
    first, second = _rewards(4), 10 + _rewards(5)
    one, moments = standardize_running(first, RunningMoments.empty())
    two, moments = standardize_running(second, moments)
    both = np.concatenate([first, second])
    np.testing.assert_allclose(one, (first - first.mean()) / np.std(first), rtol=1e-10)  # divisor n
    np.testing.assert_allclose(two, (second - both.mean()) / both.std(), rtol=1e-10)
    assert moments.seen == 24


def test_standardize_by_picks_each_and_always_updates_the_moments():
    rewards, before = _rewards(6), RunningMoments.empty().update(_rewards(7))
    expected = {
        "none": rewards,
        "batch": standardize(rewards),
        "per_prompt": standardize_per_prompt(rewards),
        "running": standardize_running(rewards, before)[0],
    }
    for index, name in enumerate(STANDARDIZATIONS):
        advantages, after = standardize_by(jnp.asarray(index), rewards, before)
        np.testing.assert_array_equal(advantages, expected[name])
        assert after.seen == 24
    values = [np.asarray(v) for v in expected.values()]
    assert all(not np.allclose(a, b, atol=1e-3) for a, b in itertools.combinations(values, 2))


def test_too_few_rewards_are_an_error():
    with pytest.raises(ValueError, match="at least 2 rewards are needed, got 1"):
        standardize(jnp.ones((1, 1)))
    with pytest.raises(ValueError, match="at least 2 responses a prompt, got 1"):
        leave_one_out(jnp.ones((3, 1)))


def test_leave_one_out_is_the_centered_reward_times_n_over_n_minus_1(float64):
    r = np.asarray(_rewards(8))
    by_hand = [[x - (sum(row) - x) / 3 for x in row] for row in r]  # against the mean of the other three
    np.testing.assert_allclose(leave_one_out(_rewards(8)), by_hand, rtol=1e-12)
    np.testing.assert_allclose(by_hand, 4 / 3 * (r - r.mean(axis=1, keepdims=True)), rtol=1e-10)


def test_leave_one_out_keeps_the_policy_gradient_unbiased(float64):
    """Mean of (1/N) Σ A_i ∇log π(y_i) over all 27 triples of a 3-armed policy is ∇E[r] = π (r - E r).

    The baseline that contains r_i itself shrinks it by (N-1)/N, which shows that the test can tell them apart.
    """
    policy, arm_rewards, n = np.array([0.5, 0.3, 0.2]), np.array([0.2, 1.0, -0.7]), 3
    scores = np.eye(3) - policy  # ∇log π(y) on the logits: e_y - π, one row per y
    triples = np.array(list(itertools.product(range(3), repeat=n)))
    probability = policy[triples].prod(axis=1)
    rewards = arm_rewards[triples]

    def mean_gradient(advantages):
        each = (np.asarray(advantages)[..., None] * scores[triples]).mean(axis=1)
        return probability @ each

    exact = policy * (arm_rewards - policy @ arm_rewards)
    np.testing.assert_allclose(mean_gradient(leave_one_out(jnp.asarray(rewards))), exact, atol=1e-12)
    centered = rewards - rewards.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(mean_gradient(centered), exact * (n - 1) / n, atol=1e-12)


LOGITS = np.array([0.4, -1.0, 0.0, 1.3])
POLICY = np.exp(LOGITS) / np.exp(LOGITS).sum()
REFERENCE = np.array([0.1, 0.2, 0.3, 0.4])


def test_kl_in_the_reward_is_the_gradient_of_the_penalty(float64):
    """E_π[(-β log π/π_ref) ∇log π] = ∇(-β KL(π ‖ π_ref)) = -β π [log(π/π_ref) - KL], by enumeration."""
    beta, log_ratio = 0.7, np.log(POLICY / REFERENCE)
    shaped = kl_shaped_rewards(jnp.zeros(4), jnp.log(POLICY), jnp.log(REFERENCE), beta)
    policy_gradient = (POLICY * np.asarray(shaped)) @ (np.eye(4) - POLICY)
    exact = -beta * POLICY * (log_ratio - POLICY @ log_ratio)
    assert np.abs(exact).max() > 0.01
    np.testing.assert_allclose(policy_gradient, exact, atol=1e-12)


def test_kl_in_the_loss_of_frozen_samples_has_no_gradient(float64):
    """Σ π_frozen(y) ∇[log π(y) - log π_ref(y)] = Σ ∇π = 0: the released code's term regularises nothing."""

    def in_the_loss(logits):
        ratios = log_ratios(jax.nn.log_softmax(logits), jnp.log(REFERENCE))
        return (POLICY * ratios).sum()

    np.testing.assert_allclose(jax.grad(in_the_loss)(jnp.asarray(LOGITS)), 0.0, atol=1e-15)


def test_kl_shaped_rewards_are_constants_of_the_policy():
    # 2 - .5 (log .8 - log .2) = 2 - .5 log 4.
    shaped = lambda log_prob: kl_shaped_rewards(jnp.asarray(2.0), log_prob, jnp.log(0.2), 0.5)
    value, gradient = jax.value_and_grad(shaped)(jnp.log(0.8))
    np.testing.assert_allclose(value, 2 - 0.5 * np.log(4), rtol=1e-6)
    assert gradient == 0.0
