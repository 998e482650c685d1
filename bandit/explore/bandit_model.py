"""The view-model of a bandit in training: token by token, beside what would be best; decisions of the last batch."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from modeseek.bandit.explore.bandit_presets import METHODS, PRESETS, REFERENCE_FLOOR, SETTING, experiment, irrelevant
from modeseek.bandit.explore.controls import Choice, Number
from modeseek.bandit.explore.frontier import best_at, frontier
from modeseek.bandit.explore.recording import CURVES, Recording, bundled, recorded
from modeseek.bandit.explore.training import Part, TrainingModel
from modeseek.bandit.objectives.registry import variant
from modeseek.bandit.simulator.problem import ReferenceRecipe, gaussian_bump, reference_probs

LENGTH, TOKENS = 10, 100
POLICIES = {"gpt": "GPT-Nano, reads the response so far", "table": "table of logits, one row a position"}
SHAPES = ("policy", "prompts", "responses", "inner_steps")
"""Controls that change what is compiled."""


def chosen(name: str) -> dict[str, Any]:
    """What a preset sets; the other controls have their defaults."""
    preset = PRESETS[name]
    center, width = preset.reward
    return {"method": preset.method, "center": center, "width": width, "learning_rate": preset.learning_rate}


def training(values: dict[str, Any]) -> Iterator[Part]:
    """Train with an explorer's values; `runs.train`, with the recording so far in every part.

    Raises:
        ValueError: they cannot be trained with.
    """
    from modeseek.bandit.explore.runs import train

    asked = experiment(values)
    seeds = tuple(range(asked.first_seed, asked.first_seed + asked.seeds))
    algorithm, last, run = asked.algorithm, -1, None
    for progress in train(asked, values["method"]):
        done = len(progress.turns[0]) if progress.turns else -1
        if done > last:
            run, last = recorded(progress, seeds, algorithm.collections, algorithm.steps_per_collection), done
        yield Part(progress.share, progress.doing, run)


class BanditResult(NamedTuple):
    """What follows from the problem alone, however far training is.

    Attributes:
        reference: of a token, `[V]`.
        token_rewards: `[V]`.
        frontier_kl: nats a response, `[B]`.
        frontier_reward: the most expected reward at that distance, `[B]`.
    """

    reference: np.ndarray
    token_rewards: np.ndarray
    frontier_kl: np.ndarray
    frontier_reward: np.ndarray


class BanditModel(TrainingModel):
    """What does training look like, token by token?"""

    kind = "bandit"
    title = "A bandit in training"
    run: Recording
    result: BanditResult
    controls = (
        Choice("preset", "preset", {name: f"{name}: {preset.shows}" for name, preset in PRESETS.items()}, "R1-ppo"),
        Choice("method", "method", {name: variant(name).title for name in METHODS}, "ppo"),
        Choice("policy", "policy", POLICIES, "gpt"),
        Number("center", "reward peak", 0, 99, 70),
        Number("width", "reward width", 2, 40, 10),
        Number("location", "reference x₀", -1, 1, -0.7),
        Number("scale", "reference γ", 0.1, 2, 0.4, log=True),
        Number("learning_rate", "learning rate", 1e-5, 1e-1, 1e-3, log=True),
        Number("beta", "β of DPO", 0.01, 10, 0.1, log=True),
        Number("tau", "τ of IPO", 0.005, 5, 0.05, log=True),
        Number("temperature", "β of RWR", 0.01, 10, 0.1, log=True),
        Number("clip_epsilon", "ε of PPO", 0.01, 2, 0.2, log=True),
        Number("prompts", "prompts", 1, 20, 10, whole=True),
        Number("responses", "responses N", 2, 20, 10, whole=True),
        Number("inner_steps", "inner steps T", 1, 20, 10, whole=True),
        Number("collections", "collections", 2, 100, 40, whole=True),
        Number("seeds", "seeds", 1, 5, 5, whole=True),
        Number("first_seed", "first seed", 0, 9999, 0, whole=True),
        Number("step", "collection", 0, 100, 40, whole=True, view=True),
    )

    def limits(self, name: str) -> tuple[float, float]:
        """Scrubbing ends where the run does."""
        return (0.0, float(self.run.done)) if name == "step" else super().limits(name)

    def preset(self, name: str, values: dict[str, Any]) -> dict[str, Any]:
        """A recorded training's method, reward and learning rate."""
        return chosen(name)

    def settle(self, values: dict[str, Any], changed: str, before: dict[str, Any]) -> dict[str, Any]:
        """Nothing else changes; what has no effect, or costs a compilation, is said."""
        if irrelevant(changed, values["method"]):
            self.notes.append(
                f"{self.control(changed).label} does not enter {variant(values['method']).title}: the same curves again"
            )
        if changed in SHAPES and self.compiles(values):
            self.notes.append(f"{self.control(changed).label} is a shape: the next training compiles first")
        return values

    def recorded(self, values: dict[str, Any]) -> Recording:
        """The bundled run."""
        return bundled(f"bandit-{values['preset']}")

    def training(self, values: dict[str, Any]) -> Iterator[Part]:
        """As `runs.train`."""
        return training(values)

    def compiles(self, values: dict[str, Any]) -> bool:
        """Whether these shapes were not met before."""
        from modeseek.bandit.explore.runs import compiled

        return not compiled(experiment(values))

    def last_step(self, run: Recording, values: dict[str, Any]) -> int:
        """The last collection."""
        return run.done

    def compute(self, values: dict[str, Any]) -> BanditResult:
        """Reference, rewards and frontier of the present problem.

        Raises:
            ValueError: it is none.
        """
        recipe = ReferenceRecipe(location=values["location"], scale=values["scale"], floor=REFERENCE_FLOOR)
        reference = reference_probs(recipe, "clip", TOKENS)
        rewards = gaussian_bump(values["center"], values["width"], TOKENS)
        return BanditResult(reference, rewards, *frontier(reference, rewards, LENGTH))

    # What the views show of the chosen collection.

    @property
    def evaluation(self) -> int:
        """Index into the curves."""
        return int(self.values["step"] * self.run.evaluations)

    def positions(self) -> np.ndarray:
        """Token distribution at each position, `[T, V]`, of the first seed."""
        return np.asarray(self.run.token_distribution[self.values["step"]])

    def marginal(self) -> np.ndarray:
        """Their mean over positions, `[V]`."""
        return np.asarray(self.positions().mean(axis=0))

    def best(self) -> np.ndarray:
        """The best token distribution as far from the reference as the first seed's policy, `[V]`."""
        nats = float(self.run.curves["kl_to_reference"][0, self.evaluation])
        return best_at(self.result.reference, self.result.token_rewards, max(nats, 0.0) / LENGTH)

    def batch(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The collection that led here, its strongest pushed-up response first: tokens `[B, T]`, weights and rewards
        `[B]`. At step 0, the first one."""
        at = max(self.values["step"] - 1, 0)
        if self.run.done == 0:
            return np.zeros((0, LENGTH), int), np.zeros(0), np.zeros(0)
        weights, rewards = self.run.weights[at].ravel(), self.run.rewards[at].ravel()
        order = np.lexsort((-rewards, -weights))
        return self.run.responses[at].reshape(weights.size, -1)[order], weights[order], rewards[order]

    def caption(self) -> str:
        """The chosen collection in numbers."""
        run, at, step = self.run, self.evaluation, self.values["step"]
        reward, error = float(run.mean("expected_reward")[at]), float(run.error("expected_reward")[at])
        nats = float(run.mean("kl_to_reference")[at])
        spread = f" ± {error:.2f} (standard error of {len(run.seeds)} seeds)" if len(run.seeds) > 1 else " (one seed)"
        could = np.interp(nats, self.result.frontier_kl, self.result.frontier_reward)
        _, weights, _ = self.batch()
        up, down = int((weights > 0).sum()), int((weights < 0).sum())
        pushed = f"; of the batch's {weights.size} responses {up} are pushed up and {down} down" if weights.size else ""
        peak = self.marginal()
        ended = "" if run.whole else f" The training was stopped after {run.done} of {run.asked} collections."
        if (run.diverged_at >= 0).any():
            ended += f" Seeds whose training diverged: {int((run.diverged_at >= 0).sum())}."
        other = " These curves are of other settings than those above: press Train." if self.stale else ""
        return (
            f"{variant(self.values['method']).title}, collection {step} of {run.asked}, gradient step {run.steps[at]}: "
            f"expected reward {reward:.2f}{spread} at KL(policy ‖ reference) = {nats:.1f} nats, where {could:.2f} "
            f"could be had. Seed {run.seeds[0]}: most mass is on token {int(peak.argmax())} ({peak.max():.0%}){pushed}."
            f"{ended}{other}"
        )

    def table(self) -> dict[str, Any]:
        """One row a seed and evaluation."""
        run = self.run
        columns: dict[str, Any] = {
            "seed": np.repeat(run.seeds, run.steps.size),
            "step": np.tile(run.steps, len(run.seeds)),
        }
        return columns | {name: run.curves[name].ravel() for name in CURVES}


assert set(SETTING) <= {control.name for control in BanditModel.controls}
