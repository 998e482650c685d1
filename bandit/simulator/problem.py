"""The bandit of paper 3.2 and I.1: a reference distribution over tokens, a reward per token, prompts."""

import dataclasses
import math
from functools import lru_cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from modeseek.bandit.simulator.knots import KIND, Knots, parse_knots, resolved
from modeseek.checks import require, typed, whole

MOST_SAMPLES = 100_000_000
"""The most samples of a reference: some seconds of drawing, and a few GB."""

NARROWEST = 0.01
"""The least width of a bump, in tokens: it rewards one token alone, as any narrower one would."""


@dataclasses.dataclass(frozen=True)
class ReferenceRecipe:
    """The reference: a histogram of Cauchy samples, or any probability vector.

    Attributes:
        location: x₀ of the Cauchy distribution.
        scale: its γ.
        samples: how many are drawn; 0 takes the exact bin probabilities, the limit of many samples.
        seed: of those samples: part of the problem, the same for every run.
        floor: least probability of a token, before renormalising; 0 asks for none.
        probabilities: if given, the reference itself, and all of the above but `floor` is unused.
    """

    location: float = -0.7
    scale: float = 0.4
    samples: int = 10_000
    seed: int = 0
    floor: float = 0.0
    probabilities: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        typed(self)
        whole("reference seed", self.seed, 0)
        require(self.samples >= 0, f"reference samples must be at least 1, or 0 for exact bins, got {self.samples}")
        require(
            self.samples <= MOST_SAMPLES,
            f"reference samples must be at most {MOST_SAMPLES:,}, got {self.samples:,}: 0 takes the exact bins, to "
            "which more samples come ever nearer",
        )


class Problem(NamedTuple):
    """A bandit as arrays; both are data, so sweeping over rewards or references compiles nothing.

    Attributes:
        reference_log_probs: log π_ref(token), the same at every position and for every prompt.
        token_rewards: the reward of a token; a response's reward is the mean over its tokens.
    """

    reference_log_probs: Float[Array, "V"]
    token_rewards: Float[Array, "V"]


def _cauchy_cdf(x: np.ndarray, location: float, scale: float) -> np.ndarray:
    return 0.5 + np.arctan2(x - location, scale) / np.pi


def reference_probs(recipe: ReferenceRecipe, into_interval: str, vocab_size: int) -> Float[np.ndarray, "V"]:
    """π_ref(token) in float64: Cauchy samples brought into (-1, 1), counted in V equal bins. Paper I.1.

    Args:
        recipe: the numbers.
        into_interval: `clip` (samples beyond ±1 fall into the outer bins), `discard` (they are not counted) or `tanh`
            (released code). The first two are readings of the paper's "clip".
        vocab_size: V, bins.

    Raises:
        ValueError: a scale that is not positive, a vector of another length, with NaN, with
            negative or (without a floor) zero mass, or that does not sum to 1.
    """
    if recipe.probabilities:
        probs = np.asarray(recipe.probabilities, np.float64)
        _check_probabilities(probs, vocab_size)
    else:
        probs = _cauchy_histogram(recipe, into_interval, vocab_size)
    if not 0 <= recipe.floor < 1 / vocab_size:
        raise ValueError(f"reference floor must be in [0, 1/vocab_size), got {recipe.floor}")
    if recipe.floor == 0 and (probs == 0).any():
        empty = np.flatnonzero(probs == 0)
        raise ValueError(
            f"the reference gives no mass to {empty.size} token(s), the first is {empty[0]}: log π_ref would be -inf. "
            "Ask for a floor (for example reference.floor 1e-4), or draw more samples"
        )
    probs = np.maximum(probs, recipe.floor)
    normalized: Float[np.ndarray, "V"] = probs / probs.sum()
    return normalized


def _check_probabilities(probs: np.ndarray, vocab_size: int) -> None:
    if probs.shape != (vocab_size,):
        raise ValueError(f"reference probabilities must have length vocab_size = {vocab_size}, got {probs.size}")
    if not np.isfinite(probs).all():
        raise ValueError("reference probabilities must be finite, got NaN or infinity")
    if (probs < 0).any():
        raise ValueError(f"reference probabilities must not be negative, got {probs.min()}")
    if abs(probs.sum() - 1) > 1e-6:
        raise ValueError(f"reference probabilities must sum to 1, got {probs.sum()}")


@lru_cache(maxsize=8)
def _cauchy_histogram(recipe: ReferenceRecipe, into_interval: str, vocab_size: int) -> np.ndarray:
    """The samples' shares of the bins; kept, since every experiment looks whether its reference is one."""
    if not (math.isfinite(recipe.scale) and recipe.scale > 0 and math.isfinite(recipe.location)):
        raise ValueError(
            f"reference scale must be positive and location finite, got {recipe.scale} and {recipe.location}"
        )
    if into_interval not in ("clip", "discard", "tanh"):
        raise ValueError(f"reference_recipe must be 'clip', 'discard' or 'tanh', got {into_interval!r}")
    edges = np.linspace(-1, 1, vocab_size + 1)
    if recipe.samples == 0:
        inner = np.arctanh(edges[1:-1]) if into_interval == "tanh" else edges[1:-1]
        outer = np.array([-1.0, 1.0]) if into_interval == "discard" else np.array([-np.inf, np.inf])
        masses = np.diff(_cauchy_cdf(np.concatenate([outer[:1], inner, outer[1:]]), recipe.location, recipe.scale))
    else:
        draws = recipe.location + recipe.scale * np.random.default_rng(recipe.seed).standard_cauchy(recipe.samples)
        if into_interval != "discard":  # a histogram does not count what lies outside of its bins
            draws = np.clip(draws, -1, 1) if into_interval == "clip" else np.tanh(draws)
        masses = np.histogram(draws, bins=edges)[0].astype(np.float64)
    if masses.sum() == 0:
        raise ValueError(f"none of {recipe.samples} reference samples lies in (-1, 1): draw more of them")
    normalized: np.ndarray = masses / masses.sum()
    normalized.flags.writeable = False
    return normalized


