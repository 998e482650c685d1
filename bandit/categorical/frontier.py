"""The most reward that so many nats can buy: the reference tilted by the reward, exactly.

A response's reward is its tokens' mean and the reference draws them independently, so of all policies no further than
K nats from the reference the best draws every token from one tilted distribution, π ∝ π_ref exp(tilt · r). Nothing
lies above: not a policy that reads its prefix, nor a mean over prompts or seeds (the frontier is concave), and not an
estimate along sampled prefixes (each next-token distribution has its reward and its KL from the same numbers).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from modeseek.bandit.categorical.metrics import kl
from modeseek.bandit.categorical.simplex import CategoricalPolicy, policy

SMALLEST, LARGEST = np.log(1e-9), np.log(1e9)
"""Logarithms of the smallest and largest tilt that is looked at, in units of one over the rewards' range."""

HALVINGS = 60
"""Of that interval: the tilt is then known to rounding."""

Numbers = Any
"""A float or an array `[*B]`."""


class Responses(NamedTuple):
    """What responses are drawn from and what they earn.

    Attributes:
        reference: π_ref of a token, positive, `[V]`.
        token_rewards: r of a token, `[V]`.
        length: N, tokens that the policy draws.
        prompt_reward: where the prompt counts as one token more of the response, its reward, a mean over prompts.
    """

    reference: Float[np.ndarray, "V"]
    token_rewards: Float[np.ndarray, "V"]
    length: int
    prompt_reward: float | None = None

    @property
    def counted(self) -> int:
        """Tokens whose rewards a response's reward is the mean of."""
        return self.length + (self.prompt_reward is not None)

    def of_tokens(self, reward: Numbers) -> Float[np.ndarray, "*B"]:
        """A response's reward from the mean reward of the tokens that the policy draws."""
        return np.asarray((self.length * np.asarray(reward) + (self.prompt_reward or 0.0)) / self.counted)

    def to_tokens(self, reward: Numbers) -> Float[np.ndarray, "*B"]:
        """`of_tokens`, read backwards."""
        return np.asarray((self.counted * np.asarray(reward) - (self.prompt_reward or 0.0)) / self.length)


def tilted(responses: Responses, tilt: Numbers) -> CategoricalPolicy:
    """π ∝ π_ref exp(tilt · r), each `[*B, V]`: of all as far from the reference, it earns most."""
    return policy(np.log(responses.reference) + np.asarray(tilt)[..., None] * responses.token_rewards)


def nats_of(responses: Responses, tilt: Numbers) -> Float[np.ndarray, "*B"]:
    """KL(tilted ‖ reference) of a response."""
    return np.asarray(responses.length * kl(*tilted(responses, tilt), np.log(responses.reference)))


def reward_of(responses: Responses, tilt: Numbers) -> Float[np.ndarray, "*B"]:
    """Expected reward of a response under the tilted reference."""
    return responses.of_tokens(tilted(responses, tilt).probs @ responses.token_rewards)


def best_tokens(responses: Responses) -> np.ndarray:
    """Which tokens earn most, `[V]`."""
    return np.asarray(responses.token_rewards == responses.token_rewards.max())


def point_mass_nats(responses: Responses) -> float:
    """-N log π_ref(best token): where the frontier ends, all mass on the response that earns most.

    Where several tokens earn most, on all responses of these: further than that from the reference nothing is won.
    """
    return float(-responses.length * np.log(responses.reference[best_tokens(responses)].sum()))


def _search(
    responses: Responses, below: Callable[[Float[np.ndarray, "*B"]], np.ndarray], shape: tuple[int, ...]
) -> Any:
    """The largest tilts `[*B]` that are `below` their mark, which an increasing function of the tilt passes."""
    span = np.ptp(responses.token_rewards) or 1.0
    low, high = np.full(shape, SMALLEST), np.full(shape, LARGEST)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        under = below(np.exp(middle) / span)
        low, high = np.where(under, middle, low), np.where(under, high, middle)
    return np.exp(low) / span


def tilt_at(responses: Responses, nats: Numbers) -> Float[np.ndarray, "*B"]:
    """The tilt at which KL(tilted ‖ reference) is this, nats a response, by bisection; NaN where that is NaN.

    The largest tilt that is looked at where the budget is enough for all mass on the best token.
    """
    wanted = np.asarray(nats, np.float64)
    found = _search(responses, lambda tilt: nats_of(responses, tilt) <= wanted, wanted.shape)
    return np.where(np.isnan(wanted), np.nan, found)


