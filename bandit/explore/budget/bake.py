"""The recorded plans of `BudgetExplorer`: `python -m modeseek.bandit.explore.budget.bake FOLDER`, one core.

A sweep for each number of collections and of passes, since both are shapes, and for each of `BLOCKS`; FOLDER keeps
them, and an interrupted one goes on there. The first seeds are seen, and choose the best plan; the others score all
plans. Of the first a plan's curves are kept, of the others where they end.
"""

import json
import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np
import xarray as xr

from modeseek.bandit.explore.budget.outcomes import AXES
from modeseek.bandit.explore.budget.plan import COLLECTIONS, NAMES, PASSES, RATES, REWARDS, Plan, experiment
from modeseek.bandit.explore.toolkit.stored import DATA, store
from modeseek.bandit.simulator.devices import use_compilation_cache, use_host_devices
from modeseek.bandit.simulator.experiment import Experiment
from modeseek.bandit.simulator.results import load, versions
from modeseek.bandit.simulator.sweep import run_sweep

COMMAND = "python -m modeseek.bandit.explore.budget.bake FOLDER"
SEEN = 3
"""Seeds that are seen, and choose the best known plan: 0 to 2."""
FRESH = 5
"""Seeds that score: the next ones."""
BLOCKS = (RATES[1:], RATES[:1])
"""Rates of a sweep: the smallest was asked for when a plan with the next one had won."""
PRECISION, NONE = 0.004, np.uint8(255)
"""Curves between their ends are for the eye: bytes in these units, and where there is no number this one."""


def sweep_of(
    collections: int,
    inner_steps: int,
    rates: tuple[float, ...] = RATES,
    rewards: Sequence[str] = tuple(REWARDS),
    seeds: int = SEEN + FRESH,
) -> Experiment:
    """All plans of so many collections and passes."""
    return experiment(Plan(NAMES[0], collections, inner_steps, rates[0]), rewards, seeds, rates=rates)


def run(folder: Path, experiments: Sequence[Experiment]) -> list[xr.Dataset] | None:
    """The sweeps, each from its file, or begun, or gone on with; None if one was stopped."""
    results = []
    for each in experiments:
        algorithm = each.algorithm
        rates = "-".join(f"{rate:g}" for rate in each.learning_rates)
        path = folder / f"collections-{algorithm.collections}-passes-{algorithm.inner_steps}-rates-{rates}.nc"
        if not path.exists() and not run_sweep(each, path).complete:
            return None
        results.append(load(path))
    return results


def gathered(results: Sequence[xr.Dataset], seen: int = SEEN) -> xr.Dataset:
    """What is kept of the sweeps, over the grid's dimensions."""
    parts = []
    longest = max(each.sizes["step"] for each in results)
    for data in results:
        algorithm = Experiment.from_json(data.attrs["configuration"]).algorithm
        reward = data["expected_reward"].transpose("algorithm", "learning_rate", "reward", "seed", "step")
        kept = reward.assign_coords(algorithm=list(NAMES), reward=_names(data))
        first = kept.isel(seed=slice(seen)).rename(seed="seen_seed")
        curves = first.assign_coords(step=range(data.sizes["step"])).rename(step="collection")
        part = {
            "seen": first.isel(step=-1, drop=True).astype("float32"),
            "ends": kept.isel(seed=slice(seen, None), step=-1, drop=True).astype("float32"),
            "curves": curves.astype("float32").reindex(collection=range(longest)),
        }
        place = {"collections": [algorithm.collections], "inner_steps": [algorithm.inner_steps]}
        parts.append(xr.Dataset(part).expand_dims(place))
    whole = xr.combine_by_coords(parts, combine_attrs="drop")
    assert isinstance(whole, xr.Dataset)
    token_rewards = results[0]["token_rewards"].astype(np.float64)
    reference = (token_rewards * results[0]["reference_probs"].astype(np.float64)).sum("token")
    whole["reference"] = ("reward", reference.values)
    order = (*AXES, "reward", "seed", "seen_seed", "collection")
    return whole.drop_attrs().transpose(*order, missing_dims="ignore")


def packed(data: xr.Dataset) -> xr.Dataset:
    """With its curves as bytes; who reads the file has numbers again."""
    curves = data["curves"]
    known = np.isfinite(curves.values)
    steps = np.round(np.where(known, curves.values, 0) / PRECISION).astype(np.uint8)
    attributes = {"scale_factor": PRECISION, "_FillValue": NONE}  # as netCDF has it
    return data.assign(curves=(curves.dims, np.where(known, steps, NONE), attributes))


def _names(data: xr.Dataset) -> list[str]:
    texts = {text: name for name, (text, _) in REWARDS.items()}
    return [texts[text] for text in Experiment.from_json(data.attrs["configuration"]).rewards]


def main(folder: Path) -> int:
    """Run what is missing, and write what is kept; 130 if stopped."""
    use_host_devices()
    use_compilation_cache()
    results = run(folder, [sweep_of(*each) for each in product(COLLECTIONS, PASSES, BLOCKS)])
    if results is None:
        return 130
    attributes = {
        "configuration": sweep_of(COLLECTIONS[0], PASSES[0]).to_json(),
        "versions": json.dumps(versions()),
        "command": COMMAND,
    }
    store(packed(gathered(results)).assign_attrs(attributes), DATA / "budget.nc")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
