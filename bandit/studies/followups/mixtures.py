"""A policy that is a mixture of normal distributions, and methods that teach it a new mode from samples.

What is wanted is p = .75 N(-3, 1) + .25 N(3.5, .7), and the policy starts as .75 N(-3.5, 1) + .25 N(.5, .7): its old
mode is nearly right, its new one is not. Everything moves by gradient ascent: weights (as logits), means and log
scales. A mode is known as far as the policy overlaps it, ∫ min(p_m, π)/∫ p_m.

| method | learns from | divergence descended | its target holds the old mode |
|---|---|---|---|
| sft | samples of the new mode | forward KL | no |
| replay | samples of both modes | forward KL | yes |
| self_sft | own samples, weighted by p/π | forward KL | yes |
| rl | own samples | reverse KL: E_π[log p - log π] | yes |
| rl_new | own samples | reverse KL to the new mode alone | no |
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import xarray
from jaxtyping import Float

from modeseek.bandit.studies.followups.followup import seeds_of
from modeseek.bandit.studies.protocol import Protocol


class Mixture(NamedTuple):
    """M normal distributions with weights, for each of S runs; also a direction in the space of such parameters.

    Attributes:
        logits: of the weights, which are their softmax.
        means: of each.
        log_scales: log of each standard deviation.
    """

    logits: Float[np.ndarray, "S M"]
    means: Float[np.ndarray, "S M"]
    log_scales: Float[np.ndarray, "S M"]

    @property
    def log_weights(self) -> Float[np.ndarray, "S M"]:
        """Log of the weights."""
        return np.asarray(self.logits - _log_sum(self.logits)[..., None])

    def joint(self, x: Float[np.ndarray, "S n"]) -> Float[np.ndarray, "S n M"]:
        """Log of weight times density of each component."""
        z = (x[..., None] - self.means[:, None]) / np.exp(self.log_scales)[:, None]
        of_normal = -0.5 * z**2 - 0.5 * np.log(2 * np.pi) - self.log_scales[:, None]
        return np.asarray(self.log_weights[:, None] + of_normal)

    def log_density(self, x: Float[np.ndarray, "S n"]) -> Float[np.ndarray, "S n"]:
        """Log π(x)."""
        return _log_sum(self.joint(x))

    def scores(self, x: Float[np.ndarray, "S n"], weights: Float[np.ndarray, "S n"]) -> "Mixture":
        """Σ_x weights · ∇ log π(x), with ρ_m the share that component m has of π(x).

        ∂/∂logit_m = ρ_m - w_m,   ∂/∂μ_m = ρ_m (x - μ_m)/σ_m²,   ∂/∂log σ_m = ρ_m ((x - μ_m)²/σ_m² - 1)
        """
        joint = self.joint(x)
        share = np.exp(joint - _log_sum(joint)[..., None])
        scale = np.exp(self.log_scales)[:, None]
        z = (x[..., None] - self.means[:, None]) / scale
        each = share - np.exp(self.log_weights)[:, None], share * z / scale, share * (z**2 - 1)
        return Mixture(*(np.einsum("sn,snm->sm", weights, part) for part in each))

    def placed(self, uniform: Float[np.ndarray, "S n"], normal: Float[np.ndarray, "S n"]) -> Float[np.ndarray, "S n"]:
        """Draws: a uniform number chooses the component, and a standard normal one the place in it."""
        edges = np.exp(self.log_weights).cumsum(axis=-1)[:, None, :-1]
        chosen = (uniform[..., None] > edges).sum(axis=-1)
        mean, scale = (np.take_along_axis(each, chosen, axis=-1) for each in (self.means, np.exp(self.log_scales)))
        return np.asarray(mean + scale * normal)

    def moved(self, by: "Mixture", rate: float) -> "Mixture":
        """A step along a direction."""
        return Mixture(*(here + rate * step for here, step in zip(self, by, strict=True)))


def mixture(runs: int, *components: tuple[float, float, float]) -> Mixture:
    """The same for every run; each component is (weight, mean, standard deviation)."""
    weights, means, scales = (np.tile(np.array(column), (runs, 1)) for column in zip(*components, strict=True))
    return Mixture(np.log(weights), means, np.log(scales))


OLD, NEW = (0.75, -3.0, 1.0), (0.25, 3.5, 0.7)
"""The modes that are wanted: weight, mean and standard deviation."""
TWO_MODES = ((0.75, -3.5, 1.0), (0.25, 0.5, 0.7))
"""Where a policy of two modes starts."""
ONE_MODE = ((1.0, -3.5, 1.0),)
"""Where a policy of one mode starts."""
GRID = np.linspace(-9.0, 9.0, 361)[None]
"""Where overlaps are integrated."""


def overlap(policy: Mixture, mode: tuple[float, float, float]) -> Float[np.ndarray, "S"]:
    """∫ min(w N(x; μ, σ), π(x)) dx / w: the share of a mode that the policy covers, 1 where it has all of it."""
    weight = mode[0]
    wanted = weight * np.exp(mixture(1, (1.0, *mode[1:])).log_density(GRID))
    had = np.exp(policy.log_density(np.broadcast_to(GRID, (len(policy.logits), GRID.size))))
    return np.asarray(np.trapezoid(np.minimum(wanted, had), GRID[0], axis=-1) / weight)


class Method(NamedTuple):
    """What a method learns from.

    Attributes:
        direction: `(policy, x, log target(x)) → ∇`, the direction of ascent.
        own: whether x are the policy's own samples of this step; else a data set drawn once from the target.
        target: the modes that its target holds.
    """

    direction: Callable[[Mixture, np.ndarray, np.ndarray], Mixture]
    own: bool
    target: tuple[tuple[float, float, float], ...]


def forward(policy: Mixture, x: Float[np.ndarray, "S n"], log_target: Float[np.ndarray, "S n"]) -> Mixture:
    """Likelihood of the target's samples: -∇ KL(p ‖ π)."""
    return policy.scores(x, np.full(x.shape, 1.0 / x.shape[-1]))


