"""What a budget of samples can be spent on: a plan, the grid of plans that were recorded, and the training of one."""

import dataclasses
from collections.abc import Sequence

from modeseek.bandit.explore.bandit.presets import TWO_HILLS
from modeseek.bandit.explore.toolkit.values import MethodTitles, compiled_with
from modeseek.bandit.objectives.batch import HyperParameters
from modeseek.bandit.objectives.own import own_names
from modeseek.bandit.objectives.registry import METHODS, Variant, variant
from modeseek.bandit.simulator.config import AlgorithmConfig, EvaluationConfig, PolicyConfig
from modeseek.bandit.simulator.experiment import Experiment
from modeseek.bandit.simulator.knots import Knots
from modeseek.checks import positive, require, whole

BUDGET = 3200
"""Samples that a plan may draw, prompt-response pairs with their rewards."""
MINIBATCH = 100
"""Samples of a gradient step, and so the smallest collection."""
NAMES = ("rwr", "best_of_n", "reinforce", "ppo", "ipo", "dpo")
"""Methods of the grid. None has a side: with one collection all samples are the reference's, with more they are not."""
REFRESHES = (1, 2, 4, 8, 16, 32)
"""How often samples can be drawn: every number that divides the budget into minibatches."""
COLLECTIONS = (1, 2, 8, 32)
"""Those of them that were recorded."""
PASSES = (1, 4, 16)
"""How often each sample is used."""
RATES = (0.03, 0.1, 0.3, 1.0, 3.0)
"""Adam's step sizes, of logits in a table."""
MOST_PASSES = 64
REWARDS = {
    "far-peak": ("R1", "a peak far from where the reference has its mass"),
    "near-peak": ("R2", "a peak where the reference has its mass"),
    "two-hills": (Knots(TWO_HILLS).text, "a low hill near the reference, a high one far from it"),
}
"""Name → the reward as `Experiment.rewards` has it, and what it is."""
NEAR = 0.03
"""A rate that is so near to a recorded one, as a share, means that one: so near a slider comes to each."""


def samples(count: int = BUDGET) -> str:
    """So many of them, in words: `3 200 samples`."""
    return f"{count:,} samples".replace(",", " ")


@dataclasses.dataclass(frozen=True)
class Plan:
    """How a budget is spent.

    Attributes:
        method: a name of the registry, without a side.
        collections: how often samples are drawn from the policy as it is then; 1 is offline.
        inner_steps: passes over each collection.
        learning_rate: Adam's.
        budget: samples in all.

    Raises:
        ValueError: the budget cannot be spent so; the message says what was expected, what came, and what to do.
    """

    method: str
    collections: int
    inner_steps: int
    learning_rate: float
    budget: int = BUDGET

    def __post_init__(self) -> None:
        require(
            variant(self.method).method.name == self.method,
            f"a plan's method is named without a side, such as ipo, got {self.method!r}: say whose samples they are by "
            "collections, where 1 is offline",
        )
        whole("budget", self.budget, 1)
        require(
            self.budget % MINIBATCH == 0,
            f"a budget must be a multiple of a minibatch, {MINIBATCH} samples, got {self.budget}: take "
            f"{max(1, round(self.budget / MINIBATCH)) * MINIBATCH}",
        )
        most = self.budget // MINIBATCH
        fits = [str(count) for count in range(1, most + 1) if most % count == 0]
        whole("collections", self.collections, 1)
        require(
            self.collections <= most,
            f"collections must be at most {most}, as each takes {MINIBATCH} of {self.budget} samples or more, got "
            f"{self.collections}: refresh less often",
        )
        require(
            most % self.collections == 0,
            f"collections must divide {self.budget} samples into minibatches of {MINIBATCH}, got {self.collections}: "
            f"take one of {', '.join(fits)}",
        )
        whole("inner_steps", self.inner_steps, 1)
        require(
            self.inner_steps <= MOST_PASSES,
            f"inner_steps must be at most {MOST_PASSES}, got {self.inner_steps}: use each sample less often",
        )
        positive("learning_rate", self.learning_rate)

    @property
    def samples(self) -> int:
        """How many a collection has."""
        return self.budget // self.collections

    @property
    def recorded(self) -> bool:
        """Whether it is on the grid."""
        grid = ((self.method, NAMES), (self.collections, COLLECTIONS), (self.inner_steps, PASSES))
        on = all(value in values for value, values in (*grid, (self.learning_rate, RATES)))
        return on and self.budget == BUDGET

    def words(self) -> str:
        """As a caption has it."""
        drawn = "one collection, offline" if self.collections == 1 else f"{self.collections} collections"
        passes = "1 pass" if self.inner_steps == 1 else f"{self.inner_steps} passes"
        return f"{METHODS[self.method].title}, {drawn}, {passes}, rate {self.learning_rate:g}"


class Titles(MethodTitles):
    """Name → title of the grid's methods and of those of one's own, without a side."""

    @property
    def _all(self) -> tuple[str, ...]:
        return (*self._names, *own_names())

    def __getitem__(self, name: str) -> str:
        if name not in self._all:
            raise KeyError(name)
        return METHODS[name].title


def snapped(value: float, grid: Sequence[float] = RATES) -> float:
    """The number of the grid that is meant, or the value itself, if it is near to none."""
    nearest = min(grid, key=lambda each: abs(each / value - 1))
    return nearest if abs(value / nearest - 1) <= NEAR else value


def drawn_by(name: str) -> str:
    """The method's variant whose samples are the policy's own: in its first collection that is the reference."""
    return Variant(METHODS[name], on_policy=True).name


def experiment(
    plan: Plan, rewards: Sequence[str], seeds: int, first_seed: int = 0, rates: tuple[float, ...] = ()
) -> Experiment:
    """The training of a plan: a table of logits, measured after each collection.

    Args:
        plan: its method is compiled with the grid's others.
        rewards: names of `REWARDS`.
        seeds: how many.
        first_seed: the first of them.
        rates: learning rates instead of the plan's own.
    """
    return Experiment(
        methods=tuple(drawn_by(name) for name in compiled_with(plan.method, NAMES)),
        rewards=tuple(REWARDS[name][0] for name in rewards),
        seeds=seeds,
        first_seed=first_seed,
        learning_rates=rates,
        policy=PolicyConfig(kind="tabular"),
        algorithm=AlgorithmConfig(
            samples_per_collection=plan.samples,
            minibatch_size=MINIBATCH,
            inner_steps=plan.inner_steps,
            collections=plan.collections,
        ),
        evaluation=EvaluationConfig(interval=0),
        hyper=HyperParameters() if rates else HyperParameters(learning_rate=plan.learning_rate),
    )
