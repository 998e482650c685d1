"""The recorded runs of notebook 08: `python -m modeseek.bandit.explore.phase.bake FOLDER`, ten minutes on two cores.

Six methods and six places of the reward's peak; FOLDER keeps the whole sweep, and an interrupted one goes on there.
Kept of it: curves, and token distributions at the end averaged over positions and seeds.
"""

import sys
from pathlib import Path

from modeseek.bandit.explore.toolkit.stored import DATA, curves_and_ends, store
from modeseek.bandit.simulator.config import AlgorithmConfig, EvaluationConfig
from modeseek.bandit.simulator.devices import use_compilation_cache, use_host_devices
from modeseek.bandit.simulator.experiment import Experiment
from modeseek.bandit.simulator.results import load
from modeseek.bandit.simulator.sweep import run_sweep

COMMAND = "python -m modeseek.bandit.explore.phase.bake FOLDER"
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


def main(folder: Path) -> int:
    """Run what is missing, and write what is kept; 130 if stopped."""
    use_host_devices()
    use_compilation_cache()
    path = folder / "phase.nc"
    if not path.exists() and not run_sweep(experiment(), path).complete:
        return 130
    store(curves_and_ends(load(path), ("position", "seed"), COMMAND), DATA / "phase.nc")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
