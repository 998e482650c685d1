"""Whether a policy has collapsed onto one response, read off its expected reward and its KL to the reference.

KL(policy ‖ reference) = E[-log π_ref(y)] - H, so that the entropy H is known once E[-log π_ref(y)] is, and the
expected reward confines that: a token is a point (r, -log π_ref), a policy's mean over tokens and prompts lies in the
convex hull of these points, between its lower and its upper edge at the reward.
"""

import enum

import numpy as np
from jaxtyping import Float, Int

from modeseek.bandit.categorical.frontier import Numbers, Responses

ONE_RESPONSE = 1.0
"""Nats a response of entropy up to which a policy is called collapsed. Then its likeliest response has at least
exp(-1) = .37 of the mass, and a batch of ten to a prompt holds it again and again; the paper's reference has 34.7."""

NEAR = (1e-3, 0.05)
"""Reward and nats a response within which a policy lies on a token's point mass. Around the points of a hundred tokens
that is a four-thousandth of the plane from 0 to 1 and to 80 nats, but a tenth of its edge, where many earn nothing."""


class Ending(enum.IntEnum):
    """What is known of a policy."""

    SPREAD = 0
    COLLAPSED = 1
    UNDECIDED = 2


def _edge(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Corners of the lower edge of the points' convex hull, from left to right (Andrew's monotone chain)."""
    corners: list[tuple[float, float]] = []
    for point in sorted(zip(x.tolist(), y.tolist(), strict=True)):
        if corners and corners[-1][0] == point[0]:
            continue  # the lower of two above each other came first
        while len(corners) > 1 and _turn(corners[-2], corners[-1], point) <= 0:
            corners.pop()
        corners.append(point)
    found = np.array(corners)
    return found[:, 0], found[:, 1]


def _turn(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def entropy_bounds(
    responses: Responses, reward: Numbers, nats: Numbers
) -> tuple[Float[np.ndarray, "*B"], Float[np.ndarray, "*B"]]:
    """Between what a policy's entropy lies, nats a response, given its expected reward and KL(policy ‖ reference).

    N low(r) - KL ≤ H ≤ N up(r) - KL, with the edges of the hull of (r(a), -log π_ref(a)) over tokens a. It holds for
    means over prompts, seeds and sampled prefixes too. The lower bound is 0 where that is less.

    Args:
        responses: what is drawn and earned.
        reward: expected reward of a response.
        nats: KL(policy ‖ reference) of a response.
    """
    surprise = -np.log(responses.reference)
    rewards = np.asarray(responses.token_rewards, np.float64)
    of_token = np.clip(responses.to_tokens(reward), rewards.min(), rewards.max())  # NaN stays
    low = np.interp(of_token, *_edge(rewards, surprise))
    x, y = _edge(rewards, -surprise)
    up = np.interp(of_token, x, -y)
    nats = np.asarray(nats, np.float64)
    low, up = (np.asarray(np.maximum(responses.length * edge - nats, 0.0)) for edge in (low, up))
    return low, up


def repeated_token(responses: Responses, reward: Numbers, nats: Numbers) -> Int[np.ndarray, "*B"]:
    """The token on whose point mass, (r(a), -N log π_ref(a)), a policy lies as near as `NEAR`; -1 if on none's.

    Of tokens with the same point, the first.
    """
    off_reward = np.abs(responses.to_tokens(reward)[..., None] - responses.token_rewards) / NEAR[0]
    at = -responses.length * np.log(responses.reference)
    off = np.maximum(off_reward, np.abs(np.asarray(nats)[..., None] - at) / NEAR[1])
    return np.where(np.nan_to_num(off, nan=np.inf).min(-1) <= 1, np.nan_to_num(off, nan=np.inf).argmin(-1), -1)


def collapsed(
    responses: Responses, reward: Numbers, nats: Numbers, entropy: Numbers | None = None
) -> Int[np.ndarray, "*B"]:
    """Whether policies are near a point mass, an `Ending` each: their entropy is at most `ONE_RESPONSE`.

    Without the entropy it is *collapsed* where the upper bound is that small, or where the policy lies on the point
    mass of one repeated token, and *spread* where the lower bound is larger. Everything else is *undecided*: at the
    same reward and KL one policy may hold one response of unlikely tokens, and another be spread over likely ones.
    That holds for every collapse onto a response of several tokens with a reward far from the best, and for several
    prompts with a response each. NaN is undecided.

    Args:
        responses: what is drawn and earned.
        reward: expected rewards of a response.
        nats: KL(policy ‖ reference) of a response.
        entropy: of a response, nats, where it was measured; it alone decides.
    """
    if entropy is not None:
        measured = np.asarray(entropy, np.float64)
        ending = np.where(measured <= ONE_RESPONSE, Ending.COLLAPSED, Ending.SPREAD)
        return np.where(np.isnan(measured), Ending.UNDECIDED, ending)
    low, up = entropy_bounds(responses, reward, nats)
    sure = (up <= ONE_RESPONSE) | (repeated_token(responses, reward, nats) >= 0)
    return np.where(low > ONE_RESPONSE, Ending.SPREAD, np.where(sure, Ending.COLLAPSED, Ending.UNDECIDED))


def collapsed_at_the_end(
    responses: Responses,
    reward: Float[np.ndarray, "*B E"],
    nats: Float[np.ndarray, "*B E"],
    entropy: Float[np.ndarray, "*B E"] | None = None,
) -> Int[np.ndarray, "*B"]:
    """The `Ending` that all evaluations of a run's last tenth share; undecided if they differ.

    A spread policy does not lie on a point mass evaluation after evaluation: its estimates move.
    """
    last = slice(-max(1, np.shape(reward)[-1] // 10), None)
    kept = None if entropy is None else entropy[..., last]
    each = collapsed(responses, reward[..., last], nats[..., last], kept)
    same = (each == each[..., -1:]).all(axis=-1)
    return np.where(same, each[..., -1], Ending.UNDECIDED)