def gaussian_bump(center: float, width: float, vocab_size: int) -> Float[np.ndarray, "V"]:
    """R(a) = exp(-((a - center)/width)²), one token's reward. Paper I.1: R1 has center 70, R2 has 20, width 10."""
    with np.errstate(over="ignore"):  # far from the center, e to the power of minus infinity
        bump: Float[np.ndarray, "V"] = np.exp(-(((np.arange(vocab_size) - center) / width) ** 2))
    return bump


class Bump(NamedTuple):
    """A reward that is a bump over the tokens.

    Attributes:
        center: token that earns 1.
        width: tokens from there to one that earns 1/e.
    """

    center: float
    width: float

    def of_tokens(self, vocab_size: int) -> Float[np.ndarray, "V"]:
        """The reward of each token, float64."""
        return gaussian_bump(self.center, self.width, vocab_size)


R1 = Bump(70.0, 10.0)
R2 = Bump(20.0, 10.0)
_KNOWN = {"R1": R1, "R2": R2}


def known_reward(text: str) -> str:
    """The one text of a reward: `r1` is `R1`, and `saved:NAME` the knots that were saved.

    Raises:
        ValueError: nothing was saved under that name, or it is damaged.
    """
    return text.upper() if text.upper() in _KNOWN else resolved(text)


def parse_reward(text: str) -> Bump | Knots:
    """What `R1`, `R2`, `bump:CENTER:WIDTH`, `knots:VALUE,VALUE,…` or `saved:NAME` say; places are tokens.

    Raises:
        ValueError: it is none of these, or a number is not finite, the width too small, or a knot not from 0 to 1.
    """
    if (name := known_reward(text)) in _KNOWN:
        return _KNOWN[name]
    if name.startswith(f"{KIND}:"):
        return parse_knots(name)
    kind, *numbers = text.split(":")
    try:
        if kind != "bump" or len(numbers) != 2:
            raise ValueError
        center, width = (float(n) for n in numbers)
    except ValueError:
        raise ValueError(f"a reward must be 'R1', 'R2', 'bump:CENTER:WIDTH' or 'knots:V,V,…', got {text!r}") from None
    if not (math.isfinite(center) and math.isfinite(width) and width > 0):
        raise ValueError(f"a bump's center must be finite and its width positive, got {text!r}")
    require(width >= NARROWEST, f"a bump's width must be at least {NARROWEST} tokens, got {text!r}")
    return Bump(center, width)


def token_rewards(reward: str, vocab_size: int) -> Float[np.ndarray, "V"]:
    """The reward of each token, float64."""
    return parse_reward(reward).of_tokens(vocab_size)


def make_problem(reference: Float[np.ndarray, "V"], rewards: Float[np.ndarray, "V"]) -> Problem:
    """A problem from any two vectors, probabilities and rewards.

    Raises:
        ValueError: lengths differ, rewards are not finite, or probabilities are not a positive distribution.
    """
    _check_probabilities(np.asarray(reference), len(rewards))
    if (np.asarray(reference) == 0).any():
        raise ValueError("every token needs reference mass: log π_ref would be -inf")
    if not np.isfinite(rewards).all():
        bad = int(np.flatnonzero(~np.isfinite(rewards))[0])
        raise ValueError(f"rewards must be finite, got {rewards[bad]} for token {bad}")
    return Problem(
        # The logarithm before the cast: float32 has no 1e-46, but log 1e-46 is a modest number.
        reference_log_probs=jnp.asarray(np.log(np.asarray(reference, np.float64)), jnp.float32),
        token_rewards=jnp.asarray(rewards, jnp.float32),
    )


def response_tokens(tokens: Int[Array, "*B S"], prompt_in_response: bool) -> Int[Array, "*B T"]:
    """The tokens that count as the response: without the prompt, unless the conventions say otherwise."""
    return tokens if prompt_in_response else tokens[..., 1:]


def response_rewards(
    tokens: Int[Array, "*B S"], token_rewards: Float[Array, "V"], prompt_in_response: bool
) -> Float[Array, "*B"]:
    """Reward of each response: the mean of its tokens' rewards."""
    return token_rewards[response_tokens(tokens, prompt_in_response)].mean(axis=-1)


def sample_prompts(n: int, prompt_count: int, *, key: jax.Array) -> Int[Array, "P"]:
    """Prompts, drawn uniformly from `prompt_count` of them; the key is consumed."""
    return jax.random.randint(key, (n,), 0, prompt_count)
