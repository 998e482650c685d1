"""Training against what few comparisons say: PPO on a reward model, DPO and IPO on the comparisons themselves.

The policy is tabular, three tokens of twenty, so that its gold reward and its KL at every evaluation are enumerated and
what scatters is training alone. The reference has nearly all of its mass at one end of the vocabulary and the peak of
the reward lies away from it: comparisons of its own responses hold the best tokens a few times, and some not at all.
"""

import dataclasses
from typing import Literal

import numpy as np
import xarray

from modeseek.bandit.objectives.batch import HyperParameters
from modeseek.bandit.simulator.config import (
    AlgorithmConfig,
    EvaluationConfig,
    PolicyConfig,
    PretrainingConfig,
    RewardModelConfig,
)
from modeseek.bandit.simulator.experiment import Experiment
from modeseek.bandit.simulator.sweep import run_sweep
from modeseek.bandit.studies.protocol import Protocol

TOKENS, LENGTH = 20, 3
KEPT_EVERY = 8
"""Gradient steps between two evaluations that are kept: fifty points draw the curve of 400 steps."""
PROXIES = {"tabular": RewardModelConfig("tabular"), "gpt": RewardModelConfig("gpt", steps=100, learning_rate=1e-3)}
"""A proxy's kind → its fit. The network's is of three that were tried the one with the least loss on comparisons that
it had not seen, over five fits; no policy was trained for that."""


@dataclasses.dataclass(frozen=True)
class Optimized:
    """A run.

    Attributes:
        method: `ppo`, on-policy and on a learnt reward; `dpo` or `ipo`, offline.
        comparisons: of two responses of the reference, that a table of rewards is fitted to, or the policy itself.
        strength: of the KL: PPO's β of eq. 2, reward a nat; DPO's β or IPO's τ, a nat.
        peak: the token that earns most.
        width: of the reward's bump around it, tokens.
        label_temperature: of the comparisons, reward.
        steps: gradient steps, 100 responses each.
        learning_rate: of Adam on the policy's logits.
        proxy: what PPO's reward model is, of `PROXIES`; None for the table.
        seeds: the first of a protocol's that are run; None for all of them.
    """

    method: Literal["ppo", "dpo", "ipo"]
    comparisons: int = 50
    strength: float = 0.0
    peak: int = 12
    width: int = 4
    label_temperature: float = 0.5
    steps: int = 400
    learning_rate: float = 0.03
    proxy: Literal["tabular", "gpt"] | None = None
    seeds: int | None = None


def experiment(setup: Optimized, first_seed: int, seeds: int) -> Experiment:
    """What is run."""
    offline = setup.method != "ppo"
    samples, passes = (2 * setup.comparisons, 1) if offline else (100, 2)
    strength = {"ppo": "kl_coefficient", "dpo": "beta", "ipo": "tau"}[setup.method]
    learnt = dataclasses.replace(PROXIES[setup.proxy or "tabular"], comparisons=setup.comparisons)
    return Experiment(
        methods=(setup.method,),
        rewards=(f"bump:{setup.peak}:{setup.width}",),
        seeds=seeds,
        first_seed=first_seed,
        vocab_size=TOKENS,
        response_length=LENGTH,
        policy=PolicyConfig("tabular"),  # its sizes are those of a network that is learnt as the reward
        pretraining=PretrainingConfig(steps=2000, tolerance=1e-4),
        algorithm=AlgorithmConfig(
            samples_per_collection=samples,
            responses_per_prompt=2,
            minibatch_size=100,
            inner_steps=passes,
            collections=setup.steps // (passes * samples // 100),
        ),
        evaluation=EvaluationConfig(prompts=TOKENS, interval=passes, behavior_kl=False),
        reward_model=RewardModelConfig() if offline else learnt,
        hyper=HyperParameters(
            learning_rate=setup.learning_rate,
            label_temperature=setup.label_temperature,
            **{strength: setup.strength},
        ),
    )


def train(setup: Optimized, protocol: Protocol) -> xarray.Dataset:
    """Runs of every seed, or of the first that the set-up names.

    Returns:
        `[seed, step]`: expected `gold` reward; `kl` to the reference, nats; expected `proxy` reward, of PPO.
    """
    chosen = experiment(setup, protocol.first_judged_seed, setup.seeds or protocol.fresh_seeds)
    runs = run_sweep(chosen, progress=False).dataset.isel(algorithm=0, reward=0, drop=True)
    runs = runs.isel(step=runs["step"].values % KEPT_EVERY == 0)
    names = {"gold": "expected_reward", "kl": "kl_to_reference"}
    if setup.method == "ppo":
        names["proxy"] = "proxy_reward"
    return xarray.Dataset(
        {k: (("seed", "step"), runs[v].transpose("seed", "step").values.astype(np.float32)) for k, v in names.items()},
        {"seed": runs["seed"].values, "step": runs["step"].values},
    )
