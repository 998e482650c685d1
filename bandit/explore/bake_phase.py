"""The recorded runs of notebook 07: `python -m modeseek.bandit.explore.bake_phase FOLDER`, ten minutes on two cores.

Six methods and six places of the reward's peak; FOLDER keeps the whole sweep, and an interrupted one goes on there.
Kept of it: curves, and token distributions at the end averaged over positions and seeds.
"""

import sys
from pathlib import Path

import xarray as xr

from modeseek.bandit.simulator.config import AlgorithmConfig, EvaluationConfig
from modeseek.bandit.simulator.devices import use_compilation_cache, use_host_devices
from modeseek.bandit.simulator.experiment import Experiment
from modeseek.bandit.simulator.results import load
from modeseek.bandit.simulator.sweep import run_sweep
from modeseek.files import replacing

BAKED = Path(__file__).with_name("data") / "phase.nc"
COMMAND = "python -m modeseek.bandit.explore.bake_phase FOLDER"
KEPT = ("expected_reward", "kl_to_reference", "reference_probs", "token_rewards")
CENTERS = (20, 30, 40, 50, 60, 70)
"""Tokens at which the reward has its peak; 20 is R2's and 70 is R1's."""
LEARNING_RATES = {
    "best_of_n": 1e-3,
    "rwr": 1e-3,
    "ppo": 1e-3,
    "ipo": 3e-3,
    "on_policy_ipo": 3e-3,
    "on_policy_dpo": 3e-3,
}
"""Method → learning rate: `modeseek demo`'s, and DPO with IPO's."""


def experiment(seeds: int = 3, collections: int = 20) -> Experiment:
    """What is run: the paper's conventions, 10 gradient steps a collection, measured after each of them."""
    return Experiment(
        methods=tuple(LEARNING_RATES),
        method_learning_rates=tuple(LEARNING_RATES.values()),
        rewards=tuple(f"bump:{center}:10" for center in CENTERS),
        seeds=seeds,
        algorithm=AlgorithmConfig(collections=collections),
        evaluation=EvaluationConfig(interval=0),
    )


def bake(results: xr.Dataset) -> xr.Dataset:
    """The part of the results that the explorer shows."""
    tokens = results["token_distribution"].isel(snapshot=-1).mean(("position", "seed"))
    small = results[list(KEPT)].assign(final_tokens=tokens).drop_vars("snapshot").astype("float32", keep_attrs=True)
    return small.assign_attrs(
        configuration=results.attrs["configuration"],
        versions=results.attrs["versions"],
        machine=results.attrs["machine"],
        seconds=results.attrs["seconds"],
        command=COMMAND,
    )


def main(folder: Path, to: Path = BAKED) -> int:
    """Run what is missing, and write the baked file; 130 if stopped."""
    use_host_devices()
    use_compilation_cache()
    path = folder / "phase.nc"
    if not path.exists() and not run_sweep(experiment(), path).complete:
        return 130
    small = bake(load(path))
    coded = {name: {"zlib": True, "complevel": 9} for name in small.data_vars}
    with replacing(to) as temporary:
        small.to_netcdf(temporary, engine="h5netcdf", encoding=coded)
    print(f"{to.name}: {to.stat().st_size / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
