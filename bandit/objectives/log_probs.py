"""From logits to log-probabilities of responses: the one token shift of the project, and masked sums."""

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
    if mask is None:
        return token_log_probs.sum(axis=-1)
    # `where`, not a product: a padded position may hold -inf, and 0 · inf is NaN.
    return jnp.where(mask, token_log_probs, 0.0).sum(axis=-1)


def weighted_mean(losses: Float[Array, "*B"], weights: Float[Array, "*B"]) -> Float[Array, ""]:
    """The one reduction: Σ w·l / Σ w, and 0 where all weights are 0 (no pair, no response to learn from).

    Weights count (0 for a tie or a pad, 1, or the pairs that a response stands for); an algorithm's own
    coefficients belong into the loss.
    """
    total = weights.sum()
    kept = jnp.where(weights > 0, losses, 0.0)
    return (weights * kept).sum() / jnp.where(total > 0, total, 1.0)
