"""The view-model of the budget: a plan, what came of it, and how that compares with the best that is known."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from modeseek.bandit.explore.budget.outcomes import Outcome, Score, Scored, grid
from modeseek.bandit.explore.budget.plan import (
    BUDGET,
    COLLECTIONS,
    MOST_PASSES,
    NAMES,
    RATES,
    REFRESHES,
    REWARDS,
    Plan,
    Titles,
    drawn_by,
    experiment,
    samples,
    snapped,
)
from modeseek.bandit.explore.toolkit.controls import Control
from modeseek.bandit.explore.toolkit.model import rows_of
from modeseek.bandit.explore.toolkit.recording import Part, Recording, parts
from modeseek.bandit.explore.toolkit.training import Drawn, TrainingModel
from modeseek.bandit.explore.toolkit.values import SteppedValues, choice, number
from modeseek.bandit.objectives.registry import METHODS
from modeseek.bandit.simulator.experiment import Experiment

OWN_SEEDS = 100
"""First seed of what is trained here: none that was seen or has scored."""
SIDES = {"offline": (1,), "refreshed": COLLECTIONS[1:]}


@dataclass(frozen=True)
class BudgetValues(SteppedValues):
    """What the explorer is set to; the presets are the rewards."""

    preset: str = choice(
        "reward",
        {name: f"{name}: {shows}" for name, (_, shows) in REWARDS.items()},
        "far-peak",
        help="What is rewarded, and how far that is from the reference.",
    )
    method: str = choice("method", Titles(NAMES), "best_of_n", help="The algorithm that trains the policy.")
    collections: str = choice(
        "collections",
        {str(k): f"{k}: {samples(BUDGET // k)} each" if k > 1 else "1: all at once, offline" for k in REFRESHES},
        "1",
        help="How often samples are drawn, each time from the policy as it is then; 1 is offline.",
    )
    inner_steps: int = number(
        "passes", 1, MOST_PASSES, 4, whole=True, help="How often each sample is used for a gradient step."
    )
    learning_rate: float = number("learning rate", 0.003, 10, 0.1, log=True, help="Adam's step size, of the logits.")
    scored: str = choice(
        "score",
        {"no": "not yet", "yes": "score my plan, show the best known"},
        "no",
        view=True,
        help="Settle on your plan first: the best that is known shows with its score.",
    )
    seeds: int = number("seeds", 1, 8, 3, whole=True, help="How many runs Train makes, each with a seed of its own.")
    first_seed: int = number(
        "first seed", 0, 9999, OWN_SEEDS, whole=True, help="The first run's seed when you train; the others follow it."
    )
    step: int = number(
        "collection", 0, COLLECTIONS[-1], 1, whole=True, view=True, help="After how many collections it is looked at."
    )


def plan_of(values: BudgetValues) -> Plan:
    """The plan that is set."""
    return Plan(values.method, int(values.collections), values.inner_steps, values.learning_rate)


class BudgetResult(NamedTuple):
    """What the drawn plan is compared with.

    Attributes:
        reference: expected reward before training.
        score: of the drawn plan; None if its training was stopped.
        most: what a policy would score that earns all there is.
        best: the best known plan.
        rivals: method → the best known offline plan of it, and the best known with fresh samples.
    """

    reference: float
    score: Score | None
    most: float
    best: Scored
    rivals: dict[str, tuple[Scored, Scored]]


class BudgetModel(TrainingModel[BudgetValues, BudgetResult]):
    """A budget of samples: which plan earns most?"""

    kind = "budget"
    title = f"Spend a budget: {samples()}"
    near = ("method", "collections", "inner_steps", "learning_rate", "scored")
    defaults = BudgetValues()

    def depends(self, control: Control) -> bool:
        """As every training model; and on the preset, which is the reward."""
        return control.name == "preset" or super().depends(control)

    def settle(self, values: BudgetValues, changed: str, before: BudgetValues) -> BudgetValues:
        """A rate next to a recorded one is that one; who looks at a plan's end looks at the new plan's end."""
        if changed == "learning_rate" and (rate := snapped(values.learning_rate)) != values.learning_rate:
            self.notes.append(f"learning rates {', '.join(f'{r:g}' for r in RATES)} are recorded: set to {rate:g}")
            values = replace(values, learning_rate=rate)
        if changed == "collections" and before.step >= int(before.collections):
            values = replace(values, step=int(values.collections))
        return values

    def recorded(self, values: BudgetValues) -> Outcome:
        """The outcome in the grid."""
        return grid().outcome(values.preset, plan_of(values))

    def look_up(self, values: BudgetValues) -> Drawn | None:
        """Trained here with these seeds, or on the grid, whose seeds are its own."""
        key = self.settings(values)
        if key not in self._trained and plan_of(values).recorded:
            return Drawn(values, self.recorded(values), settings=key)
        return self._trained.get(key)

    def experiments(self, values: BudgetValues) -> list[Experiment]:
        """The plan's training."""
        return [experiment(plan_of(values), [values.preset], values.seeds, values.first_seed)]

    def training(self, values: BudgetValues) -> Iterator[Part]:
        """Train the plan, scored by the same rule as the recorded ones, with its own seeds."""
        (asked,) = self.experiments(values)
        last: Recording | None = None
        run: Outcome | None = None
        for part in parts(asked, drawn_by(values.method)):
            if part.run is not last:
                last, run = part.run, _outcome(part.run, plan_of(values))
            yield part._replace(run=run)

    def last_step(self, run: Outcome) -> int:
        """Its last measurement."""
        return len(run.samples) - 1

    def compute(self, values: BudgetValues) -> BudgetResult:
        """The score of what is drawn, and what it is scored against."""
        reward, known = self.drawn.values.preset, grid()
        rivals = {
            name: (known.best(reward, (name,), SIDES["offline"]), known.best(reward, (name,), SIDES["refreshed"]))
            for name in NAMES
        }
        found = known.score(reward, self.run)
        return BudgetResult(known.reference(reward), found, known.most(reward), known.best(reward), rivals)

    # What the views show.

    @property
    def scored(self) -> bool:
        """Whether the reader has settled, so that the best known may be seen."""
        return self.values.scored == "yes"

    @property
    def plan(self) -> Plan:
        """The plan that is drawn."""
        return plan_of(self.drawn.values)

    def caption(self) -> str:
        """The plan in numbers, and once it is scored what the best known is."""
        run, result, at = self.run, self.result, self.values.step
        low, high = run.interval()

        def said(e: int) -> str:
            spread = f" ({low[e]:z.2f} to {high[e]:z.2f})" if np.isfinite(low[e]) else ""
            return f"{run.rewards[:, e].mean():z.2f}{spread}"

        count = len(run.seeds)
        seeds = f"mean and 95 % interval of {count} seeds" if count > 1 else "one seed, no interval"
        whose = ", trained here" * self.drawn.here
        end = f", {said(-1)} at its end" if run.whole and at < len(run.samples) - 1 else ""
        text = (
            f"{self.plan.words()}, on the {self.drawn.values.preset.replace('-', ' ')}: expected reward "
            f"{result.reference:z.2f} before training, {said(at)} after {run.samples[at]} of {BUDGET} samples{end} "
            f"({seeds}{whose})."
        )
        return f"{text} {self._verdict() if self.scored else 'Not scored yet.'}{self.of_others()}"

    def _verdict(self) -> str:
        result, best = self.result, self.result.best
        fresh, own_seeds = best.outcome.ends.size, self.run.ends.size
        if result.score is None:
            own = "No score: the budget was not spent to its end."
        else:
            whose = f"{own_seeds} fresh seeds"
            if self.drawn.here:
                whose = f"the seeds trained here, {own_seeds} where recorded plans have {fresh}"
                whose += ": a wider interval" * (own_seeds < fresh)
            own = f"Score {result.score}, the share of the way from the reference to the best known, on {whose}."
        ends = " and ".join(self.control(name).label for name in best.edges)
        edges = f" It stands at the end of the grid in {ends}; no plan could score above {result.most:z.2f}." * bool(
            ends
        )
        each = ", ".join(
            f"{METHODS[name].title} {offline.score} offline and {refreshed.score} refreshed"
            for name, (offline, refreshed) in result.rivals.items()
        )
        return (
            f"{own} Best known, chosen on other seeds than those that score: {best.plan.words()}; it ends at "
            f"{best.outcome.rewards[:, -1].mean():z.3f} on the seeds that chose it and at "
            f"{best.outcome.ends.mean():z.3f} on fresh ones, and its own score is 1 ({best.score.low:z.2f} to "
            f"{best.score.high:z.2f}).{edges} The best plans of each method: {each}."
        )

    def table(self) -> dict[str, Any]:
        """One row a seed and measurement; once it is scored, of the best known too."""
        runs = [("yours", self.run)] + [("best known", self.result.best.outcome)] * self.scored
        tables = []
        for name, run in runs:
            rows = rows_of("seed", np.asarray(run.seeds), run.samples, {"expected_reward": run.rewards})
            tables.append({"plan": np.repeat(name, rows["seed"].size), **rows})
        columns = {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}
        return {"samples" if name == "step" else name: values for name, values in columns.items()}


def _outcome(run: Recording | None, plan: Plan) -> Outcome | None:
    if run is None:
        return None
    samples, rewards = np.arange(run.done + 1) * plan.samples, run.curves["expected_reward"].astype(np.float64)
    return Outcome(run.seeds, samples, rewards, rewards[:, -1], run.whole)
