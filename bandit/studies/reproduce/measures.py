"""The bandit's measures: what the paper's claims are made of."""

from collections.abc import Callable

import numpy as np
import xarray

from modeseek.bandit.simulator.summary import final_values, mean_over_run
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
    return lambda curves: final_values(curves[[name]])[name]


def _mean_reward(curves: xarray.Dataset) -> xarray.DataArray:
    return mean_over_run(curves["expected_reward"])


def _peak_behavior_kl(curves: xarray.Dataset) -> xarray.DataArray:
    return curves["kl_to_behavior"].max("step", skipna=False)


def _early_reward(curves: xarray.Dataset) -> xarray.DataArray:
    reward = curves["expected_reward"]
    return mean_over_run(reward.sel(step=slice(0, EARLY_STEPS))).where(reward.notnull().all("step"))


def _peak_reward(curves: xarray.Dataset) -> xarray.DataArray:
    return curves["expected_reward"].max("step", skipna=False)


def steps_to(reward: xarray.DataArray, threshold: float) -> xarray.DataArray:
    """The first measured gradient step at which a reward is reached; NaN where a run never does (it is censored)."""
    reached = reward >= threshold
    return reward["step"].astype(np.float64).where(reached).min("step")


def reward_within(curves: xarray.Dataset, nats: float) -> xarray.DataArray:
    """The best expected reward of each run at most so many nats from the reference; NaN of a run that diverged."""
    reward, kl = curves["expected_reward"], curves["kl_to_reference"]
    best = reward.where(kl <= nats).max("step")
    # Where a curve crosses the budget between two measurements, the straight line between them.
    before, after = {"step": slice(None, -1)}, {"step": slice(1, None)}
    first, second = kl.isel(before).drop_vars("step"), kl.isel(after).drop_vars("step")
    crosses = (first <= nats) != (second <= nats)
    share = (nats - first) / (second - first).where(crosses)
    low, high = reward.isel(before).drop_vars("step"), reward.isel(after).drop_vars("step")
    crossing = (low + share * (high - low)).max("step")
    highest = xarray.concat([best, crossing], dim="which").max("which")
    return highest.where(reward.notnull().all("step"))


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