def best_at(responses: Responses, nats: float) -> Float[np.ndarray, "V"]:
    """The best distribution of a token at most so many nats a response from the reference."""
    return np.asarray(tilted(responses, tilt_at(responses, nats)).probs)


def reward_at(responses: Responses, nats: Numbers) -> Float[np.ndarray, "*B"]:
    """The most expected reward that a policy can have at most so many nats a response from the reference.

    A run's share of the optimum is its reward over this at its KL.

    Args:
        responses: what is drawn and earned.
        nats: budgets; below zero as zero, NaN gives NaN.
    """
    x, y, slope = _points(responses)
    # Hermite's cubic through points so close is exact to 1e-8; half a million budgets take no longer than one.
    return _hermite(x, y, slope, np.asarray(np.clip(nats, 0.0, x[-1]), np.float64))


def _hermite(x: Float[np.ndarray, "B"], y: np.ndarray, slope: np.ndarray, at: np.ndarray) -> np.ndarray:
    """The cubics through points with these slopes; SciPy has them too, and takes a fifth of a second to be imported."""
    width = np.diff(x)
    chord = np.diff(y) / width
    bend = (slope[:-1] + slope[1:] - 2 * chord) / width
    third, second = bend / width, (chord - slope[:-1]) / width - bend
    i = np.clip(np.searchsorted(x, at, side="right") - 1, 0, x.size - 2)
    far = at - x[i]
    return np.asarray(y[i] + slope[i] * far + second[i] * (far * far) + third[i] * (far * far * far))


def _points(responses: Responses) -> tuple[Float[np.ndarray, "B"], ...]:
    """Nats, strictly increasing, reward and slope, from the reference to the point mass; each tilt a fortieth more."""
    tilt = np.geomspace(1e-5, 1e7, 1101) / (np.ptp(responses.token_rewards) or 1.0)
    each, start = tilted(responses, tilt), reward_of(responses, 0.0)
    nats = responses.length * kl(*each, np.log(responses.reference))
    reward = responses.of_tokens(each.probs @ responses.token_rewards)
    farther = np.diff(np.maximum.accumulate(nats), prepend=0.0) > 1e-15 * nats
    if not farther.any():  # every token earns the same
        return np.array([0.0, 1.0]), np.full(2, start), np.zeros(2)
    nats, reward = nats[farther], reward[farther]
    # The envelope theorem, d reward / d nats = β. It is infinite at the reference; the first chord will do there.
    slope = np.append((reward[0] - start) / nats[0], 1.0 / (responses.counted * tilt[farther]))
    return np.append(0.0, nats), np.append(start, reward), slope


def nats_at(responses: Responses, reward: Numbers) -> Float[np.ndarray, "*B"]:
    """The fewest nats a response at which this expected reward can be had: `reward_at`, read backwards.

    0 for what the reference earns or less, +inf for more than any token does, NaN for NaN.
    """
    wanted = responses.to_tokens(np.asarray(reward, np.float64))
    most = responses.token_rewards.max()
    tilt = _search(responses, lambda t: tilted(responses, t).probs @ responses.token_rewards <= wanted, wanted.shape)
    found = np.where(wanted > responses.reference @ responses.token_rewards, nats_of(responses, tilt), 0.0)
    found = np.where(wanted == most, point_mass_nats(responses), np.where(wanted > most, np.inf, found))
    return np.where(np.isnan(wanted), np.nan, found)


def beta_at(responses: Responses, nats: Numbers) -> Float[np.ndarray, "*B"]:
    """β of KL-regularised RL, max E[R] - β KL(policy ‖ reference) (eq. 6, sign mended), whose optimum is so far away.

    That optimum is π_ref exp(R/β)/Z over responses. R is a mean of n tokens' rewards, so each token is tilted by
    1/(n β).
    """
    return np.asarray(1.0 / (responses.counted * tilt_at(responses, nats)))


def frontier(responses: Responses, points: int = 200) -> tuple[Float[np.ndarray, "B"], Float[np.ndarray, "B"]]:
    """The frontier as a curve to be drawn: nats a response from 0 to `point_mass_nats`, and the most reward there.

    Points are close where the curve is bent, near the reference and near the point mass.
    """
    nats = point_mass_nats(responses) * (1 - np.cos(np.pi * np.linspace(0, 1, points))) / 2
    return nats, reward_at(responses, nats)
