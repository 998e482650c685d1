"""Weighted maximum likelihood and its two extensions that push responses down."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modeseek.bandit.objectives.batch import Batch, HyperParameters, Options
from modeseek.bandit.objectives.likelihood import (
    averaged_negatives,
    best_of_n_negative_gradient,
    best_of_n_weights,
    binary_weights,
    exponential_weights,
    summed_negatives,
    top_k_weights,
    unlikelihood,
    weighted_likelihood,
    win_weights,
    worst_negatives,
)
from modeseek.bandit.objectives.pairs import all_pairs
from modeseek.bandit.objectives.reduce import weighted_mean
from modeseek.bandit.objectives.registry import METHODS

REWARDS = jnp.asarray([[0.3, 0.9, 0.1, 0.5]])  # the best is 1, the worst 2; the ranking 1 > 3 > 0 > 2
LOG_PROBS = jnp.log(jnp.asarray([[0.1, 0.4, 0.2, 0.3]]))


def test_weighted_likelihood_and_its_gradient():
    wrt = jax.value_and_grad(lambda l, w: weighted_likelihood(l, w).sum(), argnums=(0, 1))
    value, (on_log_probs, on_weights) = wrt(jnp.asarray([-1.0, -2.0]), jnp.asarray([3.0, 0.0]))
    assert value == 3.0
    np.testing.assert_array_equal(on_log_probs, [-3, 0])
    np.testing.assert_array_equal(on_weights, [0, 0])


def test_best_of_n_picks_the_best_and_of_equal_ones_the_first():
    np.testing.assert_array_equal(best_of_n_weights(REWARDS), [[0, 1, 0, 0]])
    np.testing.assert_array_equal(best_of_n_weights(jnp.asarray([1.0, 2.0, 2.0])), [0, 1, 0])


def test_top_k_keeps_k_and_top_1_is_best_of_n():
    np.testing.assert_array_equal(top_k_weights(REWARDS, 2.0), [[0, 1, 0, 1]])
    for rewards in (REWARDS, jnp.asarray([[1.0, 2.0, 2.0, 0.0]])):
        np.testing.assert_array_equal(top_k_weights(rewards, 1.0), best_of_n_weights(rewards))
        np.testing.assert_array_equal(top_k_weights(rewards, 4.0), np.ones((1, 4)))
    assert top_k_weights(jnp.zeros((2, 5)), 3.0).sum() == 6  # ties do not add responses


def _rwr_gradient(advantages, temperature, self_normalize):
    """Gradient of RWR's mean loss on log π of each response."""
    weights = exponential_weights(advantages, temperature, self_normalize)
    return jax.grad(lambda l: weighted_likelihood(l, weights).mean())(jnp.zeros_like(advantages))


def test_rwr_without_normalization_is_the_papers_formula():
    np.testing.assert_allclose(
        exponential_weights(jnp.asarray([[0.0, 1.0, -2.0]]), 0.5, self_normalize=False),
        [[1.0, np.exp(2), np.exp(-4)]],
        rtol=1e-6,
    )


def test_self_normalization_divides_by_the_mean_weight(float64):
    """So the gradient keeps its direction: raw = (mean weight) times self-normalised, over the whole batch."""
    advantages = jnp.asarray(np.random.default_rng(0).normal(size=(3, 4)))
    mean_weight = np.exp(np.asarray(advantages) / 0.5).mean()
    raw, normalized = (_rwr_gradient(advantages, 0.5, s) for s in (False, True))
    np.testing.assert_allclose(raw, mean_weight * normalized, rtol=1e-12)
    assert abs(mean_weight - 1) > 0.1
    np.testing.assert_allclose(exponential_weights(advantages, 0.5).mean(), 1.0)


def test_self_normalized_rwr_ignores_the_rewards_shift():
    advantages = jnp.asarray([[0.5, -1.0, 2.0]])
    shifted = exponential_weights(advantages + 300.0, 1.0)  # e^300 alone would overflow
    np.testing.assert_allclose(shifted, exponential_weights(advantages, 1.0), rtol=1e-4)


