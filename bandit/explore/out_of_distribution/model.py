"""The view-model of three answers and one comparison: what DPO, IPO and KL-regularised RL do with the third."""

import math
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from modeseek.bandit.categorical.closed_forms import (
    contrastive_rest,
    ipo_gain,
    regularised_mass,
    unseen_mass,
    unseen_peak,
)
from modeseek.bandit.categorical.dynamics import kept, simulate
from modeseek.bandit.categorical.methods import preference_probabilities
from modeseek.bandit.categorical.optimizers import Settings
from modeseek.bandit.categorical.problem import Knobs, from_rewards
from modeseek.bandit.explore.out_of_distribution.presets import PRESETS, OutOfDistributionValues
from modeseek.bandit.explore.toolkit.model import ViewModel, rows_of

METHODS = {"offline_dpo": "DPO", "offline_ipo": "IPO", "on_policy_reinforce": "KL-regularised RL"}
COMPARED = np.array([True, True, False])
LARGEST = 6.0
"""The largest s, half the margin, on the axis of the closed form."""


STEP_SIZES = {"adam": 0.05, "flow": 0.5}


class OutOfDistributionResult(NamedTuple):
    """Everything the views show; M methods, E = steps + 1.

    Attributes:
        probs: `[M, E, 3]`.
        rests: where each would come to rest, `[M, 3]`, closed forms.
        reward: true expected reward, `[M, E]`.
        moved: s, half the margin that y₁ has gained on y₂, `[M, E]`.
        peak_at: s at which y₃ has most mass under DPO; negative if it only falls.
        peak: that mass.
        preferred: P(y₁ ≻ y₂).
    """

    probs: np.ndarray
    rests: np.ndarray
    reward: np.ndarray
    moved: np.ndarray
    peak_at: float
    peak: float
    preferred: float


class OutOfDistributionModel(ViewModel[OutOfDistributionValues, OutOfDistributionResult]):
    """Three answers, one comparison: what happens to the one never seen?"""

    kind = "ood"
    title = "Three answers, one comparison"
    near = ("reference", "gap", "unseen", "beta", "tau")
    defaults = OutOfDistributionValues()
    presets = PRESETS

    def settle(
        self, values: OutOfDistributionValues, changed: str, before: OutOfDistributionValues
    ) -> OutOfDistributionValues:
        """A positive reference, and a step size that is usual for the optimizer.

        Raises:
            ValueError: a probability is zero.
        """
        if min(values.reference) <= 0:
            raise ValueError("reference π must be positive everywhere: a softmax has no zeros")
        if changed == "optimizer":
            values = replace(values, step_size=STEP_SIZES[values.optimizer])
            self.notes.append(f"step size set to {values.step_size:g}, usual for this optimizer")
        return values

    def compute(self, values: OutOfDistributionValues) -> OutOfDistributionResult:
        """DPO and IPO on comparisons of y₁ and y₂ alone, RL on the true rewards; all exact expected gradients.

        Raises:
            ValueError: as `simulate`.
        """
        reference = np.asarray(values.reference)
        rewards = np.array([values.gap, 0.0, values.unseen])
        knobs = Knobs(beta=values.beta, tau=values.tau)
        problem = from_rewards(reference, rewards, knobs, behavior=COMPARED / 2.0)
        log_probs, _ = simulate(
            problem,
            objectives=tuple(METHODS),
            optimizer=values.optimizer,
            settings=Settings(step_size=np.float64(values.step_size)),
            steps=values.steps,
            begin=kept,
        )
        gain = ipo_gain(preference_probabilities(rewards), COMPARED / 2.0, values.tau)
        rests = [
            contrastive_rest(reference, rewards / values.beta, COMPARED),
            contrastive_rest(reference, gain, COMPARED),
            regularised_mass(reference, rewards, values.beta),
        ]
        odds = log_probs[..., 0] - log_probs[..., 1]
        probs = np.exp(log_probs)
        p1, p2, p3 = reference
        return OutOfDistributionResult(
            probs,
            np.stack(rests),
            probs @ rewards,
            0.5 * (odds - odds[:, :1]),
            0.5 * math.log(p2 / p1),
            float(unseen_peak(p1, p2, p3)),
            1.0 / (1.0 + math.exp(-values.gap)),
        )

    def curve(self) -> tuple[np.ndarray, np.ndarray]:
        """π₃(s) of the closed form, for s from 0 to `LARGEST`."""
        s = np.linspace(0.0, LARGEST, 241)
        p1, p2, p3 = self.values.reference
        return s, np.asarray(unseen_mass(p1, p2, p3, s))

    def caption(self) -> str:
        """The unseen answer's mass under each method, now and at rest, and its peak."""
        values, result, step = self.values, self.result, self.values.step
        start = values.reference[2]
        each = "; ".join(
            f"{title} {result.probs[m, step, 2]:.3g} (at rest {result.rests[m, 2]:.3g}), true reward "
            f"{result.reward[m, step]:+z.2f}"
            for m, title in enumerate(METHODS.values())
        )
        if result.peak_at > 0:
            peak = f"Under DPO and IPO it first gains, up to {result.peak:.3g} at s = {result.peak_at:z.2f}"
        else:
            peak = "Under DPO and IPO it falls from the start, as p₁ ≥ p₂"
        return (
            f"{values.preset}, P(y₁ ≻ y₂) = {result.preferred:.3g}, β = {values.beta:.3g}, τ = {values.tau:.3g}. The "
            f"answer never compared had {start:.3g}. {peak}. Step {step} of {values.steps}: π₃ is {each}."
        )

    def table(self) -> dict[str, Any]:
        """One row a method and step."""
        result = self.result
        curves = {"moved": result.moved, "expected_reward": result.reward}
        masses = {f"p_{k + 1}": result.probs[..., k] for k in range(3)}
        return rows_of("method", tuple(METHODS), np.arange(result.reward.shape[1]), curves | masses)
