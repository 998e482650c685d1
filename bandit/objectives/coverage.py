"""How well data cover a policy: divergences of a target from the behavior policy, exact where tokens are independent.

The paper calls the condition [C2] and leaves it a word. Offline reinforcement learning has numbers for it: with a
response's ratio ρ = π(y)/μ(y) of target to behavior, the L∞ concentrability max_y ρ (Munos & Szepesvári, 2008) and the
single-policy L1 concentrability E_π[ρ] = 1 + χ²(π ‖ μ) (Huang et al., 2025, *Correcting the mythos of
KL-regularization*); KL(π ‖ μ) = E_π[log ρ] is below the logarithm of either.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from modeseek.bandit.objectives.divergences import kl


class Coverage(NamedTuple):
    """What a target policy asks of data, whole responses, nats: 0 where the behavior is the target, growing as the
    data cover it less, +inf where they miss mass that it has. KL ≤ log E_π[ρ] ≤ max log ρ.

    Attributes:
        kl: KL(target ‖ behavior).
        log_mean_ratio: log E_π[π/μ].
        log_max_ratio: max over responses of log π/μ.
    """

    kl: Float[Array, "*B"]
    log_mean_ratio: Float[Array, "*B"]
    log_max_ratio: Float[Array, "*B"]


def coverage(target_log_probs: Float[Array, "*B T V"], behavior_log_probs: Float[Array, "*B T V"]) -> Coverage:
    """How well responses of the behavior policy cover a target, where both draw each token for itself.

    A response's probability is then a product, so that each of the three is a sum over positions.

    Args:
        target_log_probs: log π of each token at each position, nats; -inf where it has none.
        behavior_log_probs: log μ likewise.
    """
    inside = target_log_probs > -jnp.inf
    ratios = jnp.where(inside, jnp.where(inside, target_log_probs, 0.0) - behavior_log_probs, -jnp.inf)
    return Coverage(
        kl=kl(target_log_probs, behavior_log_probs).sum(axis=-1),
        log_mean_ratio=jax.nn.logsumexp(target_log_probs + ratios, axis=-1).sum(axis=-1),
        log_max_ratio=ratios.max(axis=-1).sum(axis=-1),
    )
