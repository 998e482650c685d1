"""The one reduction, and its derivatives with respect to tokens and responses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from method_cases import HYPER, OPTIONS, every_method, every_unit, loss_of, random_batch, slope_of

from modeseek.bandit.objectives.batch import Losses
from modeseek.bandit.objectives.method import Method
from modeseek.bandit.objectives.reduce import loss, response_weights, token_weights, weighted_mean
from modeseek.bandit.objectives.registry import METHODS


def test_weighted_mean_divides_by_the_weights():
    # (1·2 + 0·100 + 1·5) / 2; and over all axes at once.
    assert weighted_mean(jnp.asarray([2.0, 100.0, 5.0]), jnp.asarray([1.0, 0.0, 1.0])) == 3.5
    assert weighted_mean(jnp.asarray([[2.0, 4.0], [6.0, 8.0]]), jnp.asarray([[1.0, 0.0], [2.0, 1.0]])) == 22 / 4


def test_weighted_mean_of_nothing_is_zero_and_so_is_its_gradient():
    value, gradient = jax.value_and_grad(weighted_mean)(jnp.asarray([3.0, 4.0]), jnp.zeros(2))
    assert value == 0.0
    np.testing.assert_array_equal(gradient, [0, 0])


@pytest.mark.parametrize("bad", [jnp.inf, -jnp.inf, jnp.nan])
def test_an_infinite_loss_of_weight_zero_is_left_out(bad):
    value, gradient = jax.value_and_grad(weighted_mean)(jnp.asarray([bad, 4.0, 6.0]), jnp.asarray([0.0, 1.0, 1.0]))
    assert value == 5.0
    np.testing.assert_array_equal(gradient, [0, 0.5, 0.5])


@every_method
@every_unit
def test_token_weights_are_the_losss_derivative_turned_round(name, options, float64):
    batch = random_batch(0)
    value, weights = token_weights(METHODS[name], batch, HYPER, options)
    np.testing.assert_allclose(value, loss_of(name, batch, options=options), rtol=1e-12)
    np.testing.assert_allclose(weights, -slope_of(name, batch, options=options), rtol=1e-10, atol=1e-14)
    per_response = response_weights(METHODS[name], batch, HYPER, options)
    np.testing.assert_allclose(per_response, np.asarray(weights).mean(axis=-1), rtol=1e-10, atol=1e-14)


@every_method
@every_unit
def test_weighted_cross_entropy_a_prompt_at_a_time_has_the_whole_batchs_gradient(name, options, float64):
    """Direct differentiation through a small softmax model, against weights and then one part after the other."""
    batch = random_batch(0)
    tokens = jnp.asarray(np.random.default_rng(1).integers(0, 5, batch.token_log_probs.shape))
    params = jnp.asarray(np.random.default_rng(2).normal(size=(2, 5)))

    def scored(params, tokens):
        return jax.nn.log_softmax(params)[jnp.broadcast_to(jnp.arange(2)[None, None], tokens.shape), tokens]

    def direct(params):
        return loss(METHODS[name], batch._replace(token_log_probs=scored(params, tokens)), HYPER, options)

    value, weights = token_weights(
        METHODS[name], batch._replace(token_log_probs=scored(params, tokens)), HYPER, options
    )
    parts = [jax.grad(lambda q, p=p: -(weights[p] * scored(q, tokens[p : p + 1])[0]).sum())(params) for p in range(3)]
    np.testing.assert_allclose(value, direct(params), rtol=1e-12)
    np.testing.assert_allclose(sum(parts), jax.grad(direct)(params), rtol=1e-10, atol=1e-13)


def _of_tokens(weigh):
    """A method with a loss for each token, -A log π, weighed in one of the ways that methods to come ask for."""

    def objective(batch, hyper, options):
        losses = -batch.advantages[..., None] * batch.token_log_probs
        return Losses(losses, weigh(batch.mask.astype(losses.dtype)))

    return Method(
        name="of_tokens",
        title="Of tokens",
        objective=objective,
        on_policy=True,
        sample_reuse=True,
        negative_gradient=True,
        seeking=None,
        source="this test",
        needs=frozenset({"advantages"}),
    )


def test_losses_of_tokens_reduce_by_their_weights():
    """Responses of 1 and 2 tokens, losses 1 and 3, 5: a mean over tokens, and one over responses' means (GRPO)."""
    batch = random_batch(0, prompts=1, responses=2)._replace(
        token_log_probs=jnp.asarray([[[-1.0, -jnp.inf], [-3.0, -5.0]]]),
        advantages=jnp.ones((1, 2)),
        mask=jnp.asarray([[[True, False], [True, True]]]),
    )
    over_tokens, over_responses = _of_tokens(lambda m: m), _of_tokens(lambda m: m / m.sum(axis=-1, keepdims=True))
    np.testing.assert_allclose(loss(over_tokens, batch, HYPER, OPTIONS), (1 + 3 + 5) / 3)
    np.testing.assert_allclose(loss(over_responses, batch, HYPER, OPTIONS), (1 + (3 + 5) / 2) / 2)
    _, weights = token_weights(over_responses, batch, HYPER, OPTIONS)
    np.testing.assert_allclose(weights, [[[1 / 2, 0], [1 / 4, 1 / 4]]])
    np.testing.assert_allclose(response_weights(over_responses, batch, HYPER, OPTIONS), [[1 / 2, 1 / 4]])
