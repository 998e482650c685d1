"""The bandit's measures: what the paper's claims are made of."""

from collections.abc import Callable

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


def _final(name: str) -> Callable[[xarray.Dataset], xarray.DataArray]:
    return lambda curves: final_values(curves[[name]])[name]


def _mean_reward(curves: xarray.Dataset) -> xarray.DataArray:
    return mean_over_run(curves["expected_reward"])


def _peak_behavior_kl(curves: xarray.Dataset) -> xarray.DataArray:
    return curves["kl_to_behavior"].max("step", skipna=False)


def _reward_within_budget(curves: xarray.Dataset) -> xarray.DataArray:
    reward, kl = curves["expected_reward"], curves["kl_to_reference"]
    best = reward.where(kl <= KL_BUDGET).max("step")
    # Where a curve crosses the budget between two measurements, the straight line between them.
    before, after = {"step": slice(None, -1)}, {"step": slice(1, None)}
    first, second = kl.isel(before).drop_vars("step"), kl.isel(after).drop_vars("step")
    crosses = (first <= KL_BUDGET) != (second <= KL_BUDGET)
    share = (KL_BUDGET - first) / (second - first).where(crosses)
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
FINAL_KL = Measure("final_kl", _final("kl_to_reference"), "KL(policy ‖ reference) at the end", NATS)
PEAK_BEHAVIOR_KL = Measure("peak_behavior_kl", _peak_behavior_kl, "highest KL(policy ‖ behavior)", NATS)
REWARD_WITHIN_BUDGET = Measure(
    "reward_within_budget",
    _reward_within_budget,
    f"best expected reward within {KL_BUDGET:g} nats of the reference",
    REWARD,
)
CHOSEN = Measure("chosen", _final("chosen_implicit_reward"), "implicit reward of preferred responses at the end", NATS)
REJECTED = Measure(
    "rejected", _final("rejected_implicit_reward"), "implicit reward of dispreferred responses at the end", NATS
)

MEASURES = (FINAL_REWARD, MEAN_REWARD, FINAL_KL, PEAK_BEHAVIOR_KL, REWARD_WITHIN_BUDGET, CHOSEN, REJECTED)
"""What is kept of every rate of the grid."""
