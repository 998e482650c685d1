"""Preferences whose labels may be wrong: cDPO and robust DPO, and EXO, which needs a label that is not certain.

All three read DPO's margin m and a noise ε < 1/2: the probability that a pair's label is the wrong way round.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from modeseek.bandit.objectives.batch import Batch, HyperParameters, Losses, Options
from modeseek.bandit.objectives.log_probs import scaled
from modeseek.bandit.objectives.preference import compared, dpo

SMALLEST_NOISE = 1e-6
"""ε of EXO at least: under a certain label its reverse KL would be infinite wherever both responses are possible."""

FLAT = 100.0
"""β m beyond which nothing that float32 holds of EXO's loss changes: e^-100 is 0."""


def cdpo(
    margins: Float[Array, "*B"], beta: Float[Array, ""] | float, label_noise: Float[Array, ""] | float
) -> Float[Array, "*B"]:
    """Conservative DPO (Mitchell, 2023, eq. 3): DPO's cross-entropy against a label that is right with probability 1-ε.

    ℓ = -(1-ε) log σ(β m) - ε log σ(-β m)

    DPO at ε = 0. Its minimum is finite, β m = log (1-ε)/ε (2.2 at ε = .1), and beyond it pairs are pulled together.
    An impossible response makes the loss +inf on either side (on the rejected side if ε > 0), its gradient finite.

    Args:
        margins: m as in `dpo`, nats.
        beta: β > 0.
        label_noise: 0 ≤ ε < 1/2.

    Returns:
        The loss of each pair, shaped as `margins`.
    """
    return (1.0 - label_noise) * dpo(margins, beta) + scaled(dpo(-margins, beta), label_noise)


def robust_dpo(
    margins: Float[Array, "*B"], beta: Float[Array, ""] | float, label_noise: Float[Array, ""] | float
) -> Float[Array, "*B"]:
    """Robust DPO (Ray Chowdhury et al., 2024, eq. 12): an unbiased estimate of DPO's loss on the labels without noise.

    ℓ = [(1-ε) ℓ_DPO(m) - ε ℓ_DPO(-m)] / (1-2ε)

    Where labels are flipped with probability ε, E[ℓ] is DPO's loss of the right label. Unlike cDPO's, the loss falls
    for ever: its slope in m never rises above -β ε/(1-2ε). An impossible rejected response makes it -inf (if ε > 0), an
    impossible chosen one +inf; gradients are finite.

    Args:
        margins: m as in `dpo`, nats.
        beta: β > 0.
        label_noise: 0 ≤ ε < 1/2.

    Returns:
        The loss of each pair, shaped as `margins`.
    """
    right = (1.0 - label_noise) * dpo(margins, beta)
    return (right - scaled(dpo(-margins, beta), label_noise)) / (1.0 - 2.0 * label_noise)


def exo(
    margins: Float[Array, "*B"], beta: Float[Array, ""] | float, label_noise: Float[Array, ""] | float
) -> Float[Array, "*B"]:
    """Efficient exact optimisation (Ji et al., 2024), of pairs: cDPO with the KL divergence the other way round.

    ℓ = KL(p ‖ q) = p log p/(1-ε) + (1-p) log (1-p)/ε,    p = σ(β m)              EXO-pref, K = 2

    p is the policy's word on the pair, q = (1-ε, ε) the label's; cDPO is KL(q ‖ p) and the entropy of q. Both have
    their minimum at β m = log (1-ε)/ε. But here the slope in β m is p(1-p)(β m - log (1-ε)/ε): it vanishes in a policy
    that is certain of the wrong order, where cDPO's is largest. The loss is bounded: -log ε at m = -inf, -log(1-ε) at
    +inf, with gradient 0.

    Args:
        margins: m as in `dpo`, nats.
        beta: β > 0.
        label_noise: ε < 1/2; below `SMALLEST_NOISE` it counts as that.

    Returns:
        The loss of each pair, shaped as `margins`.
    """
    noise = jnp.maximum(label_noise, SMALLEST_NOISE)
    logits = jnp.clip(beta * margins, -FLAT, FLAT)
    right = jax.nn.sigmoid(logits) * (jax.nn.log_sigmoid(logits) - jnp.log1p(-noise))
    wrong = jax.nn.sigmoid(-logits) * (jax.nn.log_sigmoid(-logits) - jnp.log(noise))
    return right + wrong


def cdpo_losses(batch: Batch, hyper: HyperParameters, options: Options) -> Losses:
    """cDPO: the mean over pairs."""
    margins, weights = compared(batch, hyper, options)
    return Losses(cdpo(margins, hyper.beta, hyper.label_noise), weights)


def robust_dpo_losses(batch: Batch, hyper: HyperParameters, options: Options) -> Losses:
    """Robust DPO: the mean over pairs."""
    margins, weights = compared(batch, hyper, options)
    return Losses(robust_dpo(margins, hyper.beta, hyper.label_noise), weights)


def exo_losses(batch: Batch, hyper: HyperParameters, options: Options) -> Losses:
    """EXO: the mean over pairs."""
    margins, weights = compared(batch, hyper, options)
    return Losses(exo(margins, hyper.beta, hyper.label_noise), weights)
