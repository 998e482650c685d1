"""The view-model of figure 18: recorded implicit rewards of y_w and y_l against the number of prompts."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from modeseek.bandit.explore.toolkit.model import ViewModel, rows_of
from modeseek.bandit.explore.toolkit.stored import stored
from modeseek.bandit.explore.toolkit.values import SteppedValues, choice, number
from modeseek.bandit.simulator.summary import over_seeds

POLICIES = {
    "gpt": "GPT-Nano, 94 thousand parameters",
    "table": "one table of logits for all prompts",
}
PAIRS = {"best_worst": "the best of ten against the worst", "all": "all pairs of ten"}
NAMES = ("chosen_implicit_reward", "rejected_implicit_reward")


def recorded() -> xr.Dataset:
    """The bundled runs; `bake` says how they were made."""
    return stored("figure18")


class Figure18Result(NamedTuple):
    """The recorded runs of one policy, reward and way of pairing; D sizes of the prompt set, E measured steps.

    Attributes:
        prompts: `[D]`.
        steps: gradient steps, `[E]`.
        mean: implicit reward of y_w and y_l over the data set's pairs, nats, mean over seeds, `[2, D, E]`.
        error: its standard error over seeds.
        seeds: how many.
    """

    prompts: np.ndarray
    steps: np.ndarray
    mean: np.ndarray
    error: np.ndarray
    seeds: int


@dataclass(frozen=True)
class Figure18Values(SteppedValues):
    """What the explorer is set to; the presets are the policies."""

    preset: str = choice(
        "policy",
        {name: f"{name}: {shows}" for name, shows in POLICIES.items()},
        "gpt",
        help="What is trained: GPT-Nano, or one table of logits that all prompts share.",
    )
    pairs: str = choice("pairs", PAIRS, "best_worst", help="Which pairs of responses the loss is taken of.")
    reward: str = choice(
        "reward",
        {"R1": "R1", "R2": "R2"},
        "R2",
        help="Which reward says what is better: R1 peaks far from the reference, R2 near it.",
    )
    step: int = number(
        "measurement",
        0,
        49,
        49,
        whole=True,
        view=True,
        help="At which evaluation of the recorded run the pairs are looked at.",
    )


class Figure18Model(ViewModel[Figure18Values, Figure18Result]):
    """Does y_w's likelihood rise, and on how many prompts?"""

    kind = "fig18"
    title = "Figure 18: implicit rewards against the number of prompts"
    defaults = Figure18Values()

    def compute(self, values: Figure18Values) -> Figure18Result:
        """Means over seeds of the recorded runs."""
        data = recorded().sel(policy=values.preset, pairs=values.pairs, reward=values.reward)
        found = [over_seeds(data[name].transpose("prompts", "step", "seed")) for name in NAMES]
        mean, error = (np.stack([each[i].values for each in found]) for i in (0, 1))
        return Figure18Result(data["prompts"].values, data["step"].values, mean, error, data.sizes["seed"])

    def caption(self) -> str:
        """Both implicit rewards at the chosen step, for every size of the prompt set."""
        result, at = self.result, self.values.step
        each = "; ".join(
            f"{prompts} prompts: y_w {result.mean[0, d, at]:+z.2f} ± {result.error[0, d, at]:z.2f}, "
            f"y_l {result.mean[1, d, at]:+z.2f} ± {result.error[1, d, at]:z.2f}"
            for d, prompts in enumerate(result.prompts)
        )
        return (
            f"{POLICIES[self.values.preset]}, {PAIRS[self.values.pairs]}, {self.values.reward}, after "
            f"{result.steps[at] - 1} of {result.steps[-1]} gradient steps; log π - log π_ref in nats, mean over the "
            f"training pairs, ± standard error of {result.seeds} seeds. {each}."
        )

    def table(self) -> dict[str, Any]:
        """One row a size of the prompt set and step."""
        result = self.result
        curves: dict[str, np.ndarray] = {}
        for name, mean, error in zip(NAMES, result.mean, result.error, strict=True):
            curves |= {name: mean, f"{name}_error": error}
        return rows_of("prompts", result.prompts, result.steps, curves)
