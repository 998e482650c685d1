"""Maximum likelihood on responses that rewards select or weight: Best-of-N, ReST, RWR, Pref-FT, Binary FeedME.

All of them are ℓ = -F(y_i | y_1…y_N) log π(y_i | x) (paper 2.2) with F ≥ 0; they differ in F alone, and F is what
the `…_weights` functions return. None of them pushes a response down; `best_of_n_negative_gradient` and
`unlikelihood` add exactly that. The registry's objectives stand below the losses that they call.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from modeseek.bandit.objectives.batch import (
    Batch,
    HyperParameters,
    Losses,
    Options,
    pair_weights,
    per_prompt,
    per_response,
)
from modeseek.bandit.objectives.log_probs import kept, sequence_log_probs, weighted
from modeseek.bandit.objectives.pairs import Ties, last_rank, ranks


def weighted_likelihood(log_probs: Float[Array, "*B"], weights: Float[Array, "*B"]) -> Float[Array, "*B"]:
    """ℓ = -F · log π(y | x), F constant. Shapes as `log_probs`, in nats.

    +inf, with gradient -F, where F > 0 and π = 0: what cannot be said is to be learnt. 0 where F = 0, whatever π is.
    """
    return -weighted(log_probs, jax.lax.stop_gradient(weights))


def best_of_n_weights(
    rewards: Float[Array, "*B N"], present: Bool[Array, "*B N"] | None = None
) -> Float[Array, "*B N"]:
    """F = 1 for the best response of a prompt, else 0 (paper I.2.1; SuperHF, RAFT). The first of equal ones wins."""
    return kept((ranks(rewards, present) == 0).astype(rewards.dtype), present)


def top_k_weights(
    rewards: Float[Array, "*B N"], k: Float[Array, ""] | float, present: Bool[Array, "*B N"] | None = None
) -> Float[Array, "*B N"]:
    """F = 1 for the K best responses of a prompt, else 0 (ReST; Gulcehre et al., 2023). K = 1 is Best-of-N."""
    return kept((ranks(rewards, present) < k).astype(rewards.dtype), present)


def exponential_weights(
    advantages: Float[Array, "P N"],
    temperature: Float[Array, ""] | float,
    self_normalize: bool = True,
    present: Bool[Array, "P N"] | None = None,
) -> Float[Array, "P N"]:
    """F = exp(r̄ / β), reward-weighted regression (Peters & Schaal, 2007; paper I.2.5).

    With `self_normalize` F is divided by its mean over the batch: the same direction, whatever the rewards' scale,
    and as β → 0 all weight goes to the best response. Without, it is the paper's formula to the letter, whose
    size (e^30 at β = .1 and r̄ = 3) overflows float32 in Adam's second moment from about r̄ = 4.4, and itself, F = inf,
    from r̄ = 8.9.

    Args:
        advantages: r̄, standardised rewards.
        temperature: β > 0.
        self_normalize: see above.
        present: which responses are real; the others have weight 0 and no part in the mean.
    """
    exponent = kept(advantages, present) / temperature
    if not self_normalize:
        return kept(jnp.exp(exponent), present)
    if present is None:
        return jax.nn.softmax(exponent, axis=(-2, -1)) * exponent.size
    # The least finite number and not -inf, whose softmax is NaN where no response is real.
    share = jax.nn.softmax(jnp.where(present, exponent, jnp.finfo(exponent.dtype).min), axis=(-2, -1))
    return kept(share * present.sum().astype(exponent.dtype), present)


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


def _below_best(rewards: Array, ties: Ties, present: Array | None) -> Array:
    """Real responses that are worse than the best. Copies of it are not (paper: y_j ≠ y_best), or a policy that has
    found the best response would be pushed off it; with `keep` they are, as in the released code."""
    real = jnp.ones_like(rewards, bool) if present is None else present
    if ties == "keep":
        return real
    return (rewards < rewards.max(axis=-1, keepdims=True, where=present, initial=-jnp.inf)) & real


def worst_negatives(
    rewards: Float[Array, "*B N"], ties: Ties = "skip", present: Bool[Array, "*B N"] | None = None
) -> Float[Array, "*B N"]:
    """Push down the worst response alone."""
    worst = ranks(rewards, present) == last_rank(rewards, present)
    return (worst & _below_best(rewards, ties, present)).astype(rewards.dtype)


def summed_negatives(
    rewards: Float[Array, "*B N"], ties: Ties = "skip", present: Bool[Array, "*B N"] | None = None
) -> Float[Array, "*B N"]:
    """Push down every response but the best, each with weight 1 (paper I.2.1)."""
    return ((ranks(rewards, present) > 0) & _below_best(rewards, ties, present)).astype(rewards.dtype)


def averaged_negatives(
    rewards: Float[Array, "*B N"], ties: Ties = "skip", present: Bool[Array, "*B N"] | None = None
) -> Float[Array, "*B N"]:
    """Push down every response but the best, each with weight 1/(N-1)."""
    others = rewards.shape[-1] - 1 if present is None else jnp.maximum(last_rank(rewards, present), 1.0)
    return summed_negatives(rewards, ties, present) / others


def best_of_n_negative_gradient(
    log_probs: Float[Array, "*B N"],
    rewards: Float[Array, "*B N"],
    negatives: Float[Array, "*B N"],
    negative_weight: Float[Array, ""] | float,
    threshold: Float[Array, ""] | float,
    *,
    log_likelihoods: Float[Array, "*B N"] | None = None,
    present: Bool[Array, "*B N"] | None = None,
) -> Float[Array, "*B"]:
    """Best-of-N that also minimises the likelihood of other responses.

    ℓ = -log π(y_best | x) + β Σ_j n_j 1[L(y_j) / L(y_best) > threshold] log π(y_j | x),   L(y) = π(y | x)   paper I.2.1

    The sum is unbounded below, so a response is pushed only while it is still likely, "above a certain threshold"
    in the paper; relative to the best response, as in the released code (0.01). At equal likelihood a token, thirty
    tokens stand to twenty as .01 to 1 from half a nat a token on, and would never be pushed: with
    L(y) = π(y | x)^(1/|y|) lengths do not matter.

    An impossible response, log π = -inf, is never above the threshold and is not pushed; where the best one is
    impossible, the loss is +inf, its gradient -1 on log π(y_best) as ever, and all that is possible is pushed.

    Args:
        log_probs: log π(y_j | x), nats.
        rewards: decide which response is the best.
        negatives: n_j ≥ 0, from `worst_negatives`, `summed_negatives` or `averaged_negatives`.
        negative_weight: β.
        threshold: on the likelihood ratio; 0 pushes all that is possible.
        log_likelihoods: log L(y_j); `log_probs`, if None.
        present: which responses are real.

    Returns:
        The loss of each prompt.
    """
    best = best_of_n_weights(rewards, present)
    best_log_prob = weighted(log_probs, best).sum(axis=-1)
    compared = log_probs if log_likelihoods is None else log_likelihoods
    best_compared = weighted(compared, best).sum(axis=-1)
    log_ratio = jax.lax.stop_gradient(compared - best_compared[..., None])
    pushed = jnp.where(log_ratio > jnp.log(threshold), jax.lax.stop_gradient(negatives), 0.0)
    return -best_log_prob + negative_weight * weighted(log_probs, pushed).sum(axis=-1)


NEAREST_TO_CERTAIN = -(2.0**-24)
"""log π up to which log(1 - π) is exact: that of the largest float32 below 1, 1 - 6e-8."""


def log_complement(log_probs: Float[Array, "*B"]) -> Float[Array, "*B"]:
    """log(1 - π) from log π ≤ 0, of responses or of tokens.

    Its slope on log π is -π/(1 - π). Nearer to certainty than float32 can say, π > 1 - 2^-24, where value and slope
    would go to -inf, it follows its tangent there: π = 1 costs 17.6 nats, and is pushed by 2^24 = 1.7e7.
    """
    x = jnp.minimum(log_probs, NEAREST_TO_CERTAIN)
    # Either form loses the slope of the other: of 1 - 2e-9 float32 keeps the 1 alone. No minimum: where both of its
    # arguments are equal, it would pass on half a slope.
    likely = x > -1.0
    of_likely = jnp.log(-jnp.expm1(jnp.where(likely, x, -1.0)))
    of_unlikely = jnp.log1p(-jnp.exp(jnp.where(likely, -1.0, x)))
    exact = jnp.where(likely, of_likely, of_unlikely)
    slope = -1.0 / math.expm1(-NEAREST_TO_CERTAIN)
    return exact + slope * jnp.maximum(log_probs - NEAREST_TO_CERTAIN, 0.0)


def unlikelihood(
    log_probs: Float[Array, "*B N"],
    rewards: Float[Array, "*B N"],
    negatives: Float[Array, "*B N"],
    negative_weight: Float[Array, ""] | float,
    *,
    log_complements: Float[Array, "*B N"] | None = None,
    present: Bool[Array, "*B N"] | None = None,
) -> Float[Array, "*B"]:
    """Unlikelihood training (Welleck et al., 2020): bounded, since log(1 - π) vanishes with π.

    ℓ = -log π(y_best | x) - β Σ_j n_j C(y_j),    C(y) = log(1 - π(y | x))

    Its push on y_j is π_j/(1-π_j): strong on likely responses, nothing on unlikely ones, without a threshold. Every
    response of more than ten tokens is such an unlikely one; Welleck et al. take
    C(y) = Σ_t log(1 - π(y_t | x, y_<t)), which pushes each token by its own likelihood. A certain response is pushed
    by what float32 can say (`log_complement`); an impossible best one makes the loss +inf, its gradient -1.

    Args:
        log_probs: log π(y_j | x), nats.
        rewards: decide which response is the best.
        negatives: n_j ≥ 0, as in `best_of_n_negative_gradient`.
        negative_weight: β.
        log_complements: C(y_j); that of whole responses, if None.
        present: which responses are real.

    Returns:
        The loss of each prompt.
    """
    best = best_of_n_weights(rewards, present)
    best_log_prob = weighted(log_probs, best).sum(axis=-1)
    complements = log_complement(log_probs) if log_complements is None else log_complements
    return -best_log_prob - negative_weight * (jax.lax.stop_gradient(negatives) * complements).sum(axis=-1)


def _selected(batch: Batch, weights: Array) -> Losses:
    """Mean over the responses that F selects."""
    return Losses(weighted_likelihood(batch.log_probs, weights), (weights > 0).astype(weights.dtype))


def best_of_n_losses(batch: Batch, hyper: HyperParameters, options: Options) -> Losses:
    """Best-of-N: the mean over the best response of each prompt."""
    return _selected(batch, best_of_n_weights(batch.required("rewards"), batch.response_mask))


def rest_losses(batch: Batch, hyper: HyperParameters, options: Options) -> Losses:
    """ReST: the mean over the K best responses of each prompt."""
    return _selected(batch, top_k_weights(batch.required("rewards"), hyper.top_k, batch.response_mask))


def rwr_losses(batch: Batch, hyper: HyperParameters, options: Options) -> Losses:
    """RWR: the mean over all responses."""
    weights = exponential_weights(
        batch.required("advantages"), hyper.temperature, options.self_normalize, batch.response_mask
    )
    return per_response(weighted_likelihood(batch.log_probs, weights), batch)


def pref_ft_losses(batch: Batch, hyper: HyperParameters, options: Options) -> Losses:
    """Pref-FT: the mean over pairs, so that a response counts as often as it wins."""
    log_probs = batch.log_probs
    losses = weighted_likelihood(log_probs, jnp.ones_like(log_probs))
    return Losses(losses, win_weights(pair_weights(batch, hyper, options)))


def binary_feedme_losses(batch: Batch, hyper: HyperParameters, options: Options) -> Losses:
    """Binary FeedME: the mean over the good responses."""
    return _selected(batch, binary_weights(pair_weights(batch, hyper, options)))


Negatives = Callable[[Array, Ties, Array | None], Array]
"""`worst_negatives`, `summed_negatives` or `averaged_negatives`."""


def best_of_n_negative_losses(negatives: Negatives, batch: Batch, hyper: HyperParameters, options: Options) -> Losses:
    """Best-of-N + negative gradient: the mean over prompts; a row of the registry fixes `negatives`."""
    rewards, log_probs = batch.required("rewards"), batch.log_probs
    losses = best_of_n_negative_gradient(
        log_probs,
        rewards,
        negatives(rewards, options.ties, batch.response_mask),
        hyper.negative_weight,
        hyper.negative_threshold,
        log_likelihoods=log_probs / batch.lengths if options.negatives == "token" else None,
        present=batch.response_mask,
    )
    return per_prompt(losses, batch)


def unlikelihood_losses(batch: Batch, hyper: HyperParameters, options: Options) -> Losses:
    """Unlikelihood: the mean over prompts."""
    rewards = batch.required("rewards")
    of_tokens = options.negatives == "token"
    losses = unlikelihood(
        batch.log_probs,
        rewards,
        summed_negatives(rewards, options.ties, batch.response_mask),
        hyper.negative_weight,
        log_complements=token_complements(batch) if of_tokens else None,
        present=batch.response_mask,
    )
    return per_prompt(losses, batch)


def token_complements(batch: Batch) -> Float[Array, "P N"]:
    """Σ_t log(1 - π(y_t | x, y_<t)) over each response's real tokens."""
    # Masked before and after: a pad may hold -inf, whose gradient is NaN, or 0, whose complement is 13.8 nats.
    tokens = kept(batch.token_log_probs, batch.token_mask)
    return sequence_log_probs(log_complement(tokens), batch.token_mask)
