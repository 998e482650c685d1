"""The view-model of figure 16 on one token: four offline methods as exact flows, without sampling noise."""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from modeseek.bandit.categorical.dynamics import kept, simulate
from modeseek.bandit.categorical.frontier import Responses, frontier
from modeseek.bandit.categorical.optimizers import Settings
from modeseek.bandit.categorical.presets import named_problem
from modeseek.bandit.categorical.problem import Knobs, Problem, from_rewards
from modeseek.bandit.explore.toolkit.model import ViewModel, rows_of
from modeseek.bandit.explore.toolkit.values import SteppedValues, choice, number

METHODS = {"best_of_n": "Best-of-N", "rwr": "RWR", "best_of_n_negative": "Best-of-N + neg. gradient", "ipo": "IPO"}
REWARDS = {
    "fig16-R1": "the peak of the reward far from the reference",
    "fig16-R2": "its peak near the reference",
}
OPTIMIZERS = {"adam": "Adam", "gd": "gradient descent"}
STEP_SIZES = {"adam": 0.05, "gd": 0.5}
OWN = {
    "best_of_n": ("draws",),
    "rwr": ("beta",),
    "best_of_n_negative": ("draws", "weight"),
    "ipo": ("tau", "sharpness"),
}
"""Method → the controls that it reads, beside the optimizer's."""


class FourMethodsResult(NamedTuple):
    """Everything the views show; M methods, E = steps + 1.

    Attributes:
        probs: policies, `[M, E, K]`.
        reward: expected reward, `[M, E]`.
        divergence: KL(policy ‖ reference), nats, `[M, E]`.
        reference: `[K]`.
        rewards: of each token, `[K]`.
        frontier: KL and the most reward that it allows, each `[B]`.
    """

    probs: np.ndarray
    reward: np.ndarray
    divergence: np.ndarray
    reference: np.ndarray
    rewards: np.ndarray
    frontier: tuple[np.ndarray, np.ndarray]


@lru_cache(maxsize=4)
def _bandit(preset: str) -> Problem:
    return named_problem(preset.removeprefix("fig16-")).problem


@lru_cache(maxsize=4)
def _most(preset: str) -> tuple[np.ndarray, np.ndarray]:
    bandit = _bandit(preset)
    return frontier(Responses(np.exp(bandit.log_reference), np.asarray(bandit.rewards), 1))


@lru_cache(maxsize=64)
def run(
    method: str, preset: str, numbers: tuple[tuple[str, float], ...], optimizer: str, step_size: float, steps: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One method's probabilities, expected reward and KL(policy ‖ reference) along its exact flow; kept for next time.

    Rewards are multiplied by the sharpness of the labels, P(i ≻ j) = σ(s (r_i - r_j)), and β with them, so that nothing
    but the labels depends on it.

    Raises:
        ValueError: it diverged, as `simulate` says.
    """
    given, bandit = dict(numbers), _bandit(preset)
    sharpness = given.get("sharpness", 1.0)
    knobs = Knobs(
        beta=given.get("beta", 0.1) * sharpness,
        tau=given.get("tau", 0.05),
        draws=given.get("draws", 10.0),
        negative_weight=given.get("weight", 1.0),
    )
    problem = from_rewards(np.exp(bandit.log_reference), sharpness * bandit.rewards, knobs)
    settings = Settings(step_size=np.float64(step_size))
    log_probs, metrics = simulate(
        problem, objectives=(f"offline_{method}",), optimizer=optimizer, settings=settings, steps=steps, begin=kept
    )
    probs = np.exp(log_probs[0])
    return probs, probs @ bandit.rewards, metrics.reference_kl[0]


@dataclass(frozen=True)
class FourMethodsValues(SteppedValues):
    """What the explorer is set to; the presets are the rewards."""

    preset: str = choice(
        "preset",
        {name: f"{name}: {shows}" for name, shows in REWARDS.items()},
        "fig16-R1",
        help="Where the reward peaks: on R1 far from the reference, on R2 near it.",
    )
    draws: int = number(
        "draws N", 2, 100, 10, whole=True, help="Of how many responses of the reference the best is taken."
    )
    beta: float = number(
        "β of RWR", 0.02, 1.0, 0.1, log=True, help="RWR's temperature: a smaller β trains on the best responses alone."
    )
    weight: float = number(
        "β of neg. grad.",
        0.01,
        3.0,
        0.1,
        log=True,
        help="How strongly Best-of-N + negative gradient lowers log p of the draws that are worse than the best.",
    )
    tau: float = number(
        "τ of IPO",
        0.01,
        1.0,
        0.05,
        log=True,
        help="IPO's target margin is 1/(2τ) nats: a smaller τ pulls the two responses further apart.",
    )
    sharpness: float = number(
        "label sharpness", 1.0, 100.0, 30.0, log=True, help="How surely the better response is labelled as preferred."
    )
    optimizer: str = choice("optimizer", OPTIMIZERS, "adam", help="How a gradient becomes a step.")
    step_size: float = number(
        "step size η", 0.001, 2.0, 0.05, log=True, help="How far one step goes along the gradient."
    )
    steps: int = number("steps", 20, 300, 150, whole=True, help="How many steps are computed; the player ends there.")
    step: int = number(
        "step",
        0,
        300,
        150,
        whole=True,
        view=True,
        until="steps",
        help="After how many steps the four policies are looked at.",
    )


class FourMethodsModel(ViewModel[FourMethodsValues, FourMethodsResult]):
    """Does pushing down help, and where?"""

    kind = "fig16"
    title = "Figure 16 on one token: four offline methods"
    near = ("draws", "beta", "weight", "tau", "step_size")
    defaults = FourMethodsValues()

    def settle(self, values: FourMethodsValues, changed: str, before: FourMethodsValues) -> FourMethodsValues:
        """A step size that is usual for the optimizer."""
        if changed == "optimizer":
            values = replace(values, step_size=STEP_SIZES[values.optimizer])
            self.notes.append(f"step size set to {values.step_size:g}, usual for this optimizer")
        return values

    def compute(self, values: FourMethodsValues) -> FourMethodsResult:
        """All four runs; those that no changed number concerns are not made again.

        Raises:
            ValueError: as `run`.
        """
        numbers = (values.optimizer, values.step_size, values.steps)
        runs = [
            run(name, values.preset, tuple((own, float(getattr(values, own))) for own in OWN[name]), *numbers)
            for name in METHODS
        ]
        probs, reward, divergence = (np.stack(each) for each in zip(*runs, strict=True))
        bandit = _bandit(values.preset)
        reference, rewards = np.exp(bandit.log_reference), np.asarray(bandit.rewards)
        return FourMethodsResult(probs, reward, divergence, reference, rewards, _most(values.preset))

    def caption(self) -> str:
        """Every method at the chosen step."""
        values, result, step = self.values, self.result, self.values.step
        each = ", ".join(
            f"{title} {result.reward[m, step]:z.3f} at {result.divergence[m, step]:z.2f} nats"
            for m, title in enumerate(METHODS.values())
        )
        return (
            f"{values.preset}, exact expected gradients on one token of 100, no sampling noise, "
            f"{OPTIMIZERS[values.optimizer]} with η = {values.step_size:.3g}, step {step} of {values.steps}: expected "
            f"reward and KL(policy ‖ reference) of {each}."
        )

    def table(self) -> dict[str, Any]:
        """One row a method and step."""
        result = self.result
        curves = {"expected_reward": result.reward, "kl_to_reference": result.divergence}
        return rows_of("method", tuple(METHODS), np.arange(result.reward.shape[1]), curves)
