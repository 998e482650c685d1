"""DPO that is kept from running away: by SFT on the chosen response, by DPO-Positive's penalty, by χPO's link.

DPO reads a difference alone. Both of a pair's responses may become less likely while it grows, and what is in no pair
may take their mass.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from modeseek.bandit.objectives.batch import Batch, HyperParameters, Losses, Options, pair_weights
from modeseek.bandit.objectives.log_probs import scaled
from modeseek.bandit.objectives.policy_gradient import LARGEST_LOG_RATIO
from modeseek.bandit.objectives.preference import compared, dpo, implicit_log_ratios, sides
from modeseek.bandit.objectives.reference_free import sft_term


def dpop(
    chosen: Float[Array, "*B"],
    rejected: Float[Array, "*B"],
    beta: Float[Array, ""] | float,
    positive_weight: Float[Array, ""] | float,
) -> Float[Array, "*B"]:
    """DPO-Positive, Smaug (Pal et al., 2024, eq. 3): what the chosen response has lost counts against the margin.

    ℓ = -log σ(β [m - λ max(0, log π_ref(y_w)/π(y_w))])

    DPO at λ = 0, and wherever the chosen response is at least as likely as under the reference: there, at the start of
    training too, the penalty has no gradient. An impossible chosen response makes the loss +inf.

    Args:
        chosen: log π(y_w)/π_ref(y_w), nats.
        rejected: log π(y_l)/π_ref(y_l), nats.
        beta: β > 0.
        positive_weight: λ ≥ 0.

    Returns:
        The loss of each pair.
    """
    return dpo(chosen - rejected - scaled(jax.nn.relu(-chosen), positive_weight), beta)


def chi_squared_link(log_ratios: Float[Array, "*B"]) -> Float[Array, "*B"]:
    """φ(z) = z + log z of z = π/π_ref, from log z: DPO's link, log z, and a χ² divergence's, z.

    From log z = 40 on, z follows its tangent in log z, as in `policy_gradient.ppo`.
    """
    beyond = jnp.maximum(log_ratios - LARGEST_LOG_RATIO, 0.0)
    return log_ratios + jnp.exp(jnp.minimum(log_ratios, LARGEST_LOG_RATIO)) * (1.0 + beyond)


def chi_po(
    chosen: Float[Array, "*B"],
    rejected: Float[Array, "*B"],
    beta: Float[Array, ""] | float,
    reward_bound: Float[Array, ""] | float,
) -> Float[Array, "*B"]:
    """χPO (Huang et al., 2024, Algorithm 1): DPO's link log z replaced by φ(z) = z + log z, and its margin clipped.

    ℓ = -log σ(clip(β [φ(z_w) - φ(z_l)], -2R, 2R)),    z = π/π_ref

    Where z is large, π/π_ref grows with the reward (r = β φ(z)) and not with its exponential: a policy has to stay near
    the reference. Pairs beyond ±2R, right or wrong, have no gradient; those with an impossible response are among them.

    Args:
        chosen: log z of y_w, nats.
        rejected: log z of y_l, nats.
        beta: β > 0.
        reward_bound: R > 0.

    Returns:
        The loss of each pair.
    """
    implied = beta * (chi_squared_link(chosen) - chi_squared_link(rejected))
    return dpo(jnp.clip(implied, -2.0 * reward_bound, 2.0 * reward_bound), 1.0)


def dpo_sft_losses(batch: Batch, hyper: HyperParameters, options: Options) -> Losses:
    """DPO + SFT: RPO (Pang et al., 2024, eq. 1; Liu et al., 2024, derive it from pessimism), the mean over pairs.

    ℓ = -log σ(β m) - α log π(y_w | x)/|y_w|
    """
    of_pairs, weights = compared(batch, hyper, options)
    return Losses(dpo(of_pairs, hyper.beta) + scaled(sft_term(batch, weights), hyper.sft_weight), weights)


def dpop_losses(batch: Batch, hyper: HyperParameters, options: Options) -> Losses:
    """DPO-Positive: the mean over pairs."""
    weights = pair_weights(batch, hyper, options)
    chosen, rejected = sides(implicit_log_ratios(batch, options), weights)
    return Losses(dpop(chosen, rejected, hyper.beta, hyper.positive_weight), weights)


def chi_po_losses(batch: Batch, hyper: HyperParameters, options: Options) -> Losses:
    """χPO: the mean over pairs."""
    weights = pair_weights(batch, hyper, options)
    chosen, rejected = sides(implicit_log_ratios(batch, options), weights)
    return Losses(chi_po(chosen, rejected, hyper.beta, hyper.reward_bound), weights)
