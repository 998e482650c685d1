"""REINFORCE, PPO and TOPR: unreduced losses whose gradient is a policy gradient."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from modeseek.bandit.objectives.batch import Batch, HyperParameters, Losses, Options, per_response
from modeseek.bandit.objectives.log_probs import kept, sequence_log_probs, weighted

LARGEST_LOG_RATIO = 40.0
"""Nats up to which PPO's ratio is exact: e^40 = 2e17, whose square, in Adam and in norms, float32 still holds."""


def reinforce(log_probs: Float[Array, "*B"], advantages: Float[Array, "*B"]) -> Float[Array, "*B"]:
    """Score-function gradient (Williams, 1992).

    ℓ = -r̄ · log π(y | x)                                                   paper I.2.3

    Responses below average have r̄ < 0 and are pushed down: that is the method's negative gradient. The gradient on
    log π is -r̄ everywhere, also of an impossible response, log π = -inf; the loss is then +inf where r̄ > 0, -inf where
    r̄ < 0, and 0 where r̄ = 0.

    Args:
        log_probs: log π(y | x) of the sampled responses, nats.
        advantages: r̄, standardised rewards; treated as constants.

    Returns:
        The loss of each response, shaped as `log_probs`.
    """
    return -weighted(log_probs, jax.lax.stop_gradient(advantages))


def ppo(
    log_probs: Float[Array, "*B"],
    behavior_log_probs: Float[Array, "*B"],
    advantages: Float[Array, "*B"],
    clip_epsilon: Float[Array, ""] | float,
    clip_epsilon_high: Float[Array, ""] | float | None = None,
) -> Float[Array, "*B"]:
    """Clipped surrogate (Schulman et al., 2017): REINFORCE that may reuse its samples.

    ℓ = -min(ρ r̄, clip(ρ, 1-ε, 1+ε) r̄),    ρ = π(y | x) / π_gen(y | x)       paper I.2.4

    The paper prints `max` for `min`; as printed, clipping would never bind on the side where it should. At ρ = 1
    its gradient equals REINFORCE's. Elementwise: ratios are of whole responses (the paper's text) when
    `[P, N]` arrays come in, and of single tokens (the released code, most libraries) when `[P, N, T]` do.

    On the side without a clip, r̄ < 0 and ρ > 1, the loss grows with ρ and would overflow at log ρ = 88. From
    log ρ = 40 on it follows its tangent in log ρ: ρ = e^40 (1 + log ρ - 40). It still pushes down, as hard as at 40
    nats, and no optimiser that divides by a gradient's size tells the difference.

    Args:
        log_probs: log π of responses or tokens, nats; -inf, ρ = 0, is allowed.
        behavior_log_probs: the same under the policy that sampled them; constants.
        advantages: r̄, broadcast to the same shape; constants.
        clip_epsilon: ε > 0.
        clip_epsilon_high: another ε above 1 (DAPO's clip-higher); None for the same one.

    Returns:
        The loss of each element, shaped as `log_probs`.
    """
    high = clip_epsilon if clip_epsilon_high is None else clip_epsilon_high
    advantages = jax.lax.stop_gradient(advantages)
    log_ratios = log_probs - jax.lax.stop_gradient(behavior_log_probs)
    # min(ρ r̄, clip(ρ) r̄) is min(ρ, 1+ε) r̄ where r̄ ≥ 0 and max(ρ, 1-ε) r̄ where r̄ < 0. Bounding log ρ before the
    # exponential keeps the clipped side finite however far the policy has moved: inf · 0 would be a NaN gradient.
    above, below = jnp.log1p(high), jnp.log(jnp.maximum(1.0 - clip_epsilon, 0.0))
    bounded = jnp.where(advantages >= 0, jnp.minimum(log_ratios, above), jnp.maximum(log_ratios, below))
    beyond = jnp.maximum(bounded - LARGEST_LOG_RATIO, 0.0)
    return -jnp.exp(jnp.minimum(bounded, LARGEST_LOG_RATIO)) * (1.0 + beyond) * advantages


