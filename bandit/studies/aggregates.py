"""What seeds say together beside their mean.

After Agarwal et al. (2021), "Deep reinforcement learning at the edge of the statistical precipice".

A mean of outcomes of two kinds describes no run. The interquartile mean leaves the best and the worst quarter out, a
profile says what share of the runs gets how far, and the probability of improvement compares run with run.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from modeseek.bandit.studies.intervals import CONFIDENCE

DRAWS = 5_000
"""Bootstrap samples."""


class Estimate(NamedTuple):
    """A number with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """To three digits."""
        return f"{self.value:.3f} ({self.low:.3f} … {self.high:.3f})"


def interquartile_mean(values: Float[np.ndarray, "*B n"]) -> Float[np.ndarray, "*B"]:
    """The mean without the lowest and the highest quarter (whole values, rounded down), along the last axis."""
    from scipy.stats import trim_mean

    return np.asarray(trim_mean(values, 0.25, axis=-1))


def interquartile_mean_of(values: Float[np.ndarray, "n"]) -> Estimate:
    """With its percentile interval, from draws of seeds with replacement; one cell is one stratum."""
    drawn = values[_draws(len(values))]
    return Estimate(float(interquartile_mean(values)), *_percentiles(interquartile_mean(drawn)))


def improvement(better: Float[np.ndarray, "n"], worse: Float[np.ndarray, "m"]) -> Estimate:
    """P(X > Y) + P(X = Y)/2 for a run of each, with its percentile interval from draws of both, each in its stratum."""
    first, second = better[_draws(len(better))], worse[_draws(len(worse), seed=1)]
    return Estimate(
        _above(better, worse), *_percentiles(np.array([_above(x, y) for x, y in zip(first, second, strict=True)]))
    )


def profile(values: Float[np.ndarray, "n"], thresholds: Float[np.ndarray, "k"]) -> Float[np.ndarray, "k"]:
    """The share of runs that ends at or above each threshold."""
    shares: Float[np.ndarray, "k"] = (values[None, :] >= thresholds[:, None]).mean(axis=1)
    return shares


def _above(x: np.ndarray, y: np.ndarray) -> float:
    ordered = np.sort(y)
    below, at_most = (np.searchsorted(ordered, x, side=side) for side in ("left", "right"))
    return float((below + at_most).mean() / (2 * len(y)))


def _draws(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, n, (DRAWS, n))


def _percentiles(estimates: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(estimates, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)
