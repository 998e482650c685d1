"""The bandit explorer's presets, and the training that any of its settings asks for."""

from typing import Any, NamedTuple

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

SETTING = {
    "beta": "dpo",
    "tau": "ipo",
    "temperature": "rwr",
    "clip_epsilon": "ppo",
}
"""Hyper-parameter → the only method that it enters."""


class Preset(NamedTuple):
    """A recorded training.

    Attributes:
        reward: center and width of its peak.
        method: as `variant` reads it.
        learning_rate: the demo's (decision 0004).
        shows: what there is to see.
    """

    reward: tuple[float, float]
    method: str
    learning_rate: float
    shows: str


PRESETS = {
    "R1-ppo": Preset(R1, "ppo", 1e-3, "PPO crosses to a peak far from the reference (fig. 19)"),
    "R1-best-of-n": Preset(R1, "best_of_n", 1e-3, "Best-of-N, on-policy, nothing pushed down (fig. 4)"),
    "R1-rwr": Preset(R1, "rwr", 1e-3, "RWR, on-policy, nothing pushed down (figs. 14, 19)"),
    "R1-ipo": Preset(R1, "ipo", 3e-3, "offline IPO, samples of the reference alone (figs. 16, 19)"),
    "R1-on-policy-ipo": Preset(R1, "on_policy_ipo", 3e-3, "on-policy IPO (fig. 19)"),
    "R2-ppo": Preset(R2, "ppo", 1e-3, "PPO, peak where the reference is (fig. 19)"),
    "R2-best-of-n": Preset(R2, "best_of_n", 1e-3, "Best-of-N, peak where the reference is (fig. 4)"),
    "R2-ipo": Preset(R2, "ipo", 3e-3, "offline IPO, peak where the reference is (figs. 16, 19)"),
}

REFERENCE_FLOOR = 1e-5
"""Least probability of a token. The default reference lies above it; other draws may leave a bin empty."""


def experiment(values: dict[str, Any]) -> Experiment:
    """The training of an explorer's values.

    Raises:
        ValueError: they are none.
    """
    names = [field for field in ("learning_rate", *SETTING) if field in values]
    return Experiment(
        methods=METHODS,
        rewards=(f"bump:{values['center']!r}:{values['width']!r}",),
        seeds=values["seeds"],
        first_seed=values["first_seed"],
        reference=ReferenceRecipe(location=values["location"], scale=values["scale"], floor=REFERENCE_FLOOR),
        policy=PolicyConfig(kind="gpt" if values["policy"] == "gpt" else "tabular"),
        algorithm=AlgorithmConfig(
            samples_per_collection=values["prompts"] * values["responses"],
            responses_per_prompt=values["responses"],
            minibatch_size=values["prompts"] * values["responses"],
            inner_steps=values["inner_steps"],
            collections=values["collections"],
        ),
        evaluation=EvaluationConfig(interval=0),
        hyper=HyperParameters(**{name: float(values[name]) for name in names}),
    )


def irrelevant(name: str, method: str) -> bool:
    """Whether a hyper-parameter does not enter a method."""
    return name in SETTING and variant(method).method.name != SETTING[name]
