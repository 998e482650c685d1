"""Problems with a name: each shows one thing, and a test holds each to its name."""

from typing import NamedTuple

import numpy as np

from modeseek.bandit.categorical.problem import Knobs, Problem, bump, dirichlet, from_rewards, from_target, mixture
from modeseek.checks import read_float, suggestion, whole


class NamedCase(NamedTuple):
    """A start and a target.

    Attributes:
        start: p₀.
        target: q.
        shows: what to look at, in one sentence.
    """

    start: tuple[float, ...]
    target: tuple[float, ...]
    shows: str


PRESETS = {
    "case-1-holds": NamedCase(
        (0.3, 0.3, 0.2, 0.1, 0.1), (0.35, 0.15, 0.2, 0.2, 0.1), "p = .3 > L(q₁, q₂) = .236: reverse KL separates more"
    ),
    "case-1-fails": NamedCase(
        (0.1,) * 10, (0.5, 0.1, *(0.05,) * 8), "p = .1 < L(q₁, q₂) = .2485: reverse KL separates the pair less"
    ),
    "case-2": NamedCase((0.3, 0.1, 0.6), (0.4, 0.4, 0.2), "equal targets above p: reverse KL feeds the larger first"),
    "case-3": NamedCase(
        (0.5, 0.3, 0.2), (0.05, 0.05, 0.9), "equal targets far below p: reverse KL cuts the larger more"
    ),
    "case-3-fails": NamedCase(
        (0.6, 0.399, 0.001), (0.01, 0.01, 0.98), "q = .025 p₂, and yet reverse KL cuts the larger *less*"
    ),
    "equal-gap": NamedCase(
        (0.4, 0.1, 0.5), (0.5, 0.2, 0.3), "q - p equal: forward KL sees no difference, reverse KL does"
    ),
}
"""Small problems whose first two categories are the pair that the theorem speaks of."""

KINDS = "R1, R2, bump:CENTER:WIDTH, bimodal, dirichlet:CONCENTRATION, " + ", ".join(PRESETS)


class Named(NamedTuple):
    """A problem with its start and what it shows."""

    problem: Problem
    start: np.ndarray
    shows: str


def named_problem(
    name: str, *, categories: int = 100, into_interval: str = "clip", seed: int = 0, knobs: Knobs | None = None
) -> Named:
    """The problem that a name stands for.

    Args:
        name: one of `KINDS`.
        categories: K, where the name leaves it open.
        into_interval: `clip` or `tanh`, the recipe of the bandit's reference (R1, R2 and bumps).
        seed: of a random problem.
        knobs: β and the other objectives' numbers.

    Raises:
        ValueError: an unknown name, or numbers that make no problem.
    """
    whole("categories", categories, 2)
    whole("seed", seed, 0)
    if name in PRESETS:
        preset = PRESETS[name]
        start = np.asarray(preset.start)
        return Named(from_target(preset.target, start, knobs=knobs), start, preset.shows)
    if name == "bimodal":
        return _bimodal(categories, knobs)
    if name.startswith("dirichlet:"):
        return _random(name, categories, seed, knobs)
    return _bandit(name, categories, into_interval, knobs)


def _bimodal(categories: int, knobs: Knobs | None) -> Named:
    width = categories / 16
    peaks = [bump(categories, 0.25 * categories, width), bump(categories, 0.75 * categories, width)]
    floor = np.full(categories, 1 / categories)
    start = mixture([bump(categories, 0.3 * categories, 3 * width), floor], [0.8, 0.2])
    target = mixture([*peaks, floor], [0.45, 0.45, 0.1])
    return Named(from_target(target, start, knobs=knobs), start, "two equal peaks, the start close to the left one")


def _random(name: str, categories: int, seed: int, knobs: Knobs | None) -> Named:
    try:
        concentration = read_float(name.removeprefix("dirichlet:"))
    except ValueError:
        raise ValueError(f"expected dirichlet:CONCENTRATION with a number, got {name!r}") from None
    start = dirichlet(categories, concentration, seed=2 * seed)
    target = dirichlet(categories, concentration, seed=2 * seed + 1)
    return Named(from_target(target, start, knobs=knobs), start, "a random start and a random target")


def _bandit(name: str, categories: int, into_interval: str, knobs: Knobs | None) -> Named:
    from modeseek.bandit.simulator.problem import Bump, ReferenceRecipe, parse_reward, reference_probs, token_rewards

    try:
        reward = parse_reward(name)
    except ValueError:
        near = suggestion(name, ["R1", "R2", "bimodal", *PRESETS])
        raise ValueError(f"unknown problem {name!r}; there are {KINDS}{near}") from None
    # Exact bin probabilities: every category has mass, whatever K.
    reference = reference_probs(ReferenceRecipe(samples=0), into_interval, categories)
    problem = from_rewards(reference, token_rewards(name, categories), knobs)
    best = int(np.argmax(token_rewards(name, categories)))
    peak = f"{reward.center:g}" if isinstance(reward, Bump) else f"{best}"
    return Named(problem, reference, f"the bandit's reference, and a reward that peaks at category {peak}")
