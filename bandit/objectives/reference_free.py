"""Preferences without a reference: SLiC-HF, SimPO, CPO and ORPO compare the policy's own log-probs.

Nothing in their margins says where training began. What holds them is a target, or a term that keeps the chosen
response likely; and responses of different lengths are compared by tokens, or the shorter one wins.
"""

import jax
from jaxtyping import Array, Float

from modeseek.bandit.objectives.batch import Batch, HyperParameters, Losses, Options, pair_weights
from modeseek.bandit.objectives.likelihood import log_complement
from modeseek.bandit.objectives.log_probs import kept, scaled
from modeseek.bandit.objectives.preference import dpo, margins, sides


def slic(margins: Float[Array, "*B"], target_margin: Float[Array, ""] | float) -> Float[Array, "*B"]:
    """SLiC-HF's calibration (Zhao et al., 2023, eq. 1, first term): a hinge where DPO has a logistic loss.

    ℓ = max(0, δ - m),    m = log π(y_w | x) - log π(y_l | x)

    The gradient on m is -1 below δ, however far, and 0 from δ on: a pair that is right by δ nats is left alone. An
    impossible rejected response, m = +inf, costs nothing; an impossible chosen one +inf, with gradient -1.

    Args:
        margins: m, nats, of summed log-probs or of their means a token.
        target_margin: δ ≥ 0, nats.

    Returns:
        The loss of each pair, shaped as `margins`.
    """
    return jax.nn.relu(target_margin - margins)


def simpo(
    margins: Float[Array, "*B"], beta: Float[Array, ""] | float, target_margin: Float[Array, ""] | float
) -> Float[Array, "*B"]:
    """SimPO (Meng et al., 2024, eq. 6): DPO's loss on the mean log-prob of a token, asked for a margin of γ.

    ℓ = -log σ(β m - γ),    m = log π(y_w | x)/|y_w| - log π(y_l | x)/|y_l|

    `target_margin` is γ/β, in nats a token, which the paper's code recommends to choose by. At γ = 0, one token a
    response and a reference that is uniform, it is DPO. At m = ±inf as `dpo`.

    Args:
        margins: m, nats a token.
        beta: β > 0.
        target_margin: γ/β ≥ 0, nats.

    Returns:
        The loss of each pair, shaped as `margins`.
    """
    return dpo(margins - target_margin, beta)


def log_odds(log_probs: Float[Array, "*B"]) -> Float[Array, "*B"]:
    """log P/(1-P) from log P ≤ 0; 17.6 nats, as `log_complement` has it, where P = 1."""
    return log_probs - log_complement(log_probs)


def orpo(odds_margins: Float[Array, "*B"]) -> Float[Array, "*B"]:
    """ORPO's odds ratio (Hong et al., 2024, eq. 7): DPO's loss at β = 1 on log-odds instead of log-ratios.

    ℓ_OR = -log σ(log odds(y_w)/odds(y_l)),    odds = P/(1-P),    log P(y | x) = log π(y | x)/|y|

    Log-odds are log-probs where tokens are unlikely, and grow without bound as they become certain: a rejected response
    is pushed down by 1/(1-P) of what DPO's push would be.

    Args:
        odds_margins: log odds(y_w) - log odds(y_l), nats.

    Returns:
        The loss of each pair, shaped as `odds_margins`.
    """
    return dpo(odds_margins, 1.0)


def token_mean(batch: Batch) -> Float[Array, "P N"]:
    """log π(y | x)/|y|: the mean over a response's tokens."""
    return batch.log_probs / batch.lengths


def sft_term(batch: Batch, weights: Float[Array, "P N N"]) -> Float[Array, "P N N"]:
    """-log π(y_w | x)/|y_w| of the pairs that are compared: supervised fine-tuning on the chosen response.

    A mean over tokens, as RPO's and ORPO's papers have it; CPO's and SLiC-HF's print a sum, which for responses of one
    length is `sft_weight` times that length. +inf for an impossible chosen response, its slope in log π finite.
    """
    chosen, _ = sides(token_mean(batch), weights)
    return -chosen


def _own_margins(batch: Batch, weights: Array, options: Options) -> Array:
    """Margins of log π of the pairs that are compared, of sums over tokens or of means."""
    values = token_mean(batch) if options.margin == "token" else batch.log_probs
    return kept(margins(values), weights > 0)


def slic_losses(batch: Batch, hyper: HyperParameters, options: Options) -> Losses:
    """SLiC-HF: hinge + λ SFT, the mean over pairs; the response that it is held to (y_ref) is the chosen one."""
    weights = pair_weights(batch, hyper, options)
    calibration = slic(_own_margins(batch, weights, options), hyper.target_margin)
    return Losses(calibration + scaled(sft_term(batch, weights), hyper.sft_weight), weights)


def simpo_losses(batch: Batch, hyper: HyperParameters, options: Options) -> Losses:
    """SimPO: the mean over pairs. Margins are of means over tokens, whatever `options.margin` says of others."""
    weights = pair_weights(batch, hyper, options)
    of_pairs = kept(margins(token_mean(batch)), weights > 0)
    return Losses(simpo(of_pairs, hyper.beta, hyper.target_margin), weights)


def cpo_losses(batch: Batch, hyper: HyperParameters, options: Options) -> Losses:
    """CPO (Xu et al., 2024, eq. 3 and below): DPO with a uniform reference, + SFT; the mean over pairs.

    ℓ = -log σ(β log π(y_w | x)/π(y_l | x)) - α log π(y_w | x)/|y_w|

    With `margin="token"` and without SFT it is SimPO at γ = 0.
    """
    weights = pair_weights(batch, hyper, options)
    preferred = dpo(_own_margins(batch, weights, options), hyper.beta)
    return Losses(preferred + scaled(sft_term(batch, weights), hyper.sft_weight), weights)


def orpo_losses(batch: Batch, hyper: HyperParameters, options: Options) -> Losses:
    """ORPO (Hong et al., 2024, eq. 6): the mean over pairs of ℓ_OR + ℓ_SFT/λ; eq. 6 has λ ℓ_OR + ℓ_SFT."""
    weights = pair_weights(batch, hyper, options)
    odds_margins = kept(margins(log_odds(token_mean(batch))), weights > 0)
    return Losses(orpo(odds_margins) + scaled(sft_term(batch, weights), hyper.sft_weight), weights)
