"""Training on comparisons that hold half of the responses: DPO on them, PPO on a reward that is learnt from them.

A response is one of a hundred tokens, so that "no pair contains it" is exact: the data are the reference's on the first
fifty. At label temperature T, DPO's β and PPO's β of eq. 2 have the same optimum where the second is T times the first.
"""

import dataclasses
from typing import Literal

import numpy as np
import xarray

from modeseek.bandit.objectives.batch import HyperParameters
from modeseek.bandit.simulator.config import AlgorithmConfig, EvaluationConfig, PolicyConfig, RewardModelConfig
from modeseek.bandit.simulator.conventions import Conventions
from modeseek.bandit.simulator.experiment import Experiment
from modeseek.bandit.simulator.sweep import run_sweep
from modeseek.bandit.studies.protocol import Protocol

TOKENS = 100
COVERED = 50
"""Tokens below it are in the data."""


@dataclasses.dataclass(frozen=True)
class Training:
    """A run.

    Attributes:
        method: `dpo`, offline, or `ppo`, on-policy and on a learnt reward.
        reward_model: of PPO: GPT-Nano or a table.
        kl: PPO's β of eq. 2, reward a nat, and T times DPO's.
        standardization: of PPO's rewards: `batch`, or `none`, for advantages as they are.
        samples: PPO's responses a collection.
        peak: the token that earns most; the reward is a bump of width ten around it.
        label_temperature: T, of the comparisons.
        comparisons: as many as the data hold, of two responses each.
        steps: of the policy, 200 responses (100 pairs) each where there are as many.
        learning_rate: of the policy.
        fit_rate: of the reward model; None for .003, at which Adam moves no entry of a table by much more
            than .75.
    """

    method: Literal["dpo", "ppo"]
    reward_model: Literal["none", "gpt", "tabular"] = "none"
    kl: float = 0.1
    standardization: Literal["batch", "none"] = "batch"
    samples: int = 200
    peak: int = 40
    label_temperature: float = 0.25
    comparisons: int = 1000
    steps: int = 300
    learning_rate: float = 1e-3
    fit_rate: float | None = None


def experiment(setup: Training, first_seed: int, seeds: int) -> Experiment:
    """What is run."""
    offline = setup.method == "dpo"
    samples = 2 * setup.comparisons if offline else setup.samples
    minibatch = min(200, samples)
    passes = 1 if offline else 2
    fit_rate = 3e-3 if setup.fit_rate is None else setup.fit_rate
    learnt = RewardModelConfig(setup.reward_model, setup.comparisons, steps=500, learning_rate=fit_rate)
    return Experiment(
        methods=(setup.method,),
        rewards=(f"bump:{setup.peak}:10",),
        behaviors=(f"between:0:{COVERED - 1}",),
        seeds=seeds,
        first_seed=first_seed,
        vocab_size=TOKENS,
        response_length=1,
        policy=PolicyConfig(layers=1),
        conventions=Conventions(standardization=setup.standardization),
        algorithm=AlgorithmConfig(
            samples_per_collection=samples,
            responses_per_prompt=2,
            minibatch_size=minibatch,
            inner_steps=passes,
            collections=setup.steps // (passes * (samples // minibatch)),
        ),
        evaluation=EvaluationConfig(interval=0, behavior_kl=False, snapshots=True),
        reward_model=RewardModelConfig() if offline else learnt,
        hyper=HyperParameters(
            learning_rate=setup.learning_rate,
            label_temperature=setup.label_temperature,
            **({"beta": setup.kl / setup.label_temperature} if offline else {"kl_coefficient": setup.kl}),
        ),
    )


def train(setup: Training, protocol: Protocol) -> xarray.Dataset:
    """Runs of every seed.

    Returns:
        `[seed, step]`: `unseen`, the policy's mass on responses that no pair contains, mean over all prompts; expected
        `gold` reward; `kl` to the reference, nats.
    """
    chosen = experiment(setup, protocol.first_judged_seed, protocol.fresh_seeds)
    runs = run_sweep(chosen, progress=False).dataset.isel(algorithm=0, reward=0, drop=True)
    tokens = runs["token_distribution"].isel(position=0).transpose("seed", "snapshot", "token").values
    curves = {
        "unseen": tokens[..., COVERED:].sum(axis=-1),
        "gold": runs["expected_reward"].transpose("seed", "step").values,
        "kl": runs["kl_to_reference"].transpose("seed", "step").values,
    }
    return xarray.Dataset(
        {name: (("seed", "step"), values.astype(np.float32)) for name, values in curves.items()},
        {"seed": runs["seed"].values, "step": runs["step"].values},
    )
