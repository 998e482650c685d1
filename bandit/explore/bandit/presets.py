"""The bandit explorer's presets, and the training that any of its settings asks for."""

from dataclasses import dataclass

from modeseek.bandit.explore.toolkit.values import Preset, SteppedValues, choice, hyper_parameter, number
from modeseek.bandit.objectives.batch import HyperParameters
from modeseek.bandit.objectives.registry import variant
from modeseek.bandit.simulator.config import AlgorithmConfig, EvaluationConfig, PolicyConfig
from modeseek.bandit.simulator.experiment import Experiment
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


POLICIES = {"gpt": "GPT-Nano, reads the response so far", "table": "table of logits, one row a position"}


@dataclass(frozen=True)
class BanditValues(SteppedValues):
    """What the explorer is set to; learning rates are the demo's (decision 0004)."""

    preset: str = "R1-ppo"
    method: str = choice("method", {name: variant(name).title for name in METHODS}, "ppo")
    policy: str = choice("policy", POLICIES, "gpt")
    center: float = number("reward peak", 0, 99, 70.0)
    width: float = number("reward width", 2, 40, 10.0)
    location: float = number("reference x₀", -1, 1, -0.7)
    scale: float = number("reference γ", 0.1, 2, 0.4, log=True)
    learning_rate: float = hyper_parameter("learning_rate")
    beta: float = hyper_parameter("beta")
    tau: float = hyper_parameter("tau")
    temperature: float = hyper_parameter("temperature")
    clip_epsilon: float = hyper_parameter("clip_epsilon")
    prompts: int = number("prompts", 1, 20, 10, whole=True)
    responses: int = number("responses N", 2, 20, 10, whole=True)
    inner_steps: int = number("inner steps T", 1, 20, 10, whole=True)
    collections: int = number("collections", 2, 100, 40, whole=True)
    seeds: int = number("seeds", 1, 5, 5, whole=True)
    first_seed: int = number("first seed", 0, 9999, 0, whole=True)
    step: int = number("collection", 0, 100, 40, whole=True, view=True)


def _preset(reward: tuple[float, float], method: str, learning_rate: float, shows: str) -> Preset[BanditValues]:
    """A recorded training: center and width of the reward's peak, and a method as `variant` reads it."""
    center, width = reward
    return Preset(shows, BanditValues(method=method, center=center, width=width, learning_rate=learning_rate))


PRESETS = {
    "R1-ppo": _preset(R1, "ppo", 1e-3, "PPO crosses to a peak far from the reference (fig. 19)"),
    "R1-best-of-n": _preset(R1, "best_of_n", 1e-3, "Best-of-N, on-policy, nothing pushed down (fig. 4)"),
    "R1-rwr": _preset(R1, "rwr", 1e-3, "RWR, on-policy, nothing pushed down (figs. 14, 19)"),
    "R1-ipo": _preset(R1, "ipo", 3e-3, "offline IPO, samples of the reference alone (figs. 16, 19)"),
    "R1-on-policy-ipo": _preset(R1, "on_policy_ipo", 3e-3, "on-policy IPO (fig. 19)"),
    "R2-ppo": _preset(R2, "ppo", 1e-3, "PPO, peak where the reference is (fig. 19)"),
    "R2-best-of-n": _preset(R2, "best_of_n", 1e-3, "Best-of-N, peak where the reference is (fig. 4)"),
    "R2-ipo": _preset(R2, "ipo", 3e-3, "offline IPO, peak where the reference is (figs. 16, 19)"),
}

REFERENCE_FLOOR = 1e-5
"""Least probability of a token. The default reference lies above it; other draws may leave a bin empty."""


def experiment(values: BanditValues) -> Experiment:
    """The training of an explorer's values.

    Raises:
        ValueError: they are none.
    """
    return Experiment(
        methods=METHODS,
        rewards=(f"bump:{values.center!r}:{values.width!r}",),
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
