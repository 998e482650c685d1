"""Losses on a response's own implicit reward instead of a difference: KTO, which needs no pairs, and NCA."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from modeseek.bandit.objectives.batch import Batch, HyperParameters, Losses, Options, pair_weights
from modeseek.bandit.objectives.log_probs import kept
from modeseek.bandit.objectives.pairs import all_pairs
from modeseek.bandit.objectives.preference import implicit_log_ratios, sides


def desirability(
    rewards: Float[Array, "P N"], present: Bool[Array, "P N"] | None = None
) -> tuple[Bool[Array, "P N"], Bool[Array, "P N"]]:
    """Which responses are desirable, and which are judged at all.

    Of several responses to a prompt those are desirable that beat more of the others than beat them (Binary FeedME's
    "good"), undesirable those of which the opposite holds; one in the very middle, or one of equals, is not judged. A
    prompt's only response is judged by its own reward: desirable if that is above 0, as a label of 1 or 0 has it.
    """
    beaten = all_pairs(rewards, present=present)
    wins, losses = beaten.sum(axis=-1), beaten.sum(axis=-2)
    real = jnp.ones_like(rewards, bool) if present is None else present
    alone = real.sum(axis=-1, keepdims=True) == 1
    return jnp.where(alone, rewards > 0, wins > losses), real & (alone | (wins != losses))


def kl_baseline(log_ratios: Float[Array, "P N"], present: Bool[Array, "P N"] | None = None) -> Float[Array, ""]:
    """z of KTO: max(0, mean of log π/π_ref over all real responses of the batch); a constant.

    The paper's z is KL(policy ‖ reference), estimated on responses to *other* prompts of the batch, biased and never
    below 0. That takes one more pass of both models over mismatched pairs; here the batch's own responses stand for
    them. For the policy's own samples this mean estimates the KL itself without bias; on one prompt both are the same.
    """
    real = jnp.ones_like(log_ratios) if present is None else present.astype(log_ratios.dtype)
    mean = kept(log_ratios, real > 0).sum() / jnp.maximum(real.sum(), 1.0)
    return jax.lax.stop_gradient(jnp.maximum(mean, 0.0))


def kto(
    log_ratios: Float[Array, "*B"],
    desirable: Bool[Array, "*B"],
    baseline: Float[Array, ""] | float,
    beta: Float[Array, ""] | float,
    negative_weight: Float[Array, ""] | float,
) -> Float[Array, "*B"]:
    """Kahneman-Tversky optimisation (Ethayarajh et al., 2024): single responses, each called good or bad.

    ℓ = 1 - σ(β [a - z]) if desirable, λ (1 - σ(β [z - a])) if not,    a = log π(y | x)/π_ref(y | x)

    DPO compares a with another response's, KTO with the policy's average z. And its loss saturates on both sides: what
    is far above or far below z has no gradient left, so that an outlier, or a response that the policy has lost, is
    given up. At a = z the loss is 1/2, its slope ∓β/4. An impossible response costs 1 or 0, with gradient 0.

    Args:
        log_ratios: a, nats.
        desirable: which responses are good.
        baseline: z ≥ 0, nats; a constant.
        beta: β > 0.
        negative_weight: λ = λ_U/λ_D; the paper has λ_D and λ_U, whose common factor is a step size.

    Returns:
        The loss of each response, shaped as `log_ratios`.
    """
    gain = jnp.where(desirable, log_ratios - baseline, baseline - log_ratios)
    return jnp.where(desirable, 1.0, negative_weight) * jax.nn.sigmoid(-beta * gain)


def nca(chosen: Float[Array, "*B"], rejected: Float[Array, "*B"], beta: Float[Array, ""] | float) -> Float[Array, "*B"]:
    """Noise contrastive alignment (Chen et al., 2024), of pairs: is a response of the better policy or the reference's?

    ℓ = -log σ(r_w) - ½ log σ(-r_w) - ½ log σ(-r_l),    r = β log π/π_ref

    The reference's samples are both responses, half each; the better policy's is the chosen one. DPO's loss reads
    r_w - r_l; here each has a place of its own: r_w = log 2, its ratio of likelihoods, so that it does not become less
    likely; r_l = -inf, pushed less and less. An impossible rejected response costs nothing, a chosen one +inf.

    Args:
        chosen: log π(y_w)/π_ref(y_w), nats.
        rejected: log π(y_l)/π_ref(y_l), nats.
        beta: β > 0.

    Returns:
        The loss of each pair.
    """
    of_policy = lambda rewards: -jax.nn.log_sigmoid(rewards)
    return of_policy(beta * chosen) + 0.5 * (of_policy(-beta * chosen) + of_policy(-beta * rejected))


def kto_losses(batch: Batch, hyper: HyperParameters, options: Options) -> Losses:
    """KTO: the mean over the responses that are judged."""
    ratios = implicit_log_ratios(batch, options)
    desirable, counted = desirability(batch.required("rewards"), batch.response_mask)
    baseline = kl_baseline(ratios, batch.response_mask)
    losses = kto(ratios, desirable, baseline, hyper.beta, hyper.negative_weight)
    return Losses(losses, counted.astype(losses.dtype))


def nca_losses(batch: Batch, hyper: HyperParameters, options: Options) -> Losses:
    """NCA: the mean over pairs."""
    weights = pair_weights(batch, hyper, options)
    chosen, rejected = sides(implicit_log_ratios(batch, options), weights)
    return Losses(nca(chosen, rejected, hyper.beta), weights)
