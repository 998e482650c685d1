"""The on-policy explorer's grid: a budget of samples, spent in few large collections or many small ones."""

from typing import Any, NamedTuple

from modeseek.bandit.objectives.batch import HyperParameters
from modeseek.bandit.simulator.config import AlgorithmConfig, EvaluationConfig, PolicyConfig
from modeseek.bandit.simulator.experiment import Experiment

BUDGET = 1000
"""Samples that a run may draw, prompt-response pairs."""
SIZES = (100, 200, 500, 1000)
"""B, samples a collection: the policy is refreshed BUDGET / B times."""
PASSES = (1, 5, 20)
"""T, passes over a collection: a run takes T · BUDGET / MINIBATCH gradient steps, whatever B is."""
MINIBATCH = 100
INTERVALS = {1: 1, 5: 1, 20: 4}
"""T → gradient steps between evaluations: several in the smallest collection, and at most 50 in a run."""
METHODS = ("best_of_n", "rwr", "reinforce", "ppo", "on_policy_dpo")


class Preset(NamedTuple):
    """A recorded grid.

    Attributes:
        center: of the reward's peak.
        method: as `variant` reads it.
        shows: what there is to see.
    """

    center: float
    method: str
    shows: str


PRESETS = {
    "R1-best-of-n": Preset(70, "best_of_n", "Best-of-N, a peak far from the reference (fig. 4)"),
    "R1-ppo": Preset(70, "ppo", "PPO with its clip, a peak far from the reference"),
    "R2-best-of-n": Preset(20, "best_of_n", "Best-of-N, a peak where the reference is (fig. 4)"),
    "R2-ppo": Preset(20, "ppo", "PPO with its clip, a peak where the reference is"),
}


def experiment(values: dict[str, Any], samples: int) -> Experiment:
    """The training of an explorer's values at one size of collection."""
    passes = int(values["inner_steps"])
    return Experiment(
        methods=METHODS,
        rewards=(f"bump:{values['center']!r}:10.0",),
        seeds=values["seeds"],
        first_seed=values["first_seed"],
        policy=PolicyConfig(kind="gpt" if values["policy"] == "gpt" else "tabular"),
        algorithm=AlgorithmConfig(
            samples_per_collection=samples,
            minibatch_size=MINIBATCH,
            inner_steps=passes,
            collections=BUDGET // samples,
        ),
        evaluation=EvaluationConfig(interval=INTERVALS[passes]),
        hyper=HyperParameters(learning_rate=float(values["learning_rate"]), clip_epsilon=float(values["clip_epsilon"])),
    )
