"""The view-model of the recorded run of `modeseek demo`: five methods on one of two rewards."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from modeseek.bandit.categorical.frontier import frontier
from modeseek.bandit.explore.toolkit.model import ViewModel, rows_of
from modeseek.bandit.explore.toolkit.stored import stored
from modeseek.bandit.explore.toolkit.values import SteppedValues, choice, number
from modeseek.bandit.figures.frontier import responses_of
from modeseek.bandit.objectives.registry import variant
from modeseek.bandit.simulator.results import experiment_of
from modeseek.bandit.simulator.summary import over_seeds

REWARDS = {"R1": "R1: the reward's peak far from the reference", "R2": "R2: its peak near the reference"}


def recorded() -> xr.Dataset:
    """The bundled run: five methods, two rewards, three seeds; `bake` says how it was made."""
    return stored("demo")


METHODS = ("best_of_n", "rwr", "ppo", "ipo", "on_policy_ipo")


class DemoResult(NamedTuple):
    """The demo's results on one reward; E measured steps, M methods.

    Attributes:
        steps: gradient steps, `[E]`.
        reward: expected reward, mean over seeds, `[M, E]`.
        error: its standard error.
        divergence: KL(policy ‖ reference), nats a response, mean over seeds, `[M, E]`.
        tokens: token distributions at the end, `[M, V]`.
        seeds: how many.
        frontier: KL and the most reward that it allows, each `[B]`.
    """

    steps: np.ndarray
    reward: np.ndarray
    error: np.ndarray
    divergence: np.ndarray
    tokens: np.ndarray
    seeds: int
    frontier: tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class DemoValues(SteppedValues):
    """What the explorer is set to; the presets are the rewards."""

    preset: str = choice(
        "reward", REWARDS, "R1", help="Which of the paper's two rewards: R1 peaks far from the reference, R2 near it."
    )
    method: str = choice(
        "method below",
        {name: variant(name).title for name in METHODS},
        "on_policy_ipo",
        view=True,
        help="Whose policy the lower picture shows.",
    )
    step: int = number(
        "measurement",
        0,
        200,
        100,
        whole=True,
        view=True,
        help="At which evaluation of the recorded runs the policies are looked at.",
    )


class DemoModel(ViewModel[DemoValues, DemoResult]):
    """Five methods on one of two rewards."""

    kind = "demo"
    title = "Which method, when?"
    defaults = DemoValues()

    def compute(self, values: DemoValues) -> DemoResult:
        """Means over seeds of the recorded run."""
        data = recorded().sel(reward=values.preset, algorithm=list(METHODS))
        reward, error = over_seeds(data["expected_reward"])
        responses = responses_of(experiment_of(recorded()), str(values.preset))
        assert responses is not None  # the recorded run is of the paper's conventions
        return DemoResult(
            data["step"].values,
            reward.values,
            error.values,
            data["kl_to_reference"].mean("seed").values,
            data["final_tokens"].mean("seed").values,
            data.sizes["seed"],
            frontier(responses),
        )

    def caption(self) -> str:
        """Every method at the chosen step."""
        result, at = self.result, self.values.step
        each = ", ".join(
            f"{variant(name).title} {result.reward[m, at]:z.2f} ± {result.error[m, at]:z.2f} at "
            f"{result.divergence[m, at]:z.1f} nats"
            for m, name in enumerate(METHODS)
        )
        peak = result.tokens[METHODS.index(self.values.method)]
        return (
            f"Reward {self.values.preset}, gradient step {result.steps[at]} of {result.steps[-1]}, mean ± standard "
            f"error of {result.seeds} seeds: expected reward and KL(policy ‖ reference) of {each}. At the end "
            f"{variant(self.values.method).title} puts most mass on token {int(peak.argmax())} ({peak.max():.0%})."
        )

    def table(self) -> dict[str, Any]:
        """One row a method and step."""
        result = self.result
        curves = {"expected_reward": result.reward, "standard_error": result.error}
        return rows_of("method", METHODS, result.steps, curves | {"kl_to_reference": result.divergence})
