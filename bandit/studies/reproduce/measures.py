"""One number a run, from its curves: what claims are made of."""

from collections.abc import Callable

import numpy as np
import xarray

from modeseek.bandit.simulator.summary import final_values, mean_over_run

CURVES = (
    "expected_reward",
    "kl_to_reference",
    "kl_to_behavior",
    "chosen_implicit_reward",
    "rejected_implicit_reward",
)
"""What is kept of a run."""

KL_BUDGET = 10.0
"""Nats a response: of the reward-KL trade-off."""


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


MEASURES: dict[str, Callable[[xarray.Dataset], xarray.DataArray]] = {
    "final_reward": _final("expected_reward"),
    "mean_reward": _mean_reward,
    "final_kl": _final("kl_to_reference"),
    "peak_behavior_kl": _peak_behavior_kl,
    "reward_within_budget": _reward_within_budget,
    "chosen": _final("chosen_implicit_reward"),
    "rejected": _final("rejected_implicit_reward"),
}
"""Name → the number. A run that diverged has NaN, and no number."""

MEANING = {
    "final_reward": "expected reward, mean of the last tenth of the run",
    "mean_reward": "expected reward, mean over gradient steps: higher is faster",
    "final_kl": "KL(policy ‖ reference) at the end, nats a response",
    "peak_behavior_kl": "highest KL(policy ‖ behavior), nats a response",
    "reward_within_budget": f"best expected reward within {KL_BUDGET:g} nats of the reference",
    "chosen": "implicit reward of preferred responses at the end, nats",
    "rejected": "implicit reward of dispreferred responses at the end, nats",
}

UNIT_OF = {name: "nats" if "nats" in text and "reward," not in text else "reward" for name, text in MEANING.items()}
UNIT_OF["reward_within_budget"] = "reward"
UNIT_OF["chosen"] = UNIT_OF["rejected"] = "nats"


def measure(curves: xarray.Dataset, name: str) -> xarray.DataArray:
    """A measure of every run of a dataset with dimension `step`."""
    return MEASURES[name](curves)


def all_measures(curves: xarray.Dataset) -> xarray.Dataset:
    """Every measure, in float64: they are subtracted from one another."""
    return xarray.Dataset({name: function(curves).astype(np.float64) for name, function in MEASURES.items()})