def test_rwr_becomes_best_of_n_as_its_temperature_falls():
    """On one prompt all of Σ F = N goes to the best, so the mean loss is Best-of-N's -log π(y_best)."""
    np.testing.assert_allclose(exponential_weights(REWARDS, 0.001), 4 * best_of_n_weights(REWARDS), atol=1e-6)
    loss = weighted_likelihood(LOG_PROBS, exponential_weights(REWARDS, 0.001)).mean()
    np.testing.assert_allclose(loss, -np.log(0.4), rtol=1e-6)
    # The larger temperature is still somewhere else: the reward gap of .4 is e^-0.4 at temperature 1.
    assert exponential_weights(REWARDS, 1.0)[0, 1] < 2


def test_cold_rwr_of_several_prompts_learns_from_the_best_of_the_batch_alone():
    weights = exponential_weights(jnp.asarray([[0.0, 1.0], [3.0, 2.0]]), 0.001)
    np.testing.assert_allclose(weights, [[0, 0], [4, 0]], atol=1e-6)


def test_rwr_becomes_uniform_as_its_temperature_rises():
    for self_normalize in (False, True):
        np.testing.assert_allclose(exponential_weights(REWARDS, 1e6, self_normalize), np.ones((1, 4)), atol=1e-5)


def test_win_weights_count_won_pairs():
    pairs = all_pairs(REWARDS)
    np.testing.assert_array_equal(win_weights(pairs), [[1, 3, 0, 2]])
    assert win_weights(pairs).sum() == pairs.sum() == 6


def test_binary_weights_are_more_wins_than_losses():
    # wins 1, 3, 0, 2 of 3 pairs each; the middle one of three wins and loses once and is not good.
    np.testing.assert_array_equal(binary_weights(all_pairs(REWARDS)), [[0, 1, 0, 1]])
    np.testing.assert_array_equal(binary_weights(all_pairs(jnp.asarray([3.0, 2.0, 1.0]))), [1, 0, 0])


@pytest.mark.parametrize("name", ["pref_ft", "binary_feedme", "best_of_n"])
def test_of_two_responses_these_are_fine_tuning_on_the_better(name):
    """Mean over prompts of -log π(y_w): (1 + 4) / 2 for better responses 0 and 1."""
    token_log_probs = jnp.asarray([[[-1.0], [-2.0]], [[-3.0], [-4.0]]])
    rewards = jnp.asarray([[0.7, 0.2], [0.1, 0.3]])

    def loss(tokens):
        batch = Batch(tokens, tokens, tokens, rewards, rewards)
        return weighted_mean(*METHODS[name].objective(batch, HyperParameters(), Options()))

    value, gradient = jax.value_and_grad(loss)(token_log_probs)
    assert value == 2.5
    np.testing.assert_array_equal(gradient[..., 0], [[-0.5, 0], [0, -0.5]])


def test_the_three_ways_to_choose_negatives():
    np.testing.assert_array_equal(worst_negatives(REWARDS), [[0, 0, 1, 0]])
    np.testing.assert_array_equal(summed_negatives(REWARDS), [[1, 0, 1, 1]])
    np.testing.assert_allclose(averaged_negatives(REWARDS), [[1 / 3, 0, 1 / 3, 1 / 3]])


def test_of_equally_bad_responses_one_is_the_worst_and_none_is_best_and_worst():
    rewards = jnp.asarray([[0.5, 0.0, 0.0]])
    np.testing.assert_array_equal(worst_negatives(rewards), [[0, 0, 1]])
    equal = jnp.zeros((1, 3))
    assert ((worst_negatives(equal, "keep") * best_of_n_weights(equal)) == 0).all()


