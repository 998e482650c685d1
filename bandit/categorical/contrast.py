"""One preferred and one rejected response on a softmax of independent logits: eq. 7, and where mass goes."""

import numpy as np
from jaxtyping import Float

from modeseek.bandit.categorical.divergences import Field, everywhere
from modeseek.bandit.categorical.lemmas import alignment
from modeseek.bandit.categorical.optimizers import Settings, gradient_descent, initial
from modeseek.bandit.categorical.simplex import CategoricalPolicy, Vector


def contrastive(categories: int, chosen: int, rejected: int, c1: float, c2: float) -> Field:
    """-(c₁ ∇log p_w - c₂ ∇log p_l), constant c₁, c₂ ≥ 0: descending it is eq. 7, with the right sign (see `lemmas`).

    On the logits: -c₁ (1_w - p) + c₂ (1_l - p). At c₁ = c₂ the policy cancels and nobody else's odds change.
    """
    ahead = np.eye(categories)
    constant = c2 * ahead[rejected] - c1 * ahead[chosen]

    def gradient(current: CategoricalPolicy) -> Vector:
        return constant + (c1 - c2) * current.probs

    return Field(gradient, everywhere(constant))


def contrastive_path(
    start: np.ndarray, chosen: int, rejected: int, c1: float, c2: float, step_size: float, steps: int
) -> Float[np.ndarray, "E K"]:
    """Log-probabilities of the start and after each of `steps` steps of eq. 7, E = steps + 1."""
    field = contrastive(start.size, chosen, rejected, c1, c2)
    state, settings = initial(np.log(start)), Settings(step_size=step_size)
    visited = [state.policy.log_probs]
    for _ in range(steps):
        state = gradient_descent(field, settings, state)
        visited.append(state.policy.log_probs)
    return np.stack(visited)


def push_down_gains(p: Float[np.ndarray, "K"], rejected: int) -> Float[np.ndarray, "K"]:
    """d log p_j / d(η c₂) of pushing y_l down: p_j + p_l - Σ p² - 1[j = l], for every j.

    It is minus Lemma E.2's alignment ∇log p_j · ∇log p_l: a response gains if and only if that is negative. Of the
    others, those gain whose probability is above Σ p² - p_l: all of them if p_l ≥ Σ p², but if y_l is rare only the
    likeliest, and the rest lose with y_l.
    """
    k = p.size
    return -alignment(np.tile(p, (k, 1)), np.arange(k), np.full(k, rejected))