def topr(
    log_probs: Float[Array, "*B"], behavior_log_probs: Float[Array, "*B"], advantages: Float[Array, "*B"]
) -> Float[Array, "*B"]:
    """Tapered off-policy REINFORCE (Le Roux et al., 2025): what is bad is pushed down only as far as it is still said.

    ∇ℓ = -r̄ ∇ log π            where r̄ ≥ 0,
    ∇ℓ = -r̄ min(ρ, 1) ∇ log π  where r̄ < 0,    ρ = π(y | x)/π_gen(y | x)

    REINFORCE on-policy. On samples of another policy a good response is learnt as by maximum likelihood, without a
    ratio that could vanish, and a bad one is let go as it vanishes: REINFORCE pushes it down for ever, and PPO stops at
    a clip. The loss with this gradient: log π, and for bad responses ρ below ρ = 1 and 1 + log ρ above. Infinite where
    `reinforce` is, but for bad responses that are impossible: ρ = 0.

    Args:
        log_probs: log π of responses, nats; or of tokens, each with its own ρ.
        behavior_log_probs: the same under the policy that sampled them; constants.
        advantages: r̄; constants. The paper's are rewards less a baseline, of which it says that it matters.
    """
    advantages = jax.lax.stop_gradient(advantages)
    log_ratios = log_probs - jax.lax.stop_gradient(behavior_log_probs)
    tapered = jnp.exp(jnp.minimum(log_ratios, 0.0)) + jnp.maximum(log_ratios, 0.0)
    return -weighted(jnp.where(advantages < 0, tapered, log_probs), advantages)


def outside_clip(
    log_probs: Float[Array, "*B"],
    behavior_log_probs: Float[Array, "*B"],
    clip_epsilon: Float[Array, ""] | float,
    clip_epsilon_high: Float[Array, ""] | float | None = None,
) -> Bool[Array, "*B"]:
    """Which ratios are outside [1-ε, 1+ε]: how far the policy has left the one that sampled, in PPO's own unit.

    The two ε are those of `ppo`.
    """
    moved = jnp.exp(log_probs - behavior_log_probs) - 1.0
    high = clip_epsilon if clip_epsilon_high is None else clip_epsilon_high
    return jnp.where(moved > 0, moved > high, -moved > clip_epsilon)


def reinforce_losses(batch: Batch, hyper: HyperParameters, options: Options) -> Losses:
    """REINFORCE: the mean over responses; with an advantage for each token, over the sums of their tokens' losses."""
    advantages = batch.required("advantages")
    if advantages.ndim == 2:
        return per_response(reinforce(batch.log_probs, advantages), batch)
    tokens = reinforce(kept(batch.token_log_probs, batch.token_mask), advantages)
    return per_response(sequence_log_probs(tokens, batch.token_mask), batch)


def _losses_of_ratios(surrogate: Callable[[Array, Array, Array], Array], batch: Batch, options: Options) -> Losses:
    """The mean over responses of a loss of the whole response's ratio, or of the sums of its tokens' losses."""
    advantages = batch.required("advantages")
    if options.ratio == "sequence":
        if advantages.ndim != 2:
            raise ValueError("advantages of tokens need ratios of tokens: Options(ratio='token')")
        return per_response(surrogate(batch.log_probs, batch.behavior_log_probs, advantages), batch)
    # Masked before the ratio: a pad's log-prob may be -inf under both.
    mask = batch.token_mask
    policy, behavior = (kept(a, mask) for a in (batch.token_log_probs, batch.required("behavior_token_log_probs")))
    if advantages.ndim == 2:
        advantages = jnp.broadcast_to(advantages[..., None], policy.shape)
    return per_response(sequence_log_probs(surrogate(policy, behavior, advantages), mask), batch)


def ppo_losses(batch: Batch, hyper: HyperParameters, options: Options) -> Losses:
    """PPO: the mean over responses, whose ratio is the whole response's, or over the sums of their tokens' losses.

    Raises:
        ValueError: advantages of tokens come with ratios of whole responses.
    """
    clipped = lambda policy, behavior, advantages: ppo(policy, behavior, advantages, hyper.clip_epsilon)
    return _losses_of_ratios(clipped, batch, options)


def topr_losses(batch: Batch, hyper: HyperParameters, options: Options) -> Losses:
    """TOPR: as PPO's; the paper's ratio is the whole response's.

    Raises:
        ValueError: advantages of tokens come with ratios of whole responses.
    """
    return _losses_of_ratios(topr, batch, options)
