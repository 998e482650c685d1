"""The view-model of the phase diagram: who has the highest expected reward, by place of the peak and gradient steps."""

from dataclasses import dataclass, replace
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from modeseek.bandit.explore.toolkit.model import ViewModel
from modeseek.bandit.explore.toolkit.stored import stored
from modeseek.bandit.explore.toolkit.values import SteppedValues, choice, number
from modeseek.bandit.objectives.registry import variant
from modeseek.bandit.simulator.experiment import Experiment
from modeseek.bandit.studies.intervals import student

SETS = {
    "all": "all six methods",
    "offline-against-on-policy": "offline IPO against on-policy IPO",
    "best-of-n-against-ipo": "Best-of-N against on-policy IPO",
    "without-dpo": "all but DPO",
}
_OF = {
    "all": ("best_of_n", "rwr", "ppo", "ipo", "on_policy_ipo", "on_policy_dpo"),
    "offline-against-on-policy": ("ipo", "on_policy_ipo"),
    "best-of-n-against-ipo": ("best_of_n", "on_policy_ipo"),
    "without-dpo": ("best_of_n", "rwr", "ppo", "ipo", "on_policy_ipo"),
}


@cache
def recorded() -> xr.Dataset:
    """The bundled runs; `bake` says how they were made."""
    data = stored("phase")
    return data.assign_coords(reward=[int(name.split(":")[1]) for name in data["reward"].values.astype(str)])


def centers() -> tuple[int, ...]:
    """Places of the peak that were recorded."""
    return tuple(int(c) for c in recorded()["reward"].values)


class PhaseResult(NamedTuple):
    """C places of the peak, E measurements, M methods that compete.

    Attributes:
        methods: their names.
        steps: gradient steps, `[E]`.
        rewards: expected reward of each seed, `[M, C, E, S]`.
        mean: over seeds, `[M, C, E]`.
        low: of the 95 % interval of the mean over seeds, by Student's t.
        high: of the same.
        winner: index of the method with the highest mean, `[C, E]`.
        tied: whether the intervals of the best two overlap, `[C, E]`.
    """

    methods: tuple[str, ...]
    steps: np.ndarray
    rewards: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    winner: np.ndarray
    tied: np.ndarray


@dataclass(frozen=True)
class PhaseValues(SteppedValues):
    """What the explorer is set to; the presets are the sets of methods that compete."""

    preset: str = choice("methods", SETS, "all", help="Which methods compete.")
    center: int = number(
        "peak at token",
        20,
        70,
        70,
        whole=True,
        view=True,
        help="The token with the highest reward: the reference seldom samples the far ones.",
    )
    step: int = number(
        "measurement", 0, 20, 5, whole=True, view=True, help="At which evaluation the winners are taken."
    )


class PhaseModel(ViewModel[PhaseValues, PhaseResult]):
    """Which method wins, where and when?"""

    kind = "phase"
    title = "When does the winner change?"
    defaults = PhaseValues()

    def settle(self, values: PhaseValues, changed: str, before: PhaseValues) -> PhaseValues:
        """A place that was recorded: the nearest, or the next one where an arrow key asks for a little more."""
        there, asked = np.asarray(centers()), values.center
        if asked in there:
            return values
        nearest = int(there[np.abs(there - asked).argmin()])
        if nearest == before.center:
            beyond = there[there > nearest] if asked > nearest else there[there < nearest][::-1]
            nearest = int(beyond[0])
        self.notes.append(f"recorded are peaks at {', '.join(map(str, there))}: set to {nearest}")
        return replace(values, center=nearest)

    def compute(self, values: PhaseValues) -> PhaseResult:
        """Means, intervals and winners of the recorded runs."""
        methods = _OF[values.preset]
        data = recorded()["expected_reward"].sel(algorithm=list(methods))
        rewards = data.transpose("algorithm", "reward", "step", "seed").values.astype(np.float64)
        bounds = np.apply_along_axis(lambda seeds: np.asarray(student(seeds)), -1, rewards)
        mean, (low, high) = rewards.mean(-1), np.moveaxis(bounds, -1, 0)
        order = np.argsort(-mean, axis=0, kind="stable")
        first, second = order[:1], order[1:2]
        tied = np.take_along_axis(low, first, 0) <= np.take_along_axis(high, second, 0)
        return PhaseResult(methods, data["step"].values, rewards, mean, low, high, first[0], tied[0])

    @property
    def cell(self) -> tuple[int, int]:
        """Place and measurement that are chosen, as indices."""
        return centers().index(self.values.center), int(self.values.step)

    def to_open(self) -> str:
        """What shows the best method of the chosen cell in notebook 05, after **Train**, with the settings recorded."""
        c, e = self.cell
        method = self.result.methods[int(self.result.winner[c, e])]
        recording = Experiment.from_json(recorded().attrs["configuration"])
        rate = recording.method_learning_rates[recording.methods.index(method)]
        return (
            f'BanditExplorer(method="{method}", center={self.values.center}, learning_rate={rate:g}, '
            f"collections={recording.algorithm.collections}, seeds={recording.seeds}, step={e})"
        )

    def caption(self) -> str:
        """The chosen cell in numbers, who wins how much of the map, and how to open the cell."""
        result, (c, e) = self.result, self.cell
        order = np.argsort(-result.mean[:, c, e], kind="stable")
        each = ", ".join(
            f"{variant(result.methods[m]).title} {result.mean[m, c, e]:z.2f} "
            f"({result.low[m, c, e]:z.2f} to {result.high[m, c, e]:z.2f})"
            for m in order
        )
        best = variant(result.methods[order[0]]).title
        verdict = f"{best} wins" if not result.tied[c, e] else f"a tie: {best} is ahead, within the noise"
        clear = ~result.tied[:, 1:]
        shares = ", ".join(
            f"{variant(name).title} {int(((result.winner[:, 1:] == m) & clear).sum())}"
            for m, name in enumerate(result.methods)
        )
        return (
            f"Peak at token {self.values.center}, gradient step {result.steps[e]}: {verdict}. Expected reward, mean "
            f"and 95 % interval of {result.rewards.shape[-1]} seeds: {each}. A tie is where the intervals of the best "
            f"two overlap; of {clear.size} cells after the start {int((~clear).sum())} are ties, and clearly won by "
            f"{shares}. To train its best method in notebook 05: {self.to_open()}"
        )

    def table(self) -> dict[str, Any]:
        """One row a method, place and measurement."""
        result = self.result
        m, c, e = (axis.ravel() for axis in np.indices(result.mean.shape))
        return {
            "method": np.asarray(result.methods)[m],
            "center": np.asarray(centers())[c],
            "step": result.steps[e],
            "expected_reward": result.mean.ravel(),
            "low": result.low.ravel(),
            "high": result.high.ravel(),
            "wins": (result.winner[c, e] == m) & ~result.tied[c, e],
            "tied": result.tied[c, e],
        }
