"""Figure 1 of the paper from runs: its sketch has π_ref, π_sup, π_neg, π_1 … π_i and r* and no numbers.

Ten seeds of four methods at one learning rate each, on both rewards: RWR and IPO offline, where RWR raises likelihoods
alone (π_sup) and IPO has a negative gradient (π_neg), and RWR and PPO on the policy's own samples (π_i).
"""

from pathlib import Path

import numpy as np
import xarray

from modeseek.bandit.objectives.registry import variant
from modeseek.bandit.simulator.config import AlgorithmConfig, EvaluationConfig
from modeseek.bandit.simulator.conventions import Conventions
from modeseek.bandit.simulator.experiment import Experiment
from modeseek.bandit.simulator.results import load, save

LEARNING_RATES = {"offline_rwr": 0.03, "ipo": 0.03, "rwr": 0.003, "ppo": 0.003}
"""Method → a rate that its stored cells were tuned to under the paper's conventions, on R1 or on R2."""
COLLECTIONS = 30
SHOWN = (0, 10, 30, 100, 300)
"""Gradient steps whose policies are drawn; ten are a collection."""
STORED = Path(__file__).parent / "stored" / "figure1.nc"
"""What comes with modeseek, under the paper's conventions."""


def experiment(conventions: Conventions, seeds: int = 10) -> Experiment:
    """The runs behind the figure."""
    return Experiment(
        methods=tuple(LEARNING_RATES),
        method_learning_rates=tuple(LEARNING_RATES.values()),
        rewards=("R1", "R2"),
        seeds=seeds,
        conventions=conventions,
        algorithm=AlgorithmConfig(collections=COLLECTIONS),
        evaluation=EvaluationConfig(interval=0, behavior_kl=False, snapshots=True),
    )


def shown(results: xarray.Dataset) -> xarray.Dataset:
    """What the figure needs of a sweep.

    Returns:
        `tokens` `[algorithm, reward, step, token]`, the policies' probabilities of a token, means over positions and
        seeds; `expected_reward` and `kl_to_reference` `[algorithm, reward, seed, step]`; `reference_probs` `[token]`
        and `token_rewards` `[reward, token]`.
    """
    tokens = results["token_distribution"].mean(("position", "seed")).rename(snapshot="step").sel(step=list(SHOWN))
    names = ["expected_reward", "kl_to_reference"]
    return xarray.Dataset(
        {
            "tokens": tokens.astype(np.float32),
            **{name: results[name].sel(step=list(SHOWN)).astype(np.float32) for name in names},
            **{name: results[name].astype(np.float32) for name in ("reference_probs", "token_rewards")},
        },
        attrs=results.attrs,
    ).drop_vars("learning_rate")


def keep(results: xarray.Dataset, path: Path) -> xarray.Dataset:
    """Save what the figure needs, and give it back."""
    save(shown(results), path, small=True)
    return load(path)


def numbers(dataset: xarray.Dataset) -> list[tuple[str, str, float, float]]:
    """For each method and reward: what its policies earn at the last step, and how far they are from the reference.

    Returns:
        rows of method, reward, expected reward and KL(policy ‖ reference) in nats a response, means over seeds.
    """
    rows = []
    for name in map(str, dataset["algorithm"].values):
        for reward in map(str, dataset["reward"].values):
            end = dataset.sel(algorithm=name, reward=reward).isel(step=-1)
            rows.append((name, reward, float(end["expected_reward"].mean()), float(end["kl_to_reference"].mean())))
    return rows


def sentence(dataset: xarray.Dataset) -> str:
    """The picture in words, for those who do not see it."""
    parts = []
    for name, reward, earned, nats in numbers(dataset):
        parts.append(f"{variant(name).title} on {reward} earns {earned:.2f} at {nats:.1f} nats")
    return f"After {SHOWN[-1]} gradient steps, of {dataset.sizes['seed']} seeds: {'; '.join(parts)}."
