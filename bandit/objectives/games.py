"""SPPO and Nash-MD: a response is worth the share of other responses that it beats, and policies play each other.

The judge is the one of pairs: of two responses the one with the larger reward is preferred, equal ones half the time.
So rewards matter by their order alone, and any preference that is not transitive would fit in their place. IPO-MD is
the third of the family: `preference.ipo_losses` on samples of the mixture.
"""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from modeseek.bandit.objectives.batch import Batch, HyperParameters, Losses, Options
from modeseek.bandit.objectives.log_probs import kept, log_ratios, weighted


def last_half(count: int) -> Bool[Array, "N"]:
    """The places of opponents among `count` responses to a prompt; of an odd number, the smaller half."""
    return jnp.arange(count) >= count - count // 2


def leads(
    rewards: Float[Array, "*B N"],
    opponents: Bool[Array, "*B N"] | None = None,
    present: Bool[Array, "*B N"] | None = None,
) -> Float[Array, "*B N"]:
    """P̂(y_i ≻ μ) - ½ in [-½, ½]: half the share of opponents that a response beats less the share it loses to.

    Nobody is their own opponent. 0, to the bit, where all are equal or there is no opponent.

    Args:
        rewards: r.
        opponents: who is played against; None for all.
        present: which responses are real.
    """
    n = rewards.shape[-1]
    mine, theirs = rewards[..., :, None], rewards[..., None, :]
    won = (mine > theirs).astype(rewards.dtype) - (mine < theirs).astype(rewards.dtype)
    against = jnp.broadcast_to(~jnp.eye(n, dtype=bool), won.shape)
    for some in (opponents, present):
        against = against if some is None else against & some[..., None, :]
    count = against.sum(axis=-1).astype(rewards.dtype)
    return 0.5 * kept(won, against).sum(axis=-1) / jnp.maximum(count, 1.0)


def sppo(moved: Float[Array, "*B"], lead: Float[Array, "*B"], eta: Float[Array, ""] | float) -> Float[Array, "*B"]:
    """Self-play preference optimisation (Wu et al., 2024): the log-ratio to the last policy is drawn to the win rate.

    ℓ = (log π(y | x)/π_gen(y | x) - η [P(y ≻ π_gen) - ½])²

    One step of multiplicative weights, π ∝ π_gen exp(η P(y ≻ π_gen)), whose log-normaliser the paper takes for η/2.
    Where IPO draws a difference of two responses to its target, this draws each response to its own, and π_gen is the
    policy that sampled, not the reference. Infinite, as is its gradient, where π = 0.

    Args:
        moved: log π/π_gen of responses, nats.
        lead: P(y ≻ π_gen) - ½; constants.
        eta: η > 0, nats.
    """
    return jnp.square(moved - eta * lead)


def nash_md(
    log_probs: Float[Array, "*B"],
    implicit: Float[Array, "*B"],
    lead: Float[Array, "*B"],
    kl_coefficient: Float[Array, ""] | float,
) -> Float[Array, "*B"]:
    """Nash mirror descent by policy gradient (Munos et al., 2024): win against the mixture, near the reference.

    ∇ℓ = -[P(y ≻ y') - ½ - β log π(y | x)/π_ref(y | x)] ∇ log π(y | x),    y ~ π,  y' ~ π^(1-α) π_ref^α

    REINFORCE whose reward is the win rate against a policy that stays behind. The loss with this gradient is
    -(P - ½) log π + β/2 (log π/π_ref)²: the reference is a constant, so that both logarithms have one gradient. Where
    π = 0 it is infinite if P ≠ ½ or β > 0, and undefined if a bad response meets β > 0; its gradient is infinite if
    β > 0. With β = 0 the reference is not asked.

    Args:
        log_probs: log π(y | x), nats.
        implicit: log π/π_ref, nats.
        lead: P(y ≻ y') - ½ over the opponents; constants.
        kl_coefficient: β ≥ 0, the paper's τ.
    """
    asked = jnp.broadcast_to(jnp.asarray(kl_coefficient) != 0, implicit.shape)
    return -weighted(log_probs, lead) + 0.5 * kl_coefficient * jnp.square(kept(implicit, asked))


def sppo_losses(batch: Batch, hyper: HyperParameters, options: Options) -> Losses:
    """SPPO: the mean over responses that have another to be compared with.

    The policy's own win rate is estimated by the group, the response itself among it, as the paper has it:
    P̂ - ½ = (1/N) Σ_j [P(y_i ≻ y_j) - ½].
    """
    rewards, present = batch.required("rewards"), batch.response_mask
    real = jnp.ones_like(rewards, bool) if present is None else present
    count = real.sum(axis=-1, keepdims=True).astype(rewards.dtype)
    among_all = leads(rewards, None, present) * (count - 1.0) / jnp.maximum(count, 1.0)
    compared = real & (count > 1)
    moved = kept(log_ratios(batch.log_probs, batch.behavior_log_probs), compared)
    return Losses(sppo(moved, among_all, hyper.eta), compared.astype(rewards.dtype))


def nash_md_losses(batch: Batch, hyper: HyperParameters, options: Options) -> Losses:
    """Nash-MD: the mean over responses that are not opponents alone; β is `kl_coefficient`, which the loop leaves out.

    Without `opponents` every response plays against all the others: self-play, which is the mixture at α = 0.
    """
    rewards, present = batch.required("rewards"), batch.response_mask
    learns = jnp.ones_like(rewards, bool) if present is None else present
    learns = learns if batch.opponents is None else learns & ~batch.opponents
    ahead = leads(rewards, batch.opponents, present)
    losses = nash_md(kept(batch.log_probs, learns), kept(batch.log_ratios, learns), ahead, hyper.kl_coefficient)
    return Losses(losses, learns.astype(rewards.dtype))
