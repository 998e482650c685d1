"""What came of the plans: the recorded grid, the best plan that is known, and the score against it.

Whoever chooses sees some seeds, and a score is of others. The best known is the plan with the highest mean over the
seeds that are seen. Of hundreds of plans the winner was lucky too, so that its mean over these is too high: how far it
comes is read off fresh seeds. A reader who tries plans sees the same seeds, and is scored on the same fresh ones.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import xarray as xr

from modeseek.bandit.explore.budget.plan import COLLECTIONS, NAMES, REWARDS, Plan
from modeseek.bandit.explore.toolkit.stored import stored
from modeseek.bandit.simulator.experiment import Experiment
from modeseek.bandit.simulator.problem import token_rewards
from modeseek.bandit.studies.intervals import student
from modeseek.checks import require

AXES = ("algorithm", "collections", "inner_steps", "learning_rate")
"""Dimensions of the grid, in the order of `Plan`'s fields; not "method", which is an argument of `sel`."""


class Outcome(NamedTuple):
    """What came of a plan; S seeds that are seen, F fresh ones, E measurements with the one before training.

    Attributes:
        seeds: which are seen.
        samples: spent at each measurement, `[E]`.
        rewards: expected reward of the seeds that are seen, `[S, E]`.
        ends: where each of the seeds ends that score, `[F]`; of what is trained here they are the same seeds.
        whole: whether the budget was spent to its end.
    """

    seeds: tuple[int, ...]
    samples: np.ndarray
    rewards: np.ndarray
    ends: np.ndarray
    whole: bool

    def interval(self) -> tuple[np.ndarray, np.ndarray]:
        """Ends of the mean's 95 % interval at each measurement, Student's t; NaN with one seed, `[E]` each."""
        bounds = np.array([student(values.astype(np.float64)) for values in self.rewards.T])
        low, high = np.where(np.isfinite(bounds), bounds, np.nan).T
        return low, high


class Score(NamedTuple):
    """A share of the way from the reference's expected reward to the best known plan's, and its 95 % interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        spread = f" ({self.low:z.2f} to {self.high:z.2f})" if np.isfinite(self.low) else " (one seed: no interval)"
        return f"{self.mean:z.2f}{spread}"


def score(ends: np.ndarray, reference: float, best: float) -> Score:
    """(end - reference)/(best - reference), its mean over seeds with Student's interval.

    The ruler's two ends are held fixed; how well its upper one is known, the best plan's own interval says.

    Args:
        ends: a plan's expected reward at the end of its budget, a seed each, `[S]`.
        reference: before training.
        best: mean of the best known plan over the fresh seeds.

    Raises:
        ValueError: the best known earns no more than the reference.
    """
    require(best > reference, f"the best known must earn more than the reference, {reference:g}, got {best:g}")
    shares = (np.asarray(ends, np.float64) - reference) / (best - reference)
    return Score(float(shares.mean()), *student(shares))


class Scored(NamedTuple):
    """A plan of the grid with what came of it.

    Attributes:
        plan: the plan.
        outcome: of it.
        score: of it.
        edges: the grid's dimensions at whose end it stands, so that a better one may lie beyond.
    """

    plan: Plan
    outcome: Outcome
    score: Score
    edges: tuple[str, ...]


class Grid:
    """The recorded plans, as `bake` stores them.

    Attributes:
        data: `seen` and `curves`, ends and all on the seeds that are seen; `ends`, on the fresh ones; `reference`.
    """

    def __init__(self, data: xr.Dataset) -> None:
        self.data = data
        self._best: dict[tuple[str, tuple[str, ...], tuple[int, ...]], Scored] = {}

    def reference(self, reward: str) -> float:
        """Expected reward before training."""
        return float(self.data["reference"].sel(reward=reward))

    def outcome(self, reward: str, plan: Plan) -> Outcome:
        """What came of a plan.

        Raises:
            ValueError: it was not recorded.
        """
        require(plan.recorded, f"a recorded plan was expected, got {plan.words()}: train it")
        place = (plan.method, plan.collections, plan.inner_steps, plan.learning_rate)
        data = self.data[["seen", "ends", "curves"]].sel({"reward": reward, **dict(zip(AXES, place, strict=True))})
        curves = data["curves"].transpose("seen_seed", "collection").values[:, : plan.collections + 1]
        curves = curves.astype(np.float64)
        curves[:, 0], curves[:, -1] = self.reference(reward), data["seen"].values
        samples = np.arange(plan.collections + 1) * plan.samples
        seeds = tuple(int(seed) for seed in data["seen_seed"].values)
        return Outcome(seeds, samples, curves, data["ends"].values.astype(np.float64), True)

    def best(self, reward: str, methods: tuple[str, ...] = NAMES, collections: tuple[int, ...] = COLLECTIONS) -> Scored:
        """The best known plan, or that of some methods and numbers of collections: by the seeds that are seen."""
        key = reward, methods, collections
        if key not in self._best:
            few = self.data["seen"].sel(reward=reward, algorithm=list(methods), collections=list(collections))
            means = few.mean("seen_seed", skipna=False).transpose(*AXES)  # a run that broke is none to choose
            places = np.unravel_index(int(np.argmax(np.nan_to_num(means.values, nan=-np.inf))), means.shape)
            names, *numbers = (means[name].values[at] for name, at in zip(AXES, places, strict=True))
            plan = Plan(str(names), int(numbers[0]), int(numbers[1]), float(numbers[2]))
            ends = {name: self.data[name].values for name in AXES[1:]}
            edges = tuple(name for name, of in ends.items() if getattr(plan, name) in (of[0], of[-1]))
            outcome = self.outcome(reward, plan)
            top = outcome if (methods, collections) == (NAMES, COLLECTIONS) else self.best(reward).outcome
            scored = score(outcome.ends, self.reference(reward), float(top.ends.mean()))
            self._best[key] = Scored(plan, outcome, scored, edges)
        return self._best[key]

    def most(self, reward: str) -> float:
        """The score of a policy that earns all there is: how much a plan beyond the grid could gain."""
        ceiling = token_rewards(REWARDS[reward][0], Experiment().vocab_size).max(keepdims=True)
        return score(ceiling, self.reference(reward), float(self.best(reward).outcome.ends.mean())).mean

    def score(self, reward: str, outcome: Outcome) -> Score | None:
        """The score of an outcome, recorded or trained; None if its budget was not spent to the end."""
        if not outcome.whole:
            return None
        return score(outcome.ends, self.reference(reward), float(self.best(reward).outcome.ends.mean()))


@lru_cache(maxsize=1)
def grid() -> Grid:
    """The grid that comes with the package."""
    data = stored("budget")
    return Grid(data.assign_coords({name: data[name].values.astype(str) for name in ("algorithm", "reward")}))