def forward_on_own(policy: Mixture, x: Float[np.ndarray, "S n"], log_target: Float[np.ndarray, "S n"]) -> Mixture:
    """The same from the policy's samples, weighted by p/π, self-normalised: reward-weighted regression's step."""
    log_ratio = log_target - policy.log_density(x)
    return policy.scores(x, np.exp(log_ratio - _log_sum(log_ratio)[..., None]))


def reverse(policy: Mixture, x: Float[np.ndarray, "S n"], log_target: Float[np.ndarray, "S n"]) -> Mixture:
    """REINFORCE on log p - log π, less its mean over the other samples: -∇ KL(π ‖ p) without bias."""
    n = x.shape[-1]
    reward = log_target - policy.log_density(x)
    return policy.scores(x, (reward - reward.mean(axis=-1, keepdims=True)) / (n - 1))


METHODS = {
    "sft": Method(forward, own=False, target=((1.0, *NEW[1:]),)),
    "replay": Method(forward, own=False, target=(OLD, NEW)),
    "self_sft": Method(forward_on_own, own=True, target=(OLD, NEW)),
    "rl": Method(reverse, own=True, target=(OLD, NEW)),
    "rl_new": Method(reverse, own=True, target=((1.0, *NEW[1:]),)),
}
"""By name, see the table above."""


class Curves(NamedTuple):
    """Overlaps of S runs with both modes, at the start and behind every few steps."""

    old: Float[np.ndarray, "S E"]
    new: Float[np.ndarray, "S E"]


