"""The view-model of a bandit in training: token by token, beside what would be best; decisions of the last batch."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from modeseek.bandit.categorical.frontier import Responses, best_at, frontier, reward_at
from modeseek.bandit.explore.bandit.presets import (
    PRESETS,
    REFERENCE_FLOOR,
    BanditValues,
    experiment,
    irrelevant,
)
from modeseek.bandit.explore.toolkit.model import rows_of
from modeseek.bandit.explore.toolkit.recording import CURVES, Part, Recording, bundled, parts
from modeseek.bandit.explore.toolkit.training import TrainingModel
from modeseek.bandit.objectives.registry import variant
from modeseek.bandit.simulator.experiment import Experiment
from modeseek.bandit.simulator.problem import ReferenceRecipe, gaussian_bump, reference_probs

LENGTH, TOKENS = 10, 100
SHAPES = ("policy", "prompts", "responses", "inner_steps")
"""Controls that change what is compiled."""


def training(values: BanditValues) -> Iterator[Part]:
    """Train with an explorer's values.

    Raises:
        ValueError: they cannot be trained with.
    """
    return parts(experiment(values), values.method)


class BanditResult(NamedTuple):
    """What follows from the problem alone, however far training is.

    Attributes:
        reference: of a token, `[V]`.
        token_rewards: `[V]`.
        responses: what they are drawn from and earn, for the frontier.
        frontier_kl: nats a response, `[B]`.
        frontier_reward: the most expected reward at that distance, `[B]`.
    """

    reference: np.ndarray
    token_rewards: np.ndarray
    responses: Responses
    frontier_kl: np.ndarray
    frontier_reward: np.ndarray


class BanditModel(TrainingModel[BanditValues, BanditResult]):
    """What does training look like, token by token?"""

    kind = "bandit"
    title = "A bandit in training"
    run: Recording
    defaults = BanditValues()
    presets = PRESETS

    def settle(self, values: BanditValues, changed: str, before: BanditValues) -> BanditValues:
        """Nothing else changes; what has no effect, or costs a compilation, is said."""
        if irrelevant(changed, values.method):
            self.notes.append(
                f"{self.control(changed).label} does not enter {variant(values.method).title}: the same curves again"
            )
        if changed in SHAPES and self.compiles(values):
            self.notes.append(f"{self.control(changed).label} is a shape: the next training compiles first")
        return values

    def recorded(self, values: BanditValues) -> Recording:
        """The bundled run."""
        return bundled(f"bandit-{values.preset}")

    def training(self, values: BanditValues) -> Iterator[Part]:
        """As `runs.train`."""
        return training(values)

    def experiments(self, values: BanditValues) -> list[Experiment]:
        """One, of all methods."""
        return [experiment(values)]

    def last_step(self, run: Recording) -> int:
        """The last collection."""
        return run.done

    def compute(self, values: BanditValues) -> BanditResult:
        """Reference, rewards and frontier of the present problem.

        Raises:
            ValueError: it is none.
        """
        recipe = ReferenceRecipe(location=values.location, scale=values.scale, floor=REFERENCE_FLOOR)
        reference = reference_probs(recipe, "clip", TOKENS)
        rewards = gaussian_bump(values.center, values.width, TOKENS)
        responses = Responses(reference, rewards, LENGTH)
        return BanditResult(reference, rewards, responses, *frontier(responses))

    # What the views show of the chosen collection.

    @property
    def evaluation(self) -> int:
        """Index into the curves."""
        return int(self.values.step * self.run.evaluations)

    def positions(self) -> np.ndarray:
        """Token distribution at each position, `[T, V]`, of the first seed."""
        return np.asarray(self.run.token_distribution[self.values.step])

    def marginal(self) -> np.ndarray:
        """Their mean over positions, `[V]`."""
        return np.asarray(self.positions().mean(axis=0))

    def best(self) -> np.ndarray:
        """The best token distribution as far from the reference as the first seed's policy, `[V]`."""
        nats = float(self.run.curves["kl_to_reference"][0, self.evaluation])
        return best_at(self.result.responses, max(nats, 0.0))

    def batch(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The collection that led here, its strongest pushed-up response first: tokens `[B, T]`, weights and rewards
        `[B]`. At step 0, the first one."""
        at = max(self.values.step - 1, 0)
        if self.run.done == 0:
            return np.zeros((0, LENGTH), int), np.zeros(0), np.zeros(0)
        weights, rewards = self.run.weights[at].ravel(), self.run.rewards[at].ravel()
        order = np.lexsort((-rewards, -weights))
        return self.run.responses[at].reshape(weights.size, -1)[order], weights[order], rewards[order]

    def caption(self) -> str:
        """The chosen collection in numbers."""
        run, at, step = self.run, self.evaluation, self.values.step
        reward, error = float(run.mean("expected_reward")[at]), float(run.error("expected_reward")[at])
        nats = float(run.mean("kl_to_reference")[at])
        spread = f" ± {error:.2f} (standard error of {len(run.seeds)} seeds)" if len(run.seeds) > 1 else " (one seed)"
        could = float(reward_at(self.result.responses, nats))
        _, weights, _ = self.batch()
        up, down = int((weights > 0).sum()), int((weights < 0).sum())
        pushed = f"; of the batch's {weights.size} responses {up} are pushed up and {down} down" if weights.size else ""
        peak = self.marginal()
        ended = "" if run.whole else f" The training was stopped after {run.done} of {run.asked} collections."
        if (run.diverged_at >= 0).any():
            ended += f" Seeds whose training diverged: {int((run.diverged_at >= 0).sum())}."
        other = " These curves are of other settings than those above: press Train." if self.stale else ""
        return (
            f"{variant(self.values.method).title}, collection {step} of {run.asked}, gradient step {run.steps[at]}: "
            f"expected reward {reward:.2f}{spread} at KL(policy ‖ reference) = {nats:.1f} nats, where {could:.2f} "
            f"could be had. Seed {run.seeds[0]}: most mass is on token {int(peak.argmax())} ({peak.max():.0%}){pushed}."
            f"{ended}{other}"
        )

    def table(self) -> dict[str, Any]:
        """One row a seed and evaluation."""
        run = self.run
        return rows_of("seed", run.seeds, run.steps, {name: run.curves[name] for name in CURVES})
