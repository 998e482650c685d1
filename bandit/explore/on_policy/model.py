"""The view-model of the refresh question: a thousand samples, drawn in few large collections or in many small ones."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from modeseek.bandit.explore.on_policy.presets import (
    BUDGET,
    PASSES,
    PRESETS,
    SIZES,
    OnPolicyValues,
    experiment,
)
from modeseek.bandit.explore.toolkit.recording import CURVES, Part, Recording, bundled, parts
from modeseek.bandit.explore.toolkit.training import TrainingModel
from modeseek.bandit.objectives.registry import variant
from modeseek.bandit.simulator.experiment import Experiment

Row = dict[int, Recording]
"""B → its training; all of one T. While a training is under way the last ones are missing."""


def training(values: OnPolicyValues) -> Iterator[Part]:
    """Train one size of collection after the other.

    Raises:
        ValueError: the values cannot be trained with.
    """
    row: Row = {}
    for i, samples in enumerate(SIZES):
        for part in parts(experiment(values, samples), values.method):
            if part.run is not None and part.run is not row.get(samples):
                row = {**row, samples: part.run}
            yield Part((i + part.share) / len(SIZES), f"B = {samples}: {part.doing}", row or None)


class OnPolicyResult(NamedTuple):
    """Over the grid; NaN where nothing is trained. A row for each T of `PASSES`, a column for each B of `SIZES`.

    Attributes:
        reward: mean over seeds of the expected reward at the end, `[3, 4]`.
        peak: of the largest KL(policy ‖ behavior) on the way, nats a response, `[3, 4]`.
    """

    reward: np.ndarray
    peak: np.ndarray


class OnPolicyModel(TrainingModel[OnPolicyValues, OnPolicyResult]):
    """A thousand samples: how often do you refresh the policy that draws them?"""

    kind = "on_policy"
    title = "A thousand samples: how often to refresh the policy?"
    near = ("method", "samples", "inner_steps", "learning_rate")
    recorded_for = ("inner_steps",)
    defaults = OnPolicyValues()
    presets = PRESETS

    def settle(self, values: OnPolicyValues, changed: str, before: OnPolicyValues) -> OnPolicyValues:
        """Nothing else changes; what has no effect is said."""
        if changed == "clip_epsilon" and not variant(values.method).method.reads(changed):
            self.notes.append(f"ε does not enter {variant(values.method).title}: the same curves again")
        return values

    def recorded(self, values: OnPolicyValues) -> Row:
        """The bundled row of the grid."""
        return {b: bundled(f"on-policy-{values.preset}", f"B{b}T{values.inner_steps}") for b in SIZES}

    def training(self, values: OnPolicyValues) -> Iterator[Part]:
        """All sizes at the chosen T."""
        return training(values)

    def experiments(self, values: OnPolicyValues) -> list[Experiment]:
        """One a size of collection."""
        return [experiment(values, samples) for samples in SIZES]

    def last_step(self, run: Row) -> int:
        """The last evaluation of the longest curve there is."""
        return max(len(each.steps) for each in run.values()) - 1

    def compute(self, values: OnPolicyValues) -> OnPolicyResult:
        """Ends and peaks of whatever is trained or recorded with these settings."""
        reward, peak = np.full((2, len(PASSES), len(SIZES)), np.nan)
        for i, passes in enumerate(PASSES):
            found = self.look_up(replace(values, inner_steps=str(passes)))
            row = {} if found is None else found.run
            for j, samples in enumerate(SIZES):
                if samples in row and row[samples].whole:
                    reward[i, j] = row[samples].mean("expected_reward")[-1]
                    peak[i, j] = row[samples].mean("kl_to_behavior").max()
        return OnPolicyResult(reward, peak)

    # What the views show.

    @property
    def chosen_run(self) -> Recording | None:
        """The recording of the chosen B; None while it has not been reached."""
        row: Row = self.run
        return row.get(int(self.values.samples))

    def at(self, run: Recording) -> int:
        """The chosen evaluation, or the last that a run has."""
        return min(self.values.step, len(run.steps) - 1)

    def ratios(self) -> np.ndarray:
        """Importance ratios policy/behavior of the chosen B's last finished collection, logarithms in nats, `[B]`; of
        the first seed."""
        run = self.chosen_run
        if run is None or run.done == 0:
            return np.zeros(0)
        collection = min(max(-(-self.at(run) // run.evaluations), 1), run.done) - 1
        return np.asarray(run.log_ratios[collection]).ravel()

    def outside(self) -> float:
        """Share of them outside 1 ± ε."""
        ratios, epsilon = np.exp(self.ratios()), self.values.clip_epsilon
        return float((np.abs(ratios - 1) > epsilon).mean()) if ratios.size else float("nan")

    def caption(self) -> str:
        """Every B at the chosen evaluation, and the chosen B's ratios."""
        values, drawn, parts = self.values, self.drawn.values, []
        for samples, run in self.run.items():
            at = self.at(run)
            reward, error = run.mean("expected_reward")[at], run.error("expected_reward")[at]
            spread = f" ± {error:z.2f}" if len(run.seeds) > 1 else ""
            parts.append(f"B = {samples}: {reward:z.2f}{spread}, {run.mean('kl_to_behavior')[at]:z.2f} nats")
        first = next(iter(self.run.values()))
        longest = max(self.run.values(), key=lambda run: len(run.steps))
        seeds = f"{len(first.seeds)} seeds, mean ± standard error" if len(first.seeds) > 1 else "one seed"
        missing = [str(b) for b in SIZES if b not in self.run or not self.run[b].whole]
        ended = f" Not trained to the end: B = {', '.join(missing)}." if missing else ""
        ratios = self.ratios()
        shown = (
            f" B = {values.samples}, seed {first.seeds[0]}: after its last step {self.outside():.0%} of the "
            f"collection's {ratios.size} importance ratios are outside 1 ± {values.clip_epsilon:g}."
            if ratios.size
            else ""
        )
        return (
            f"{variant(drawn.method).title}, reward peak at {drawn.center:g}, {BUDGET} samples, T = "
            f"{drawn.inner_steps} passes, gradient step {longest.steps[self.at(longest)]} of "
            f"{BUDGET // 100 * int(drawn.inner_steps)} ({seeds}): expected reward and KL(policy ‖ behavior) with "
            f"{'; '.join(parts)}.{shown}{ended}{self.of_others()}"
        )

    def table(self) -> dict[str, Any]:
        """One row a size, seed and evaluation."""
        rows = [(b, i, run) for b, run in self.run.items() for i in range(len(run.seeds))]
        columns: dict[str, Any] = {
            "samples_per_collection": np.concatenate([np.full(len(run.steps), b) for b, _, run in rows]),
            "seed": np.concatenate([np.full(len(run.steps), run.seeds[i]) for _, i, run in rows]),
            "step": np.concatenate([run.steps for *_, run in rows]),
        }
        return columns | {name: np.concatenate([run.curves[name][i] for _, i, run in rows]) for name in CURVES}