def train(
    method: Method,
    start: tuple[tuple[float, float, float], ...],
    rate: float,
    *,
    seeds: range,
    steps: int,
    every: int,
    samples: int,
    data_set: int,
    until: float = np.inf,
) -> Curves:
    """S runs of one method, a generator a seed: their randomness does not depend on which others are run.

    Args:
        method: from `METHODS`.
        start: components of the policy.
        rate: learning rate of gradient ascent.
        seeds: a run each.
        steps: gradient steps.
        every: steps between measurements.
        samples: of the policy, in each step.
        data_set: samples in a data set, all of which each step sees.
        until: the new mode's overlap at which nothing more need be known, once all runs have it.
    """
    generators = [np.random.default_rng((seed, 2510_18874)) for seed in seeds]

    def draw(source: Mixture, n: int) -> np.ndarray:
        uniform, normal = (
            np.stack([getattr(rng, kind)(n) for rng in generators]) for kind in ("random", "standard_normal")
        )
        return source.placed(uniform, normal)

    policy, target = mixture(len(seeds), *start), mixture(len(seeds), *method.target)
    data = None if method.own else draw(target, data_set)
    visited = [(overlap(policy, OLD), overlap(policy, NEW))]
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # a rate at which it diverges is not chosen
        for step in range(1, steps + 1):
            x = draw(policy, samples) if data is None else data
            policy = policy.moved(method.direction(policy, x, target.log_density(x)), rate)
            if step % every == 0:
                visited.append((overlap(policy, OLD), overlap(policy, NEW)))
                if np.maximum.reduce([new for _, new in visited]).min() >= until:
                    break
    return Curves(*(np.stack(each, axis=-1) for each in zip(*visited, strict=True)))


def kept_at(curves: Curves, level: float) -> Float[np.ndarray, "S"]:
    """The old mode's overlap less its start's, where the new mode's first reaches a level; NaN where it never does."""
    there = curves.new >= level
    first = there.argmax(axis=-1)
    change = np.take_along_axis(curves.old, first[:, None], axis=-1)[:, 0] - curves.old[:, 0]
    return np.asarray(np.where(there.any(axis=-1), change, np.nan))


@dataclasses.dataclass(frozen=True)
class Retention:
    """A method on a policy, with a learning rate that is tuned on other seeds.

    Attributes:
        method: a name in `METHODS`.
        modes: of the policy: 2, or 1, which starts as the old one.
        level: of the new mode's overlap, at which the old one's is compared.
        rates: learning rates, of which that is chosen which keeps most of the old mode where all seeds learn the new.
        tuning_seeds: 0, 1, …, for that choice.
        steps: gradient steps.
        every: steps between measurements.
        samples: of the policy, in each step.
        data_set: samples in a data set.
    """

    method: str
    modes: int = 2
    level: float = 0.9
    rates: tuple[float, ...] = (0.03, 0.1, 0.3)
    tuning_seeds: int = 20
    steps: int = 1000
    every: int = 5
    samples: int = 200
    data_set: int = 1000

    def at(self, rate: float, seeds: range) -> Curves:
        """Runs at a learning rate."""
        start = TWO_MODES if self.modes == 2 else ONE_MODE
        return train(
            METHODS[self.method],
            start,
            rate,
            seeds=seeds,
            steps=self.steps,
            every=self.every,
            samples=self.samples,
            data_set=self.data_set,
            until=self.level,
        )


def retention(setup: Retention, protocol: Protocol) -> xarray.Dataset:
    """Runs of the fresh seeds at the chosen rate.

    Returns:
        `[seed, step]`: `old` and `new`, the overlaps; `[seed]`: `kept`, see `kept_at`. `[learning_rate]`: `tuning`,
        what the tuning seeds kept on average, NaN where one did not reach the level. The chosen rate is an attribute.
    """
    tuning = np.array([kept_at(setup.at(rate, range(setup.tuning_seeds)), setup.level).mean() for rate in setup.rates])
    chosen = setup.rates[int(np.nanargmax(tuning))] if np.isfinite(tuning).any() else setup.rates[-1]
    seeds = seeds_of(protocol)
    curves = setup.at(chosen, seeds)
    variables = {name: (("seed", "step"), getattr(curves, name).astype(np.float32)) for name in Curves._fields}
    return xarray.Dataset(
        {
            **variables,
            "kept": ("seed", kept_at(curves, setup.level)),
            "tuning": ("learning_rate", tuning),
        },
        {
            "seed": list(seeds),
            "step": [setup.every * i for i in range(curves.old.shape[-1])],
            "learning_rate": list(setup.rates),
        },
        {"learning_rate": chosen},
    )


def _log_sum(logs: Float[np.ndarray, "*B k"]) -> Float[np.ndarray, "*B"]:
    """Log Σ exp over the last axis."""
    top = logs.max(axis=-1, keepdims=True)
    return np.asarray(top[..., 0] + np.log(np.exp(logs - top).sum(axis=-1)))
