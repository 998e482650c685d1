"""The view-model of a bandit in training: token by token, beside what would be best; decisions of the last batch."""

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from modeseek.bandit.categorical.frontier import Responses, best_at, frontier, reward_at
from modeseek.bandit.explore.bandit.presets import (
    PRESETS,
    REFERENCE_FLOOR,
    REWARDS,
    BanditValues,
    experiment,
    irrelevant,
    reward_text,
)
from modeseek.bandit.explore.toolkit.model import rows_of
from modeseek.bandit.explore.toolkit.recording import CURVES, Part, Recording, bundled, parts
from modeseek.bandit.explore.toolkit.training import TrainingModel
from modeseek.bandit.objectives.registry import variant
from modeseek.bandit.simulator.experiment import Experiment
from modeseek.bandit.simulator.problem import ReferenceRecipe, reference_probs, token_rewards

LENGTH, TOKENS = 10, 100
SHAPES = ("policy", "prompts", "responses", "inner_steps")
"""Controls that change what is compiled."""
PROBLEM = ("location", "scale", "reward", "knots", "center", "width")
"""Controls that say what is rewarded, and where the reference is."""


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


@lru_cache(maxsize=16)
def _problem(location: float, scale: float, reward: str) -> BanditResult:
    reference = reference_probs(ReferenceRecipe(location=location, scale=scale, floor=REFERENCE_FLOOR), "clip", TOKENS)
    rewards = token_rewards(reward, TOKENS)
    responses = Responses(reference, rewards, LENGTH)
    return BanditResult(reference, rewards, responses, *frontier(responses))


class BanditModel(TrainingModel[BanditValues, BanditResult]):
    """What does training look like, token by token?"""

    kind = "bandit"
    title = "A bandit in training"
    near = ("method", "center", "location", "learning_rate")
    defaults = BanditValues()
    presets = PRESETS

    def settle(self, values: BanditValues, changed: str, before: BanditValues) -> BanditValues:
        """Who draws a reward means a drawn one, and who moves the peak a peak; what has no effect, or costs a
        compilation, is said."""
        meant = "drawn" if changed == "knots" else "peak" if changed in ("center", "width") else values.reward
        if meant != values.reward:
            values = replace(values, reward=meant)
            self.notes.append(f"the reward is now {REWARDS[meant]}")
        if values.reward == "drawn" and len(set(values.knots)) == 1:
            self.notes.append(f"every token earns {values.knots[0]:g}: there is nothing to learn. Draw a difference")
        if irrelevant(changed, values.method):
            self.notes.append(
                f"{self.control(changed).label} does not enter {variant(values.method).title}: the same curves again"
            )
        if changed in SHAPES and self.compiles(values):
            self.notes.append(f"{self.control(changed).label} is a shape: the next training compiles first")
        return values

    def settings(self, values: BanditValues) -> tuple[Any, ...]:
        """As `TrainingModel`, without what the other kind of reward is drawn by."""
        unused = ("center", "width") if values.reward == "drawn" else ("knots",)
        return super().settings(replace(values, **{name: getattr(self.defaults, name) for name in unused}))

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
        return _problem(values.location, values.scale, reward_text(values))

    @property
    def drawn_problem(self) -> BanditResult:
        """What follows from the problem of the run that is drawn."""
        return self.compute(self.drawn.values)

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
        return best_at(self.drawn_problem.responses, max(nats, 0.0))

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
        spread = f" ± {error:z.2f} (standard error of {len(run.seeds)} seeds)" if len(run.seeds) > 1 else " (one seed)"
        could = float(reward_at(self.drawn_problem.responses, nats))
        _, weights, _ = self.batch()
        up, down = int((weights > 0).sum()), int((weights < 0).sum())
        pushed = f"; of the batch's {weights.size} responses {up} are pushed up and {down} down" if weights.size else ""
        peak = self.marginal()
        ended = "" if run.whole else f" The training was stopped after {run.done} of {run.asked} collections."
        if (run.diverged_at >= 0).any():
            ended += f" Seeds whose training diverged: {int((run.diverged_at >= 0).sum())}."
        other = self.of_others()
        if any(getattr(self.drawn.values, name) != getattr(self.values, name) for name in PROBLEM):
            other += " The reference and the reward over the tokens are those of the settings above."
        return (
            f"{variant(self.drawn.values.method).title}, collection {step} of {run.asked}, gradient step "
            f"{run.steps[at]}: expected reward {reward:z.2f}{spread} at KL(policy ‖ reference) = {nats:z.1f} nats, "
            f"where {could:z.2f} could be had. Seed {run.seeds[0]}: most mass is on token {int(peak.argmax())} "
            f"({peak.max():.0%}){pushed}."
            f"{ended}{other}"
        )

    def table(self) -> dict[str, Any]:
        """One row a seed and evaluation."""
        run = self.run
        return rows_of("seed", run.seeds, run.steps, {name: run.curves[name] for name in CURVES})
