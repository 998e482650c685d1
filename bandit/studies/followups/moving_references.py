"""A reference that follows the policy: PPO's as an exponential average, DPO's as a copy at each round of fresh data.

The problem is that of `partial_coverage`. All arms of DPO have as many comparisons and gradient steps: in one data set,
or in rounds that the policy itself samples. The one data set holds the lower half of the responses, and the peak is in
the other half.
"""

import dataclasses
from typing import Literal

import numpy as np
import xarray

from modeseek.bandit.simulator.config import EvaluationConfig
from modeseek.bandit.simulator.experiment import Experiment
from modeseek.bandit.simulator.summary import choose_learning_rate
from modeseek.bandit.simulator.sweep import run_sweep
from modeseek.bandit.studies.followups import partial_coverage
from modeseek.bandit.studies.protocol import Protocol


@dataclasses.dataclass(frozen=True)
class Moving:
    """An arm.

    Attributes:
        arm: `ppo`, on a learnt reward; `one-shot`, offline DPO on data of the covered half; `own`, the same on the
            reference's own samples; `rounds`, DPO on the policy's own samples, anew at each round.
        every: collections between two moves of the reference; 0 for a fixed one.
        decay: its own share in a move.
        peak: the token that earns most.
        kl: PPO's β of eq. 2, reward a nat, and the label temperature times DPO's.
        rounds: of `rounds`.
        rates: learning rates, of which the one with the highest gold reward at the end is chosen.
        tuning_seeds: 0, 1, …, for that choice.
    """

    arm: Literal["ppo", "one-shot", "own", "rounds"]
    every: int = 0
    decay: float = 0.0
    peak: int = 60
    kl: float = 0.5
    rounds: int = 5
    rates: tuple[float, ...] = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
    tuning_seeds: int = 5


def experiment(setup: Moving, rates: tuple[float, ...], first_seed: int, seeds: int) -> Experiment:
    """What is run at these rates."""
    method: Literal["ppo", "dpo"] = "ppo" if setup.arm == "ppo" else "dpo"
    training = partial_coverage.Training(
        method, "gpt" if method == "ppo" else "none", kl=setup.kl, peak=setup.peak, learning_rate=1e-3
    )
    base = partial_coverage.experiment(training, first_seed, seeds)
    algorithm, behaviors, methods = base.algorithm, base.behaviors, base.methods
    if setup.arm in ("own", "rounds"):
        behaviors = ("reference",)
    if setup.arm == "rounds":
        methods = ("on_policy_dpo",)
        samples = algorithm.samples_per_collection // setup.rounds
        passes = training.steps * algorithm.minibatch_size // (setup.rounds * samples)
        algorithm = dataclasses.replace(
            algorithm, samples_per_collection=samples, inner_steps=passes, collections=setup.rounds
        )
    return dataclasses.replace(
        base,
        methods=methods,
        behaviors=behaviors,
        algorithm=algorithm,
        # Every arm's reference is the policy's start, so that what differs is whether it stays there.
        conventions=dataclasses.replace(base.conventions, reference_model="initial_policy"),
        evaluation=EvaluationConfig(interval=0 if method == "ppo" else 10, behavior_kl=False),
        learning_rates=rates,
        reference_every=setup.every,
        reference_decay=setup.decay,
    )


def train(setup: Moving, protocol: Protocol) -> xarray.Dataset:
    """Runs of every seed at the rate that is chosen on others.

    Returns:
        `[seed, step]`: expected `gold` reward; `kl` to the policy before training, nats. `rate`, as chosen.
    """
    tuning = run_sweep(experiment(setup, setup.rates, 0, setup.tuning_seeds), progress=False).dataset
    rate = float(choose_learning_rate(tuning.isel(algorithm=0, reward=0, drop=True))["learning_rate"])
    fresh = experiment(setup, (rate,), protocol.first_judged_seed, protocol.fresh_seeds)
    runs = run_sweep(fresh, progress=False).dataset.isel(algorithm=0, reward=0, learning_rate=0, drop=True)
    curves = {"gold": runs["expected_reward"], "kl": runs["kl_to_reference"]}
    return xarray.Dataset(
        {name: (("seed", "step"), c.transpose("seed", "step").values.astype(np.float32)) for name, c in curves.items()}
        | {"rate": ((), np.float32(rate))},
        {"seed": runs["seed"].values, "step": runs["step"].values},
    )


def gold_at(curves: xarray.Dataset, budget: float) -> xarray.DataArray:
    """Gold reward where a run's KL first reaches so many nats, on the straight line between two evaluations.

    A run that does not get there is taken at its end, and one that diverged is NaN.

    Args:
        curves: `gold` and `kl`, `[seed, step]`.
        budget: nats.
    """

    def of_run(gold: np.ndarray, kl: np.ndarray) -> float:
        if not np.isfinite(kl).all() or not (kl >= budget).any():
            return float(gold[-1])
        after = int(np.argmax(kl >= budget))
        before = max(after - 1, 0)
        return float(np.interp(budget, kl[[before, after]], gold[[before, after]]))

    ordered = curves[["gold", "kl"]].transpose("seed", "step")
    pairs = zip(ordered["gold"].values.astype(float), ordered["kl"].values.astype(float), strict=True)
    return xarray.DataArray([of_run(*pair) for pair in pairs], {"seed": curves["seed"]}, ("seed",))
