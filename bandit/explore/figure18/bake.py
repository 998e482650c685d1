"""The recorded runs behind figure 18 of notebook 04: `python -m modeseek.bandit.explore.figure18.bake FOLDER`.

Offline IPO on 5, 20 and 100 prompts; a policy that can tell prompts apart, and one that cannot; all pairs of a prompt's
ten responses, or the best against the worst. Every gradient step sees the whole data set, so the implicit rewards that
are kept are exact means over all of its pairs. What FOLDER holds already is not run again.
"""

import dataclasses
import itertools
import json
import sys
from pathlib import Path

import numpy as np
import xarray as xr

from modeseek.bandit.explore.toolkit.stored import DATA, store
from modeseek.bandit.objectives.batch import HyperParameters
from modeseek.bandit.objectives.pairs import PairScheme
from modeseek.bandit.simulator.config import AlgorithmConfig, EvaluationConfig, PolicyConfig
from modeseek.bandit.simulator.experiment import Experiment
from modeseek.bandit.simulator.results import experiment_of, load

PROMPTS = (5, 20, 100)
POLICIES = {
    "gpt": (PolicyConfig(), 1e-3),
    "table": (PolicyConfig(kind="tabular"), 3e-2),
}
"""Policy and learning rate: GPT-Nano (94 thousand parameters), and one table of logits a position for all
prompts, which at the network's rate would hardly move in 100 steps."""
PAIRS: tuple[PairScheme, ...] = ("best_worst", "all")
SEEDS, STEPS = 3, 100
KEPT = ("chosen_implicit_reward", "rejected_implicit_reward")


def experiment(prompts: int, name: str, pairs: PairScheme) -> Experiment:
    """Offline IPO: 10 responses of the reference to each prompt, 100 steps on the whole set."""
    (policy, rate), size = POLICIES[name], 10 * prompts
    return Experiment(
        methods=("ipo",),
        rewards=("R1", "R2"),
        seeds=SEEDS,
        policy=policy,
        algorithm=AlgorithmConfig(
            samples_per_collection=size, minibatch_size=size, inner_steps=STEPS, collections=1, pair_scheme=pairs
        ),
        evaluation=EvaluationConfig(prompts=10, interval=2, behavior_kl=False),
        hyper=HyperParameters(learning_rate=rate),
    )


def bake(folder: Path) -> xr.Dataset:
    """Run what is not there yet, and put what is kept side by side."""
    from modeseek.bandit.simulator.sweep import run_sweep

    tables = []
    for name, prompts, pairs in itertools.product(POLICIES, PROMPTS, PAIRS):
        wanted, path = experiment(prompts, name, pairs), folder / f"{name}-{prompts}-{pairs}.nc"
        found = load(path) if path.exists() else run_sweep(wanted, path).dataset
        if experiment_of(found) != wanted:
            raise ValueError(f"{path} holds another experiment: name a new folder")
        part = found[list(KEPT)].isel(algorithm=0, drop=True).drop_vars("learning_rate", errors="ignore")
        tables.append(part.isel(step=slice(1, None)).expand_dims(policy=[name], prompts=[prompts], pairs=[pairs]))
    whole = xr.combine_by_coords(tables, combine_attrs="drop")
    assert isinstance(whole, xr.Dataset)
    ordered = whole.sel(policy=list(POLICIES), prompts=list(PROMPTS), pairs=list(PAIRS)).astype(
        "float32", keep_attrs=True
    )
    return ordered.assign_attrs(
        configuration=json.dumps(dataclasses.asdict(experiment(PROMPTS[0], "gpt", PAIRS[0]))),
        versions=found.attrs["versions"],
        command="python -m modeseek.bandit.explore.figure18.bake FOLDER",
    )


def main(folder: Path) -> None:
    """Write the recorded runs."""
    from modeseek.bandit.simulator.devices import use_compilation_cache, use_host_devices

    use_host_devices()
    use_compilation_cache()
    small = bake(folder)
    assert all(np.isfinite(small[name].values).all() for name in KEPT)
    store(small, DATA / "figure18.nc")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
