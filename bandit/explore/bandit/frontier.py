"""The most reward that so many nats can buy: the reference tilted by the reward, in closed form."""

import numpy as np
from jaxtyping import Float

from modeseek.bandit.categorical.metrics import kl
from modeseek.bandit.categorical.simplex import CategoricalPolicy, policy

TILTS = np.concatenate([[0.0], np.geomspace(1e-2, 1e4, 160)])
"""Inverse temperatures along the frontier; the last puts everything on the best token."""

FARTHEST = 1e4
"""Nats a response at which the frontier ends."""


def tilted(
    reference: Float[np.ndarray, "V"], rewards: Float[np.ndarray, "V"], tilt: Float[np.ndarray, "*B"] | float
) -> CategoricalPolicy:
    """π ∝ π_ref exp(tilt · r), each `[*B, V]`: of all as far from the reference, it earns most."""
    return policy(np.log(reference) + np.asarray(tilt)[..., None] * rewards)


def frontier(
    reference: Float[np.ndarray, "V"], rewards: Float[np.ndarray, "V"], length: int
) -> tuple[Float[np.ndarray, "B"], Float[np.ndarray, "B"]]:
    """KL(policy ‖ reference) of a response, nats, and the largest expected reward that it allows.

    A response's reward is its tokens' mean and the reference draws them independently, so the best policy does too,
    every token from the same tilted distribution.

    Args:
        reference: of a token, positive everywhere.
        rewards: of a token.
        length: tokens of a response.
    """
    best = tilted(reference, rewards, TILTS)
    nats, reward = length * kl(*best, np.log(reference)), best.probs @ rewards
    return np.append(nats, FARTHEST), np.append(reward, reward[-1])  # farther away nothing more can be had


def best_at(reference: Float[np.ndarray, "V"], rewards: Float[np.ndarray, "V"], nats: float) -> Float[np.ndarray, "V"]:
    """The best distribution of a token at most `nats` from the reference, by bisection of the tilt."""
    low, high = np.log(1e-6), np.log(1e6)
    for _ in range(40):
        middle = (low + high) / 2
        too_far = kl(*tilted(reference, rewards, np.exp(middle)), np.log(reference)) > nats
        low, high = (low, middle) if too_far else (middle, high)
    return np.asarray(tilted(reference, rewards, np.exp(low)).probs)
