"""From logits to log-probabilities of responses: the one token shift of the project, masked sums, log-ratios."""

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

Scoring = Literal["next_token", "same_token"]


def shift(tokens: Int[Array, "*B S"], scoring: Scoring = "next_token") -> tuple[Array, Array]:
    """Split sequences into what the policy reads and what it is scored on.

    `next_token`: position t reads y₀…y_t and is scored on y_{t+1}; this is log π(y | x), the paper's text.
    `same_token`: position t is scored on y_t, which it has already read. That is what the paper's released
    code does; the probabilities of all sequences then do not sum to one. It is kept for reproduction alone.

    Args:
        tokens: `[..., S]` token ids, the prompt first.
        scoring: which of the two.

    Returns:
        inputs and targets, `[..., S-1]` each (`[..., S]` for `same_token`).
    """
    if scoring == "next_token":
        return tokens[..., :-1], tokens[..., 1:]
    if scoring == "same_token":
        return tokens, tokens
    raise ValueError(f"scoring must be 'next_token' or 'same_token', got {scoring!r}")


def gather(all_log_probs: Float[Array, "*B V"], targets: Int[Array, "*B"]) -> Float[Array, "*B"]:
    """Log-probability of each target token: log π(y_t | y_<t) from log π(· | y_<t)."""
    return jnp.take_along_axis(all_log_probs, targets[..., None], axis=-1)[..., 0]


def token_log_probs(logits: Float[Array, "*B V"], targets: Int[Array, "*B"]) -> Float[Array, "*B"]:
    """log softmax(logits) at the targets, `[..., T, V]` and `[..., T]` to `[..., T]`, in nats."""
    return gather(jax.nn.log_softmax(logits, axis=-1), targets)


def sequence_log_probs(
    token_log_probs: Float[Array, "*B T"], mask: Bool[Array, "*B T"] | None = None
) -> Float[Array, "*B"]:
    """log π(y | x) = Σ_t log π(y_t | x, y_<t), over the tokens where `mask` is true (all, if there is none)."""
    return kept(token_log_probs, mask).sum(axis=-1)


def kept(values: Float[Array, "*B"], mask: Bool[Array, "*B"] | None) -> Float[Array, "*B"]:
    """Values where `mask` is true, 0 elsewhere (all of them, if there is none).

    A choice and not a product: a padded place may hold -inf or NaN, which times 0 is NaN, in value and gradient.
    """
    return values if mask is None else jnp.where(mask, values, 0.0)


def weighted(log_probs: Float[Array, "*B"], weights: Float[Array, "*B"]) -> Float[Array, "*B"]:
    """w · log π, and 0 where w = 0, even of log π = -inf: what a loss leaves out may be impossible.

    A response that counts (w ≠ 0) and is impossible makes an infinite loss; its gradient is w all the same.
    """
    return weights * kept(log_probs, weights != 0)


def scaled(losses: Float[Array, "*B"], weight: Float[Array, ""] | float) -> Float[Array, "*B"]:
    """A term of a loss times its weight, and 0 where the weight is 0, even of an infinite term."""
    return weight * jnp.where(weight != 0, losses, 0.0)


def token_counts(tokens: Float[Array, "*B T"], mask: Bool[Array, "*B T"] | None = None) -> Float[Array, "*B"]:
    """Real tokens of each response, of an array with one number a token."""
    return kept(jnp.ones_like(tokens), mask).sum(axis=-1)


def log_ratios(log_probs: Float[Array, "*B"], reference_log_probs: Float[Array, "*B"]) -> Float[Array, "*B"]:
    """log π(y | x) - log π_ref(y | x): the implicit reward of eq. 4 at β = 1; the reference is constant."""
    return log_probs - jax.lax.stop_gradient(reference_log_probs)
