"""Lemmas E.1 to E.3 and the gradients of E.1.4, as equalities and inequalities that numbers can break.

NumPy, batches `[B, K]` of strictly positive distributions. Each function returns what should vanish, or the two sides.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from modeseek.bandit.categorical.criteria import reverse_divergence


def rl_identity(p: np.ndarray, reference: np.ndarray, rewards: np.ndarray, beta: np.ndarray) -> np.ndarray:
    """Lemma E.1: |(-E_p[r] + β KL(p ‖ π_ref)) - (β KL(p ‖ π*) - β log Z)|, `[B]`; zero to rounding.

    Eq. 6 prints the KL term with the wrong sign for a loss; with it the identity would fail.

    Args:
        p: policies.
        reference: π_ref.
        rewards: r, `[B, K]`.
        beta: β, `[B]`.
    """
    loss = -(p * rewards).sum(-1) + beta * reverse_divergence(p, reference)
    weights = reference * np.exp(rewards / beta[:, None])
    z = weights.sum(-1)
    return np.asarray(np.abs(loss - beta * (reverse_divergence(p, weights / z[:, None]) - np.log(z))))


def supervised_identity(p: np.ndarray, reference: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Lemma E.3: |-E_ref[F log p] - Z (KL(π̃ ‖ p) + H(π̃))| with π̃ = π_ref F/Z, `[B]`; zero to rounding.

    Args:
        p: policies.
        reference: π_ref.
        weights: F ≥ 0, zeros allowed.
    """
    joint = reference * weights
    z = joint.sum(-1)
    tilted = joint / z[:, None]
    log_tilted = np.log(np.where(tilted > 0, tilted, 1.0))
    forward = (tilted * (log_tilted - np.log(p))).sum(-1)
    entropy = -(tilted * log_tilted).sum(-1)
    return np.asarray(np.abs(-(joint * np.log(p)).sum(-1) - z * (forward + entropy)))


def alignment(p: np.ndarray, chosen: np.ndarray, rejected: np.ndarray) -> Float[np.ndarray, "B"]:
    """∇log p_w · ∇log p_l = 1[w = l] - p_w - p_l + Σ p², over independent logits. Lemma E.2's condition is ≤ 0."""
    rows = np.arange(len(p))
    return np.asarray((chosen == rejected) - p[rows, chosen] - p[rows, rejected] + (p * p).sum(-1))


def aligned_rejection(p: np.ndarray) -> Int[np.ndarray, "B"]:
    """A y_l that meets the alignment condition for *every* y_w ≠ y_l: the most likely response, as Σ p² ≤ max p.

    Where y_w is itself the most likely, any y_l will do.
    """
    return np.asarray(p.argmax(-1))


class ContrastiveStep(NamedTuple):
    """What one step of eq. 7 adds by its negative term, `[B]` each.

    Attributes:
        margin: change of ω = log p_w - log p_l with c₂ > 0, less that with c₂ = 0.
        chosen: the same of log p_w.
        rejected: the same of log p_l.
    """

    margin: Float[np.ndarray, "B"]
    chosen: Float[np.ndarray, "B"]
    rejected: Float[np.ndarray, "B"]


def contrastive_step(
    p: np.ndarray,
    chosen: np.ndarray,
    rejected: np.ndarray,
    c1: np.ndarray,
    c2: np.ndarray,
    step_size: float,
) -> ContrastiveStep:
    """Two real steps on the logits, θ + η (c₁ ∇log p_w - c₂ ∇log p_l), with and without the second term; eq. 7.

    The proof of E.2 prints the update with a minus in front of η, and c₁ and c₂ swapped; this is the right form.
    """
    rows = np.arange(len(p))
    ahead = np.eye(p.shape[1])

    def after(negative: np.ndarray) -> np.ndarray:
        push = c1[:, None] * (ahead[chosen] - p) - negative[:, None] * (ahead[rejected] - p)
        logits = np.log(p) + step_size * push
        shifted = logits - logits.max(-1, keepdims=True)
        return np.asarray(shifted - np.log(np.exp(shifted).sum(-1, keepdims=True)))

    difference = after(c2) - after(np.zeros_like(c2))
    chosen_gain, rejected_gain = difference[rows, chosen], difference[rows, rejected]
    return ContrastiveStep(chosen_gain - rejected_gain, chosen_gain, rejected_gain)


def ipo_coefficient_fits(margin: np.ndarray, tau: np.ndarray) -> Bool[np.ndarray, "*B"]:
    """Whether IPO's coefficient -2 (m - 1/(2τ)) is non-negative, as eq. 7 requires: until the target margin only."""
    return margin <= 0.5 / tau
