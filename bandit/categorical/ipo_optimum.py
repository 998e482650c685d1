"""Where on-policy IPO comes to rest if any policy can be represented: a fixed reweighting of the reference's quantiles.

IPO regresses log-ratio differences of pairs on ±1/(2τ). With pairs from the policy itself its stationary point is
π = π_ref exp(F/τ)/Z, F(y) the probability that y wins against another response of π (Gheshlaghi Azar et al., 2023,
with μ = π). Where no two responses earn the same, F is uniform on (0, 1) under π whatever the reward is: F(y) is the
share u of π's mass below y. Then dπ_ref = Z exp(-u/τ) du, and everything follows.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from modeseek.bandit.categorical.frontier import Numbers, Responses
from modeseek.bandit.categorical.simplex import check_positive

GRID = 10_000
"""Steps of the rewards' range in which the reward of a response is counted, each way of rounding a step off at most."""


class Distribution(NamedTuple):
    """A response's reward under the reference.

    Attributes:
        rewards: increasing, `[G]`.
        probs: of each.
    """

    rewards: Float[np.ndarray, "G"]
    probs: Float[np.ndarray, "G"]


def ipo_optimum_nats(tau: Numbers) -> Float[np.ndarray, "*B"]:
    """KL(policy ‖ reference) of IPO's on-policy optimum: 1/(2τ) + log(τ (1 - e^(-1/τ))), whatever the reward.

    It is E_π[F]/τ - log Z. 7.004 nats at τ = .05; log(e - 1) - 1/2 = .041 at τ = 1.
    """
    tau = np.asarray(tau, np.float64)
    return np.asarray(0.5 / tau + np.log(-tau * np.expm1(-1 / tau)))


def reference_share(policy_share: Numbers, tau: float) -> Float[np.ndarray, "*B"]:
    """G(u) = (1 - e^(-u/τ))/(1 - e^(-1/τ)): how much of the reference earns less than the best 1 - u of the optimum.

    Its derivative is the reference's density at the policy's quantile u, e^(-u/τ)/(τ (1 - e^(-1/τ))).
    """
    return np.asarray(np.expm1(-np.asarray(policy_share) / tau) / np.expm1(-1 / tau))


def policy_share_above(reference_above: Numbers, tau: float) -> Float[np.ndarray, "*B"]:
    """Mass that the optimum has where the reference has its best `reference_above`: 1 - G⁻¹(1 - `reference_above`).

    τ log(1 + (e^(1/τ) - 1) s), for a share s of 1e-9 as exact as for one of .5.
    """
    return np.asarray(tau * np.log1p(np.expm1(1 / tau) * np.asarray(reference_above)))


def reward_distribution(responses: Responses, grid: int = GRID) -> Distribution:
    """How a response's reward is distributed under the reference: N independent tokens, on a grid, by convolution.

    Each token's reward is rounded to the nearest of `grid` steps of the rewards' range, so that a response's is off by
    half a step at most; sums of products of positive numbers lose nothing in the tail.
    """
    low, step = responses.token_rewards.min(), np.ptp(responses.token_rewards) / grid
    if step == 0:
        return Distribution(responses.of_tokens(low)[None], np.ones(1))
    places = np.rint((responses.token_rewards - low) / step).astype(int)
    token = np.bincount(places, weights=responses.reference)
    probs = np.ones(1)
    for _ in range(responses.length):
        longer = np.zeros(len(probs) + grid)
        for place in np.flatnonzero(token):  # a hundred of ten thousand
            longer[place : place + len(probs)] += token[place] * probs
        probs = longer
    return Distribution(responses.of_tokens(low + step * np.arange(len(probs)) / responses.length), probs)


def ipo_optimum_reward(distribution: Distribution, tau: float) -> float:
    """Expected reward of IPO's on-policy optimum: ∫₀¹ Q(G(u)) du, Q the reference's quantiles of the reward.

    Summed by parts: the lowest reward, and each step up times the mass that the optimum has above it.

    Args:
        distribution: of the reward under the reference. Ties must be rare in truth; that a grid puts neighbours
            together costs no more than a step of it. Of single tokens, a third of which are one token, it is not so.
        tau: τ > 0.

    Raises:
        ValueError: τ is not positive.
    """
    check_positive("tau", tau)
    above = np.cumsum(distribution.probs[::-1])[::-1][1:]  # from the small end: relative accuracy in the tail
    return float(distribution.rewards[0] + np.diff(distribution.rewards) @ policy_share_above(above, tau))
