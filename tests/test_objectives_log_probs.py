"""The token shift, log-probabilities of responses and masked sums."""

import inspect
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modeseek.bandit.objectives.log_probs import gather, sequence_log_probs, shift, token_log_probs


def test_next_token_reads_all_but_the_last_and_scores_all_but_the_first():
    inputs, targets = shift(jnp.asarray([[7, 1, 2, 3], [8, 4, 5, 6]]), "next_token")
    np.testing.assert_array_equal(inputs, [[7, 1, 2], [8, 4, 5]])
    np.testing.assert_array_equal(targets, [[1, 2, 3], [4, 5, 6]])


def test_next_token_is_the_default():
    np.testing.assert_array_equal(shift(jnp.asarray([7, 1, 2]))[1], [1, 2])


def test_same_token_scores_what_it_reads():
    inputs, targets = shift(jnp.asarray([[7, 1, 2, 3]]), "same_token")
    np.testing.assert_array_equal(inputs, [[7, 1, 2, 3]])
    np.testing.assert_array_equal(targets, [[7, 1, 2, 3]])


def test_an_unknown_scoring_is_named_in_the_error():
    plain = inspect.unwrap(shift)  # outside the tests no shape annotation is executed
    with pytest.raises(ValueError, match="scoring must be 'next_token' or 'same_token', got 'previous'"):
        plain(jnp.asarray([1, 2]), "previous")


def _score(table, tokens, scoring):
    """Log-probability of each row of tokens under a bigram policy: logits of what follows y are table[y]."""
    inputs, targets = shift(tokens, scoring)
    return sequence_log_probs(token_log_probs(table[inputs], targets))


@pytest.mark.parametrize("prompt", [0, 1, 2])
def test_probabilities_of_all_responses_sum_to_one(prompt):
    """Σ_y π(y | x) = 1 over the 9 responses of V = 3, T = 2, as it must be of the policy that is sampled from."""
    table = jnp.asarray(np.random.default_rng(0).normal(size=(3, 3)))
    tokens = jnp.asarray([(prompt, *y) for y in itertools.product(range(3), repeat=2)])
    np.testing.assert_allclose(np.exp(_score(table, tokens, "next_token")).sum(), 1.0, rtol=1e-6)


def test_same_token_scoring_is_not_a_distribution():
    """A policy that repeats its input with probability p gives p³ to each of 27 sequences, not to three of them."""
    repeat = jnp.log(jnp.full((3, 3), 0.05) + 0.85 * jnp.eye(3))  # rows: .90, .05, .05
    tokens = jnp.asarray(list(itertools.product(range(3), repeat=3)))
    np.testing.assert_allclose(np.exp(_score(repeat, tokens, "same_token")).sum(), 27 * 0.9**3, rtol=1e-5)


def test_gather_takes_the_target_of_each_position():
    table = jnp.arange(24.0).reshape(2, 3, 4)  # entry [b, t, v] is 12 b + 4 t + v
    np.testing.assert_array_equal(gather(table, jnp.asarray([[3, 0, 1], [2, 2, 0]])), [[3, 4, 9], [14, 18, 20]])


def test_token_log_probs_are_log_softmax_at_the_target():
    logits = jnp.log(jnp.asarray([[1.0, 2.0, 5.0]]))  # probabilities 1/8, 2/8, 5/8
    np.testing.assert_allclose(token_log_probs(logits, jnp.asarray([2])), [np.log(5 / 8)], rtol=1e-6)
    np.testing.assert_allclose(token_log_probs(logits + 100.0, jnp.asarray([1])), [np.log(2 / 8)], rtol=1e-4)


def test_sequence_log_probs_sums_the_tokens():
    np.testing.assert_allclose(sequence_log_probs(jnp.asarray([[-1.0, -2.0], [-3.0, -0.5]])), [-3.0, -3.5])


@pytest.mark.parametrize("padding", [-jnp.inf, jnp.inf, jnp.nan, -5.0])
def test_masked_positions_count_in_neither_value_nor_gradient(padding):
    mask = jnp.asarray([[True, True, False], [True, False, False]])
    tokens = jnp.where(mask, jnp.asarray([[-1.0, -2.0, 0.0], [-4.0, 0.0, 0.0]]), padding)
    np.testing.assert_allclose(sequence_log_probs(tokens, mask), [-3.0, -4.0])
    gradient = jax.grad(lambda t: sequence_log_probs(t, mask).sum())(tokens)
    np.testing.assert_array_equal(gradient, [[1, 1, 0], [1, 0, 0]])
