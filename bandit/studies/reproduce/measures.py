"""The bandit's measures: what the paper's claims are made of."""

from collections.abc import Callable

import numpy as np
import xarray

from modeseek.bandit.simulator.summary import final_value, mean_over_run
from modeseek.bandit.studies.measures import Measure, Unit

CURVES = (
    "expected_reward",
    "kl_to_reference",
    "kl_to_behavior",
    "chosen_implicit_reward",
    "rejected_implicit_reward",
)
"""What is kept of a run."""

REWARD, NATS = Unit("reward", 0.02), Unit("nats", 1.0)
"""Expected rewards; log-probabilities and KLs in nats a response."""

KL_BUDGET = 10.0
"""Nats a response within which the reward-KL trade-off is read."""


EARLY_STEPS = 50
"""Gradient steps in which it shows which method learns fast."""


def _final(name: str) -> Callable[[xarray.Dataset], xarray.DataArray]:
    return lambda curves: final_value(curves[name])


def _mean_reward(curves: xarray.Dataset) -> xarray.DataArray:
    return mean_over_run(curves["expected_reward"])


def _peak_behavior_kl(curves: xarray.Dataset) -> xarray.DataArray:
    return curves["kl_to_behavior"].max("step", skipna=False)


def _early_reward(curves: xarray.Dataset) -> xarray.DataArray:
    reward = curves["expected_reward"]
    early = mean_over_run(reward.isel(step=slice(np.searchsorted(reward["step"].values, EARLY_STEPS, "right"))))
    return early.copy(data=np.where(_whole(reward), early.values, np.nan))


def _peak_reward(curves: xarray.Dataset) -> xarray.DataArray:
    return curves["expected_reward"].max("step", skipna=False)


def steps_to(reward: xarray.DataArray, threshold: float) -> xarray.DataArray:
    """The first measured gradient step at which a reward is reached; NaN where a run never does (it is censored)."""
    reached = reward >= threshold
    return reward["step"].astype(np.float64).where(reached).min("step")


def reward_within(curves: xarray.Dataset, nats: float) -> xarray.DataArray:
    """The best expected reward of each run at most so many nats from the reference; NaN of a run that diverged."""
    reward = curves["expected_reward"]
    # In NumPy: the same in xarray's own terms takes ten times as long.
    value = _over_steps(reward)
    kl = _over_steps(curves["kl_to_reference"].transpose(*reward.dims))
    best = np.where(kl <= nats, value, np.nan)
    # Where a curve crosses the budget between two measurements, the straight line between them.
    first, second = kl[..., :-1], kl[..., 1:]
    crosses = (first <= nats) != (second <= nats)
    share = (nats - first) / np.where(crosses, second - first, np.nan)
    low, high = value[..., :-1], value[..., 1:]
    crossing = low + share * (high - low)
    highest = np.fmax.reduce(np.concatenate([best, crossing], axis=-1), axis=-1)
    return reward.isel(step=0, drop=True).copy(data=np.where(_whole(reward), highest, np.nan))


def _over_steps(curves: xarray.DataArray) -> np.ndarray:
    """Numbers `[..., step]`."""
    return np.moveaxis(curves.values, curves.get_axis_num("step"), -1)


def _whole(curves: xarray.DataArray) -> np.ndarray:
    """Which runs have a number at every step, `[...]`."""
    whole: np.ndarray = ~np.isnan(_over_steps(curves)).any(axis=-1)
    return whole


FINAL_REWARD = Measure(
    "final_reward", _final("expected_reward"), "expected reward, mean of the last tenth of the run", REWARD
)
MEAN_REWARD = Measure(
    "mean_reward", _mean_reward, "expected reward, mean over gradient steps: higher is faster", REWARD
)
EARLY_REWARD = Measure(
    "early_reward", _early_reward, f"expected reward, mean over the first {EARLY_STEPS} gradient steps", REWARD
)
PEAK_REWARD = Measure("peak_reward", _peak_reward, "highest expected reward of the run", REWARD)
FINAL_KL = Measure("final_kl", _final("kl_to_reference"), "KL(policy ‖ reference) at the end", NATS)
PEAK_BEHAVIOR_KL = Measure("peak_behavior_kl", _peak_behavior_kl, "highest KL(policy ‖ behavior)", NATS)
REWARD_WITHIN_BUDGET = Measure(
    "reward_within_budget",
    lambda curves: reward_within(curves, KL_BUDGET),
    f"best expected reward within {KL_BUDGET:g} nats of the reference",
    REWARD,
)
CHOSEN = Measure("chosen", _final("chosen_implicit_reward"), "implicit reward of preferred responses at the end", NATS)
REJECTED = Measure(
    "rejected", _final("rejected_implicit_reward"), "implicit reward of dispreferred responses at the end", NATS
)

MEASURES = (
    FINAL_REWARD,
    MEAN_REWARD,
    EARLY_REWARD,
    PEAK_REWARD,
    FINAL_KL,
    PEAK_BEHAVIOR_KL,
    REWARD_WITHIN_BUDGET,
    CHOSEN,
    REJECTED,
)
"""What is kept of every rate of the grid."""
