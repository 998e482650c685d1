"""Maximum likelihood on responses that rewards select or weight: Best-of-N, ReST, RWR, Pref-FT, Binary FeedME.

All of them are ℓ = -F(y_i | y_1…y_N) log π(y_i | x) (paper 2.2) with F ≥ 0; they differ in F alone, and F is what
the `…_weights` functions return. None of them pushes a response down; `best_of_n_negative_gradient` and
`unlikelihood` add exactly that.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from modeseek.bandit.objectives.pairs import Ties, ranks


def weighted_likelihood(log_probs: Float[Array, "*B"], weights: Float[Array, "*B"]) -> Float[Array, "*B"]:
    """ℓ = -F · log π(y | x), F constant. Shapes as `log_probs`, in nats."""
    return -jax.lax.stop_gradient(weights) * log_probs


def best_of_n_weights(rewards: Float[Array, "*B N"]) -> Float[Array, "*B N"]:
    """F = 1 for the best response of a prompt, else 0 (paper I.2.1; SuperHF, RAFT). The first of equal ones wins."""
    return (ranks(rewards) == 0).astype(rewards.dtype)


def top_k_weights(rewards: Float[Array, "*B N"], k: Float[Array, ""] | float) -> Float[Array, "*B N"]:
    """F = 1 for the K best responses of a prompt, else 0 (ReST; Gulcehre et al., 2023). K = 1 is Best-of-N."""
    return (ranks(rewards) < k).astype(rewards.dtype)


def exponential_weights(
    advantages: Float[Array, "P N"], temperature: Float[Array, ""] | float, self_normalize: bool = True
) -> Float[Array, "P N"]:
    """F = exp(r̄ / β), reward-weighted regression (Peters & Schaal, 2007; paper I.2.5).

    With `self_normalize` F is divided by its mean over the batch: the same direction, whatever the rewards' scale,
    and as β → 0 all weight goes to the best response. Without, it is the paper's formula to the letter, whose
    size (e^30 at β = .1 and r̄ = 3) overflows float32 in Adam's second moment from about r̄ = 4.4.

    Args:
        advantages: r̄, standardised rewards.
        temperature: β > 0.
        self_normalize: see above.
    """
    exponent = advantages / temperature
    if not self_normalize:
        return jnp.exp(exponent)
    return jax.nn.softmax(exponent, axis=(-2, -1)) * exponent.size


def win_weights(pair_weights: Float[Array, "*B N N"]) -> Float[Array, "*B N"]:
    """F = number of pairs that a response wins: supervised fine-tuning on y_w of each pair (Pref-FT)."""
    return pair_weights.sum(axis=-1)


def binary_weights(pair_weights: Float[Array, "*B N N"]) -> Float[Array, "*B N"]:
    """F = 1 if a response wins more pairs than it loses, else 0 (Binary FeedME).

    FeedME trains on what was rated good; AlpacaFarm's binary form calls the preferred one of *two* responses good
    (Dubois et al., 2024), which this is at N = 2. For N > 2, "good" is our reading: more wins than losses.
    """
    wins, losses = pair_weights.sum(axis=-1), pair_weights.sum(axis=-2)
    return (wins > losses).astype(pair_weights.dtype)


def _below_best(rewards: Array, ties: Ties) -> Array:
    """Responses that are worse than the best. Copies of it are not (paper: y_j ≠ y_best), or a policy that has found
    the best response would be pushed off it; with `keep` they are, as in the released code."""
    if ties == "keep":
        return jnp.ones_like(rewards, bool)
    return rewards < rewards.max(axis=-1, keepdims=True)


def worst_negatives(rewards: Float[Array, "*B N"], ties: Ties = "skip") -> Float[Array, "*B N"]:
    """Push down the worst response alone."""
    worst = ranks(rewards) == rewards.shape[-1] - 1
    return (worst & _below_best(rewards, ties)).astype(rewards.dtype)


def summed_negatives(rewards: Float[Array, "*B N"], ties: Ties = "skip") -> Float[Array, "*B N"]:
    """Push down every response but the best, each with weight 1 (paper I.2.1)."""
    return ((ranks(rewards) > 0) & _below_best(rewards, ties)).astype(rewards.dtype)


def averaged_negatives(rewards: Float[Array, "*B N"], ties: Ties = "skip") -> Float[Array, "*B N"]:
    """Push down every response but the best, each with weight 1/(N-1)."""
    return summed_negatives(rewards, ties) / (rewards.shape[-1] - 1)


def best_of_n_negative_gradient(
    log_probs: Float[Array, "*B N"],
    rewards: Float[Array, "*B N"],
    negatives: Float[Array, "*B N"],
    negative_weight: Float[Array, ""] | float,
    threshold: Float[Array, ""] | float,
) -> Float[Array, "*B"]:
    """Best-of-N that also minimises the likelihood of other responses.

    ℓ = -log π(y_best | x) + β Σ_j n_j 1[π(y_j | x) / π(y_best | x) > threshold] log π(y_j | x)      paper I.2.1

    The sum is unbounded below, so a response is pushed only while it is still likely, "above a certain threshold"
    in the paper; relative to the best response, as in the released code (0.01).

    Args:
        log_probs: log π(y_j | x), nats.
        rewards: decide which response is the best.
        negatives: n_j ≥ 0, from `worst_negatives`, `summed_negatives` or `averaged_negatives`.
        negative_weight: β.
        threshold: on the likelihood ratio; 0 pushes always.

    Returns:
        The loss of each prompt.
    """
    best = best_of_n_weights(rewards)
    best_log_prob = (best * log_probs).sum(axis=-1)
    log_ratio = jax.lax.stop_gradient(log_probs - best_log_prob[..., None])
    pushed = jnp.where(log_ratio > jnp.log(threshold), jax.lax.stop_gradient(negatives), 0.0)
    return -best_log_prob + negative_weight * (pushed * log_probs).sum(axis=-1)


def unlikelihood(
    log_probs: Float[Array, "*B N"],
    rewards: Float[Array, "*B N"],
    negatives: Float[Array, "*B N"],
    negative_weight: Float[Array, ""] | float,
) -> Float[Array, "*B"]:
    """Unlikelihood training (Welleck et al., 2020): bounded, since log(1 - π) vanishes with π.

    ℓ = -log π(y_best | x) - β Σ_j n_j log(1 - π(y_j | x))

    Its push on y_j is π_j/(1-π_j): strong on likely responses, nothing on unlikely ones, without a threshold.
    Arguments and result as in `best_of_n_negative_gradient`.
    """
    best = best_of_n_weights(rewards)
    best_log_prob = (best * log_probs).sum(axis=-1)
    # log(1 - e^a) for a < 0; the bound keeps π = 1 (a = 0) finite, value and gradient.
    complement = jnp.log(-jnp.expm1(jnp.minimum(log_probs, -1e-6)))
    return -best_log_prob - negative_weight * (jax.lax.stop_gradient(negatives) * complement).sum(axis=-1)
