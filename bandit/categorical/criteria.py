"""Theorem E.5: when does one gradient step of reverse KL move two categories further apart than one of forward KL?

With Δ = log p'₁/p₁ - log p'₂/p₂ over one step of size η (eq. 16), the normalisers of Lemma E.4 cancel and

    Δ_f = η [(q₁ - q₂) - (p₁ - p₂)]
    Δ_r = η [p₁ (log q₁/p₁ + KL) - p₂ (log q₂/p₂ + KL)],    KL = KL(p ‖ q)

exactly, for every η, so the theorem's cases have exact criteria:

    case 1      p₁ = p₂ = p, q₁ > q₂:  Δ_r > Δ_f  ⇔  p > L(q₁, q₂)                 the logarithmic mean
    case 2, 3   q₁ = q₂ = q, p₁ > p₂:  Δ_r > Δ_f  ⇔  q > I(p₁, p₂) exp(-KL)        the identric mean
    equal gap   q₁ - p₁ = q₂ - p₂:     Δ_f = 0 and Δ_r > 0  ⇔  p₁ > p₂             always

The paper states the cases with unspecified constants; `theory` tries given ones. Arrays are NumPy's, `[…, K]` with the
two categories first, at positions 0 and 1.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from modeseek.bandit.categorical.closed_forms import identric_mean, logarithmic_mean
from modeseek.bandit.categorical.simplex import check_distribution


class Gaps(NamedTuple):
    """Δ of both divergences per unit of step size, shaped like the batch."""

    forward: Float[np.ndarray, "*B"]
    reverse: Float[np.ndarray, "*B"]


def reverse_divergence(p: np.ndarray, q: np.ndarray) -> Float[np.ndarray, "*B"]:
    """KL(p ‖ q) of strictly positive arrays, nats, over the last axis."""
    return np.asarray((p * np.log(p / q)).sum(-1))


def gaps(p: np.ndarray, q: np.ndarray) -> Gaps:
    """Δ_f/η and Δ_r/η of categories 0 and 1, from Lemma E.4."""
    p1, p2, q1, q2 = p[..., 0], p[..., 1], q[..., 0], q[..., 1]
    kl = reverse_divergence(p, q)
    return Gaps(
        forward=np.asarray((q1 - q2) - (p1 - p2)),
        reverse=np.asarray(p1 * (np.log(q1 / p1) + kl) - p2 * (np.log(q2 / p2) + kl)),
    )


def case_1(p: np.ndarray, q: np.ndarray) -> Bool[np.ndarray, "*B"]:
    """p > L(q₁, q₂), given p₁ = p₂ = p and q₁ > q₂."""
    return np.asarray(p[..., 0] > logarithmic_mean(q[..., 0], q[..., 1]))


def cases_2_and_3(p: np.ndarray, q: np.ndarray) -> Bool[np.ndarray, "*B"]:
    """q > I(p₁, p₂) exp(-KL(p ‖ q)), given q₁ = q₂ = q and p₁ > p₂."""
    return np.asarray(q[..., 0] > identric_mean(p[..., 0], p[..., 1]) * np.exp(-reverse_divergence(p, q)))


def case_2_rises(p: np.ndarray, q: np.ndarray) -> Bool[np.ndarray, "*B"]:
    """Δ_r > 0, which the proof of case 2 claims: given q₁ = q₂ = q it holds iff q > e I(p₁, p₂) exp(-KL(p ‖ q))."""
    return np.asarray(q[..., 0] > np.e * identric_mean(p[..., 0], p[..., 1]) * np.exp(-reverse_divergence(p, q)))


class Verdict(NamedTuple):
    """What Theorem E.5 says about a pair of categories, and what is so.

    Attributes:
        case: `case 1`, `cases 2 and 3`, `equal gap` or `none` of them.
        forward: Δ_f/η.
        reverse: Δ_r/η.
        threshold: L(q₁, q₂) in case 1, I exp(-KL) in cases 2 and 3; NaN otherwise.
        reverse_larger: whether Δ_r > Δ_f.
        pair: the two categories in the order that the numbers are of.
    """

    case: str
    forward: float
    reverse: float
    threshold: float
    reverse_larger: bool
    pair: tuple[int, int]


def inspect_pair(p: np.ndarray, q: np.ndarray, first: int, second: int, tolerance: float = 1e-9) -> Verdict:
    """The verdict on categories `first` and `second`, ordered so that the theorem's condition reads as it does above.

    Raises:
        ValueError: p or q is no strictly positive distribution, lengths differ, or the two are not two categories.
    """
    p = check_distribution("p", p)
    q = check_distribution("q", q, p.size)
    if (p == 0).any() or (q == 0).any():
        raise ValueError("the theorem needs strictly positive p and q, got an exact zero")
    if first == second or not all(0 <= j < p.size for j in (first, second)):
        raise ValueError(f"expected two different categories of 0..{p.size - 1}, got {first} and {second}")
    same_p, same_q = abs(p[first] - p[second]) < tolerance, abs(q[first] - q[second]) < tolerance
    if (same_p and q[first] < q[second]) or (not same_p and p[first] < p[second]):
        first, second = second, first
    order = [first, second, *(j for j in range(p.size) if j not in (first, second))]
    p, q = p[order], q[order]
    forward, reverse = (float(gap) for gap in gaps(p, q))
    case, threshold = "none", float("nan")
    if same_p and not same_q:
        case, threshold = "case 1", float(logarithmic_mean(q[0], q[1]))
    elif same_q and not same_p:
        case = "cases 2 and 3"
        threshold = float(identric_mean(p[0], p[1]) * np.exp(-reverse_divergence(p, q)))
    elif abs((q[0] - p[0]) - (q[1] - p[1])) < tolerance and not same_p:
        case = "equal gap"
    return Verdict(case, forward, reverse, threshold, reverse > forward, (first, second))
