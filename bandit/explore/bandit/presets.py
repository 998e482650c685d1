"""The bandit explorer's presets, and the training that any of its settings asks for."""

from dataclasses import dataclass

import numpy as np

from modeseek.bandit.explore.toolkit.values import (
    Preset,
    SteppedValues,
    choice,
    compiled_with,
    heights,
    hyper_parameter,
    method_menu,
    number,
)
from modeseek.bandit.objectives.batch import HyperParameters
from modeseek.bandit.objectives.registry import variant
from modeseek.bandit.simulator.config import AlgorithmConfig, EvaluationConfig, PolicyConfig
from modeseek.bandit.simulator.experiment import Experiment
from modeseek.bandit.simulator.knots import Knots
from modeseek.bandit.simulator.problem import R1, R2, ReferenceRecipe

METHODS = (
    "best_of_n",
    "rwr",
    "pref_ft",
    "best_of_n_negative",
    "reinforce",
    "ppo",
    "dpo",
    "on_policy_dpo",
    "ipo",
    "on_policy_ipo",
)
"""What can be chosen; all of them are compiled together."""

SWEPT = ("learning_rate", "beta", "tau", "temperature", "clip_epsilon")
"""Hyper-parameters that have a slider."""


REWARDS = {"peak": "a peak", "drawn": "your own, drawn"}

PLACES = tuple(str(round(token)) for token in np.linspace(0, 99, 11))
"""Tokens at which a reward is drawn."""

BLANK = (0.0,) * len(PLACES)
"""Nothing drawn yet: what nobody means by drawing it."""

TWO_HILLS = (0.0, 0.0, 0.3, 0.6, 0.3, 0.0, 0.0, 0.5, 1.0, 0.5, 0.0)
"""A low hill where the reference is, and a high one where it is not."""

POLICIES = {"gpt": "GPT-Nano, reads the response so far", "table": "table of logits, one row per position"}


@dataclass(frozen=True)
class BanditValues(SteppedValues):
    """What the explorer is set to; learning rates are the demo's (decision 0004)."""

    preset: str = "R1-ppo"
    method: str = method_menu(METHODS, "ppo")
    policy: str = choice("policy", POLICIES, "gpt", help="What is trained: GPT-Nano, or tables of logits.")
    reward: str = choice("reward", REWARDS, "peak", help="A peak, or a reward of your own that you draw.")
    knots: tuple[float, ...] = heights("draw a reward", PLACES, BLANK, help="Your own reward: drag its heights.")
    center: float = number("reward peak", 0, 99, 70.0, help="The token with the highest reward.")
    width: float = number("reward width", 2, 40, 10.0, help="Over how many tokens the reward falls off.")
    location: float = number(
        "reference x₀",
        -1,
        1,
        -0.7,
        help="Where the reference, a Cauchy distribution, has its centre: -1 is token 0, 1 is token 99.",
    )
    scale: float = number(
        "reference γ",
        0.1,
        2,
        0.4,
        log=True,
        help="How broad the reference is: the half-width of its Cauchy distribution.",
    )
    learning_rate: float = hyper_parameter("learning_rate", help="Adam's step size.")
    beta: float = hyper_parameter(
        "beta", help="Weight of the reference in DPO and its relatives: a larger β stays nearer to it."
    )
    tau: float = hyper_parameter(
        "tau", help="IPO's target margin is 1/(2τ) nats: a smaller τ pulls the two responses further apart."
    )
    temperature: float = hyper_parameter(
        "temperature", help="RWR's temperature: a smaller β trains on the best responses alone."
    )
    clip_epsilon: float = hyper_parameter(
        "clip_epsilon", help="PPO clips the ratio policy / behavior where it leaves 1 ± ε."
    )
    prompts: int = number("prompts", 1, 20, 10, whole=True, help="How many prompts there are.")
    responses: int = number(
        "responses N", 2, 20, 10, whole=True, help="How many responses are sampled for each prompt of a collection."
    )
    inner_steps: int = number(
        "inner steps T", 1, 20, 10, whole=True, help="How many passes of gradient steps each collection is used for."
    )
    collections: int = number("collections", 2, 100, 40, whole=True, help="How often new responses are sampled.")
    seeds: int = number(
        "seeds", 1, 5, 5, whole=True, help="How many runs, each with a seed of its own; bands are their standard error."
    )
    first_seed: int = number("first seed", 0, 9999, 0, whole=True, help="The first run's seed; the others follow it.")
    step: int = number(
        "collection", 0, 100, 40, whole=True, view=True, help="After how many collections the policy is looked at."
    )