# log π(y_best) = log .4; the others log .1, log .2, log .3, with relative likelihoods .25, .5, .75.
NEGATIVE_CASES = {
    "sum, no threshold": (summed_negatives, 0.0, np.log(0.1) + np.log(0.2) + np.log(0.3), [1, 1, 1]),
    "sum, between the first and second": (summed_negatives, 0.4, np.log(0.2) + np.log(0.3), [0, 1, 1]),
    "sum, above all": (summed_negatives, 0.8, 0.0, [0, 0, 0]),
    "mean": (averaged_negatives, 0.4, (np.log(0.2) + np.log(0.3)) / 3, [0, 1 / 3, 1 / 3]),
    "worst, pushed": (worst_negatives, 0.49, np.log(0.2), [0, 1, 0]),
    "worst, below the threshold": (worst_negatives, 0.51, 0.0, [0, 0, 0]),
}


@pytest.mark.parametrize("case", NEGATIVE_CASES)
def test_best_of_n_with_negative_gradient_is_its_formula(case):
    negatives, threshold, pushed, slopes = NEGATIVE_CASES[case]
    value, gradient = jax.value_and_grad(
        lambda l: best_of_n_negative_gradient(l, REWARDS, negatives(REWARDS), 0.7, threshold)[0]
    )(LOG_PROBS)
    np.testing.assert_allclose(value, -np.log(0.4) + 0.7 * pushed, rtol=1e-6)
    # -1 on the best (index 1), + β n_j on what is pushed (0, 2, 3): nothing flows through the threshold.
    np.testing.assert_allclose(gradient[0, 1], -1.0)
    np.testing.assert_allclose(gradient[0, jnp.asarray([0, 2, 3])], 0.7 * np.array(slopes), rtol=1e-6)


def test_unlikelihood_is_its_formula():
    """-log .4 - β Σ log(1 - π_j), with slope β π_j/(1 - π_j) on log π_j: .1/.9, .2/.8, .3/.7."""
    value, gradient = jax.value_and_grad(lambda l: unlikelihood(l, REWARDS, summed_negatives(REWARDS), 0.7)[0])(
        LOG_PROBS
    )
    np.testing.assert_allclose(value, -np.log(0.4) - 0.7 * (np.log(0.9) + np.log(0.8) + np.log(0.7)), rtol=1e-6)
    np.testing.assert_allclose(gradient[0], [0.7 / 9, -1, 0.7 / 4, 0.7 * 3 / 7], rtol=1e-5)


def test_unlikelihood_of_a_vanishing_response_vanishes():
    """1 - π → 1: no loss and no push, where Best-of-N + negative gradient would go on for ever."""
    log_probs = jnp.asarray([[-1.0, -1e4]])
    value, gradient = jax.value_and_grad(lambda l: unlikelihood(l, jnp.asarray([[1.0, 0.0]]), jnp.eye(2)[1:], 1.0)[0])(
        log_probs
    )
    assert value == 1.0
    np.testing.assert_array_equal(gradient, [[-1, 0]])


@pytest.mark.parametrize("log_prob", [0.0, -1e-9, -1e-6, -1e-4])
def test_unlikelihood_of_a_certain_response_is_finite_and_large(log_prob):
    """-log(1 - π) grows without bound as π → 1; float32 holds it from 1 - π = 1e-4, which costs 9.2 nats."""
    value, gradient = jax.value_and_grad(lambda l: unlikelihood(l, jnp.asarray([[1.0, 0.0]]), jnp.eye(2)[1:], 1.0)[0])(
        jnp.asarray([[0.0, log_prob]])
    )
    assert 9.2 < value < jnp.inf
    assert jnp.isfinite(gradient).all()
    assert gradient[0, 1] >= 0


def test_copies_of_the_best_response_are_not_pushed_down():
    """Three copies of the best and one worse: only the worse is a negative; the released code pushes the copies too."""
    rewards = jnp.asarray([[0.9, 0.9, 0.1, 0.9]])
    np.testing.assert_array_equal(summed_negatives(rewards), [[0, 0, 1, 0]])
    np.testing.assert_array_equal(summed_negatives(rewards, "keep"), [[0, 1, 1, 1]])
    np.testing.assert_array_equal(worst_negatives(rewards), [[0, 0, 1, 0]])
    collapsed = jnp.full((1, 4), 0.9)
    for negatives in (summed_negatives, averaged_negatives, worst_negatives):
        np.testing.assert_array_equal(negatives(collapsed), np.zeros((1, 4)))
