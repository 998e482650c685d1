"""The on-policy explorer's grid: a budget of samples, spent in few large collections or many small ones."""

from dataclasses import dataclass

from modeseek.bandit.explore.toolkit.values import (
    Preset,
    SteppedValues,
    choice,
    compiled_with,
    hyper_parameter,
    method_menu,
    number,
)
from modeseek.bandit.objectives.batch import HyperParameters
from modeseek.bandit.simulator.config import AlgorithmConfig, EvaluationConfig, PolicyConfig
from modeseek.bandit.simulator.experiment import Experiment

BUDGET = 1000
"""Samples that a run may draw, prompt-response pairs."""
SIZES = (100, 200, 500, 1000)
"""B, samples per collection: the policy is refreshed BUDGET / B times."""
PASSES = (1, 5, 20)
"""T, passes over a collection: a run takes T · BUDGET / MINIBATCH gradient steps, whatever B is."""
MINIBATCH = 100
INTERVALS = {1: 1, 5: 1, 20: 4}
"""T → gradient steps between evaluations: several in the smallest collection, and at most 50 in a run."""
METHODS = ("best_of_n", "rwr", "reinforce", "ppo", "on_policy_dpo")


@dataclass(frozen=True)
class OnPolicyValues(SteppedValues):
    """What the explorer is set to; `samples` and `inner_steps` are chosen from menus."""

    preset: str = "R1-best-of-n"
    method: str = method_menu(METHODS, "best_of_n")
    policy: str = choice(
        "policy",
        {"gpt": "GPT-Nano", "table": "table of logits"},
        "gpt",
        help="What is trained: GPT-Nano, or a table of logits.",
    )
    center: int | float = number("reward peak", 0, 99, 70, help="The token with the highest reward.")
    samples: str = choice(
        "B, samples",
        {str(b): f"{b}: {BUDGET // b} collections" for b in SIZES},
        "100",
        view=True,
        help="How many samples a collection has before the policy is refreshed; 1 000 in all.",
    )
    inner_steps: str = choice(
        "T, passes",
        {str(t): f"{t}: {t * 10} gradient steps" for t in PASSES},
        "20",
        help="How many passes of gradient steps each collection is used for.",
    )
    learning_rate: float = hyper_parameter("learning_rate", help="Adam's step size.")
    clip_epsilon: float = hyper_parameter(
        "clip_epsilon", help="PPO clips the ratio policy / behavior where it leaves 1 ± ε."
    )
    seeds: int = number(
        "seeds", 1, 5, 5, whole=True, help="How many runs, each with a seed of its own; bands are their standard error."
    )
    first_seed: int = number("first seed", 0, 9999, 0, whole=True, help="The first run's seed; the others follow it.")
    step: int = number(
        "evaluation", 0, 50, 50, whole=True, view=True, help="At which evaluation the policy is looked at."
    )


def _preset(center: int | float, method: str, shows: str) -> Preset[OnPolicyValues]:
    """A recorded grid: place of the reward's peak, and a method as `variant` reads it."""
    return Preset(shows, OnPolicyValues(center=center, method=method))


PRESETS = {
    "R1-best-of-n": _preset(70, "best_of_n", "Best-of-N, a peak far from the reference (fig. 4)"),
    "R1-ppo": _preset(70, "ppo", "PPO with its clip, a peak far from the reference"),
    "R2-best-of-n": _preset(20, "best_of_n", "Best-of-N, a peak where the reference is (fig. 4)"),
    "R2-ppo": _preset(20, "ppo", "PPO with its clip, a peak where the reference is"),
}


def experiment(values: OnPolicyValues, samples: int) -> Experiment:
    """The training of an explorer's values at one size of collection."""
    passes = int(values.inner_steps)
    return Experiment(
        methods=compiled_with(values.method, METHODS),
        rewards=(f"bump:{values.center!r}:10.0",),
        seeds=values.seeds,
        first_seed=values.first_seed,
        policy=PolicyConfig(kind="gpt" if values.policy == "gpt" else "tabular"),
        algorithm=AlgorithmConfig(
            samples_per_collection=samples,
            minibatch_size=MINIBATCH,
            inner_steps=passes,
            collections=BUDGET // samples,
        ),
        evaluation=EvaluationConfig(interval=INTERVALS[passes]),
        hyper=HyperParameters(learning_rate=float(values.learning_rate), clip_epsilon=float(values.clip_epsilon)),
    )
