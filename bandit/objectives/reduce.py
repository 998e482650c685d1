"""The one reduction of a method's losses, and what it says about each response and each token.

An objective sees the parameters through log-probs alone. So a gradient step can be had in two halves, exactly: first
the derivative of the reduced loss with respect to each token's log-prob, over the whole batch at once
(`token_weights`), then weighted cross-entropy with these weights, in parts of any size.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from modeseek.bandit.objectives.batch import Batch, HyperParameters, Options
from modeseek.bandit.objectives.log_probs import kept
from modeseek.bandit.objectives.method import Method


def weighted_mean(losses: Float[Array, "*B"], weights: Float[Array, "*B"]) -> Float[Array, ""]:
    """The one reduction: Σ w·l / Σ w, and 0 where all weights are 0 (no pair, no response to learn from).

    Weights say how often a loss counts (`Losses`); an algorithm's own coefficients belong into the loss.
    """
    total = weights.sum()
    return (weights * kept(losses, weights > 0)).sum() / jnp.where(total > 0, total, 1.0)


def loss(method: Method, batch: Batch, hyper: HyperParameters, options: Options) -> Float[Array, ""]:
    """L: the weighted mean of a method's losses over a batch.

    Raises:
        ValueError: the batch holds None where the method needs an array.
    """
    return weighted_mean(*method.objective(batch, hyper, options))


def token_weights(
    method: Method, batch: Batch, hyper: HyperParameters, options: Options
) -> tuple[Float[Array, ""], Float[Array, "P N T"]]:
    """L, and w = -∂L/∂log π(y_t | x, y_<t): w > 0 pushes a token up, w < 0 down, 0 where a mask is false.

    The weighted cross-entropy -Σ w log π, w constant, has L's gradient (not its value) in all parameters.
    """
    value, gradient = jax.value_and_grad(
        lambda log_probs: loss(method, batch._replace(token_log_probs=log_probs), hyper, options)
    )(batch.token_log_probs)
    return value, -gradient


def mean_over_tokens(values: Float[Array, "P N T"], batch: Batch) -> Float[Array, "P N"]:
    """Mean of a number for each token over the real tokens of each response."""
    if batch.token_mask is None:
        return values.mean(axis=-1)
    return kept(values, batch.token_mask).sum(axis=-1) / batch.lengths


def response_weights(method: Method, batch: Batch, hyper: HyperParameters, options: Options) -> Float[Array, "P N"]:
    """w = -∂L/∂log π(y | x): a gradient step follows Σ w ∇ log π(y | x), so w > 0 pushes a response up, w < 0 down.

    Where a method weighs the tokens of a response differently (ratios of tokens), the mean over its real tokens.
    """
    return mean_over_tokens(token_weights(method, batch, hyper, options)[1], batch)
