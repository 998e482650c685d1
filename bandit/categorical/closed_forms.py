"""Formulas that the simulation can be held against: means, natural-gradient paths, displacement, DPO off its data."""

import math
from typing import Any

import numpy as np
from jaxtyping import Float

Numbers = Any
"""A float, or NumPy arrays that broadcast together."""


def logarithmic_mean(a: Numbers, b: Numbers) -> Numbers:
    """L(a, b) = (a - b)/(ln a - ln b), with L(a, a) = a; between the geometric and the arithmetic mean.

    Theorem E.5, case 1 turns on it. Zero if one of them is zero.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    low, high = np.minimum(a, b), np.maximum(a, b)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.log(high / low)
        # (e^x - 1)/x at x = ln(high/low), exact as the two approach each other.
        mean = low * np.expm1(ratio) / ratio
    mean = np.where(ratio == 0, low, mean)
    return np.where(low > 0, mean, 0.0)


def identric_mean(a: Numbers, b: Numbers) -> Numbers:
    """I(a, b) = e⁻¹ (a^a / b^b)^(1/(a-b)), with I(a, a) = a; between the logarithmic and the arithmetic mean.

    Theorem E.5, cases 2 and 3 turn on it. ln I = ln high - 1 + low ln(high/low)/(high - low): no power overflows.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    low, high = np.minimum(a, b), np.maximum(a, b)
    with np.errstate(divide="ignore", invalid="ignore"):
        excess = (high - low) / low
        log_ratio = np.log1p(excess) / excess
    log_ratio = np.where(low == 0, 0.0, np.where(high == low, 1.0, log_ratio))
    return high * np.exp(log_ratio - 1.0)


def natural_forward_path(start: np.ndarray, target: np.ndarray, time: float) -> Float[np.ndarray, "K"]:
    """p(t) = q + (p₀ - q) e⁻ᵗ: forward KL's natural-gradient flow is a straight line in probabilities."""
    return np.asarray(target + (start - target) * math.exp(-time))


def natural_reverse_path(log_start: np.ndarray, log_target: np.ndarray, time: float) -> Float[np.ndarray, "K"]:
    """Log p(t) = e⁻ᵗ log p₀ + (1 - e⁻ᵗ) log q - log Z: reverse KL's is a straight line in log-probabilities."""
    logits = log_start * math.exp(-time) - log_target * math.expm1(-time)
    shifted = logits - logits.max()
    return np.asarray(shifted - np.log(np.exp(shifted).sum()))


def displacement_slope(preferred_only: Numbers, rejected_only: Numbers, length: Numbers) -> Numbers:
    """d log π(y_w) / d(η c) of one contrastive step = 1 - N (π_B - π_C), for y_w = A…AB, y_l = A…AC, N tokens long.

    Tokens share one set of logits. Negative, so that the *preferred* response becomes less likely (likelihood
    displacement), if and only if π_B - π_C > 1/N.

    Args:
        preferred_only: π_B, of the token that only y_w has.
        rejected_only: π_C, of the token that only y_l has.
        length: N.
    """
    return 1.0 - length * (preferred_only - rejected_only)


def displacement(preferred_only: Numbers, rejected_only: Numbers, length: Numbers, moved: Numbers) -> Numbers:
    """What log π(y_w) has gained once contrastive steps have moved B's logit by s and C's by -s: s - N log Z(s).

    Z(s) = 1 + π_B (e^s - 1) + π_C (e^-s - 1). Whatever the loss (DPO, IPO, constant coefficients), A's gradient
    cancels, so s, half the margin gained, is all that moves; y_l changes by -s - N log Z(s), and N tokens B by
    N (s - log Z(s)). The slope at s = 0 is `displacement_slope`.

    Several prompts that share the logits, each with a B and a C of its own: π_B and π_C are the sums over prompts.
    """
    return moved - length * _displaced_normaliser(preferred_only, rejected_only, moved)


def displacement_turn(preferred_only: Numbers, rejected_only: Numbers, length: Numbers) -> Numbers:
    """The s from which y_w falls, however long it rose before: N (π_B(s) - π_C(s)) = 1. Negative: it falls at once.

    u = e^s solves (N - 1) π_B u² - π_A u - (N + 1) π_C = 0; +inf for N = 1, where nothing but B is left to fall.
    """
    b, c, n = (np.asarray(each, np.float64) for each in (preferred_only, rejected_only, length))
    a = 1.0 - b - c
    with np.errstate(divide="ignore"):
        return np.log(a + np.sqrt(a * a + 4.0 * (n * n - 1.0) * b * c)) - np.log(2.0 * (n - 1.0) * b)


def _displaced_normaliser(preferred_only: Numbers, rejected_only: Numbers, moved: Numbers) -> Numbers:
    """Log Z(s) of `displacement`."""
    return np.log1p(preferred_only * np.expm1(moved) + rejected_only * np.expm1(-np.asarray(moved)))


def unseen_mass(chosen: Numbers, rejected: Numbers, unseen: Numbers, margin: Numbers) -> Numbers:
    """π₃(s) = p₃/(p₃ + p₁ e^s + p₂ e^-s): the answer that no comparison mentions, under tabular DPO from p.

    s ≥ 0 is half the margin that y₁ has gained on y₂; DPO moves s alone. It first *gains* mass whenever p₂ > p₁.
    """
    return unseen / (unseen + chosen * np.exp(margin) + rejected * np.exp(-np.asarray(margin)))


def unseen_peak(chosen: Numbers, rejected: Numbers, unseen: Numbers) -> Numbers:
    """The largest value of `unseen_mass` over s: p₃/(p₃ + 2 √(p₁ p₂)), at s = ½ ln(p₂/p₁)."""
    return unseen / (unseen + 2.0 * np.sqrt(chosen * rejected))


def regularised_mass(probs: np.ndarray, rewards: np.ndarray, beta: float) -> Float[np.ndarray, "K"]:
    """p exp(r/β)/Z, what KL-regularised RL gives every answer, compared or not."""
    logits = np.log(probs) + rewards / beta
    weights = np.exp(logits - logits.max())
    return np.asarray(weights / weights.sum())


def contrastive_rest(
    reference: np.ndarray, gain: np.ndarray, compared: np.ndarray | None = None
) -> Float[np.ndarray, "K"]:
    """Where tabular DPO and IPO come to rest when started at the reference and fed comparisons within a subset.

    log p_j = log π_ref,j + g_j - mean of g over the compared (others: + 0) - log Z: gradient descent on pairs leaves
    the compared logits' sum and all others as they were. DPO on Bradley-Terry labels has g = r/β; IPO's is
    `ipo_gain`. With every category compared DPO's rest is π*, whatever μ.

    Args:
        reference: π_ref, the start.
        gain: g, read where compared.
        compared: which categories the data holds; all if not given.
    """
    inside = np.ones(reference.shape, bool) if compared is None else compared
    shift = np.where(inside, gain - gain[inside].mean(), 0.0)
    logits = np.log(reference) + shift
    weights = np.exp(logits - logits.max())
    return np.asarray(weights / weights.sum())


def ipo_gain(preferred: np.ndarray, behavior: np.ndarray, tau: float) -> Float[np.ndarray, "K"]:
    """g_i = E_{j~μ}[P(i ≻ j)]/τ: IPO rests at π_ref exp(g)/Z (Gheshlaghi Azar et al., 2023), which depends on μ.

    Args:
        preferred: P(i ≻ j), `[K, K]`.
        behavior: μ.
        tau: τ > 0.
    """
    return np.asarray(preferred @ behavior / tau)
