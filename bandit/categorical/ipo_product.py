"""Where on-policy IPO comes to rest if the policy draws its tokens independently.

`ipo_optimum` is of a policy that may reweight every response by itself. A product of token distributions cannot: its
log-ratio is a sum over tokens, f(y₁) + … + f(y_N), and of such sums the nearest to IPO's target (2F - 1)/(2τ) on the
policy's own samples is the target's projection on functions of one token (Hájek's),

    f(a) = E[(2F(y) - 1)/(2τ) | y₁ = a] = (2 P(y wins | y₁ = a) - 1)/(2τ).

IPO's target is bounded, but a token's share of it counts each time that it stands in a response. With a small τ the
rest lies farther away than the optimum (R1 at τ = .05: 11.4 nats against 7.0; R2: next to the point mass), with a large
one nearer (τ = .5: .12 against .16). The bandit's networks come to rest here and not at the optimum.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from modeseek.bandit.categorical.frontier import Responses
from modeseek.bandit.categorical.simplex import check_positive, policy

GRID = 1000
"""Steps of the rewards' range in which sums of rewards are counted."""

CLOSE = 1e-8
"""Largest change of a log-probability by which a rest is known."""


class Rest(NamedTuple):
    """A stationary point of on-policy IPO among policies that draw tokens independently.

    Attributes:
        probs: of a token, `[V]`.
        nats: KL(policy ‖ reference) of a response.
        reward: expected reward of a response.
    """

    probs: Float[np.ndarray, "V"]
    nats: float
    reward: float


def win_probability(responses: Responses, probs: Float[np.ndarray, "V"], grid: int = GRID) -> Float[np.ndarray, "V"]:
    """P(y wins against y' | y₁ = a) for each token a, y and y' drawn from the policy; a tie is half a win.

    Sums of rewards are counted on a grid, a token's rounded to its nearest step, and convolved by Fourier transform.
    """
    span = np.ptp(responses.token_rewards) or 1.0
    places = np.rint((responses.token_rewards - responses.token_rewards.min()) / span * grid).astype(int)
    size = grid * responses.length + 1
    transformed = np.fft.rfft(np.bincount(places, weights=probs, minlength=grid + 1), 2 * size)
    others, whole = (np.fft.irfft(transformed**n, 2 * size)[:size] for n in (responses.length - 1, responses.length))
    beaten = np.cumsum(whole) - 0.5 * whole
    return np.array([others[: size - place] @ beaten[place:] for place in places])


def ipo_product_rest(
    responses: Responses, tau: float, start: Float[np.ndarray, "V"] | None = None, damping: float = 0.25
) -> Rest:
    """The rest that on-policy IPO comes to from `start`, by default the reference, in small steps of log π.

    Args:
        responses: what is drawn and earned.
        tau: τ > 0.
        start: token distribution to start from, positive.
        damping: share of the way to the present target that a step goes.

    Raises:
        ValueError: τ is not positive, or ten thousand steps do not come to rest.
    """
    check_positive("tau", tau)
    log_reference = np.log(responses.reference)
    log_probs = log_reference if start is None else np.log(start)
    for _ in range(10_000):
        wanted = log_reference + win_probability(responses, np.exp(log_probs)) / tau
        moved = policy((1 - damping) * log_probs + damping * wanted).log_probs
        if np.abs(moved - log_probs).max() < CLOSE:
            probs = np.exp(moved)
            nats = responses.length * float(probs @ (moved - log_reference))
            return Rest(probs, nats, float(responses.of_tokens(probs @ responses.token_rewards)))
        log_probs = moved
    raise ValueError(f"on-policy IPO does not come to rest at tau {tau:g}")