def _preset(reward: tuple[float, float], method: str, learning_rate: float, shows: str) -> Preset[BanditValues]:
    """A recorded training: center and width of the reward's peak, and a method as `variant` reads it."""
    center, width = reward
    return Preset(shows, BanditValues(method=method, center=center, width=width, learning_rate=learning_rate))


def _drawn(method: str, learning_rate: float, shows: str) -> Preset[BanditValues]:
    """A recorded training on a drawn reward, of the table: whoever draws another one has it trained in seconds."""
    drawn = BanditValues(method=method, reward="drawn", knots=TWO_HILLS, policy="table", learning_rate=learning_rate)
    return Preset(shows, drawn)


PRESETS = {
    "R1-ppo": _preset(R1, "ppo", 1e-3, "PPO crosses to a peak far from the reference (fig. 19)"),
    "R1-best-of-n": _preset(R1, "best_of_n", 1e-3, "Best-of-N, on-policy, nothing pushed down (fig. 4)"),
    "R1-rwr": _preset(R1, "rwr", 1e-3, "RWR, on-policy, nothing pushed down (figs. 14, 19)"),
    "R1-ipo": _preset(R1, "ipo", 3e-3, "offline IPO, samples of the reference alone (figs. 16, 19)"),
    "R1-on-policy-ipo": _preset(R1, "on_policy_ipo", 3e-3, "on-policy IPO (fig. 19)"),
    "R2-ppo": _preset(R2, "ppo", 1e-3, "PPO, peak where the reference is (fig. 19)"),
    "R2-best-of-n": _preset(R2, "best_of_n", 1e-3, "Best-of-N, peak where the reference is (fig. 4)"),
    "R2-ipo": _preset(R2, "ipo", 3e-3, "offline IPO, peak where the reference is (figs. 16, 19)"),
    "drawn-ppo": _drawn("ppo", 0.1, "a drawn reward: a low hill where the reference is, a high one far from it"),
}

REFERENCE_FLOOR = 1e-5
"""Least probability of a token. The default reference lies above it; other draws may leave a bin empty."""


def reward_text(values: BanditValues) -> str:
    """The reward of an explorer's values, as `Experiment.rewards` has it."""
    if values.reward == "drawn":
        return Knots(values.knots).text
    return f"bump:{values.center!r}:{values.width!r}"


def experiment(values: BanditValues) -> Experiment:
    """The training of an explorer's values.

    Raises:
        ValueError: they are none.
    """
    return Experiment(
        methods=compiled_with(values.method, METHODS),
        rewards=(reward_text(values),),
        seeds=values.seeds,
        first_seed=values.first_seed,
        reference=ReferenceRecipe(location=values.location, scale=values.scale, floor=REFERENCE_FLOOR),
        policy=PolicyConfig(kind="gpt" if values.policy == "gpt" else "tabular"),
        algorithm=AlgorithmConfig(
            samples_per_collection=values.prompts * values.responses,
            responses_per_prompt=values.responses,
            minibatch_size=values.prompts * values.responses,
            inner_steps=values.inner_steps,
            collections=values.collections,
        ),
        evaluation=EvaluationConfig(interval=0),
        hyper=HyperParameters(**{name: float(getattr(values, name)) for name in SWEPT}),
    )


def irrelevant(name: str, method: str) -> bool:
    """Whether a value is a hyper-parameter that does not enter a method."""
    return name in SWEPT and not variant(method).method.reads(name)
