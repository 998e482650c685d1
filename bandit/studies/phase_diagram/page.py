"""The page on the phase diagram: every number in it is computed here from the diagram."""

from pathlib import Path

import numpy as np
import xarray

from modeseek.bandit.figures.reliability import reliability_figure
from modeseek.bandit.figures.style import save_figure
from modeseek.bandit.objectives.registry import variant
from modeseek.bandit.studies.phase_diagram.calibration import Reliability, reliability, rows_of
from modeseek.bandit.studies.phase_diagram.draw import draw_phase, label
from modeseek.bandit.studies.phase_diagram.grid import MINIBATCH, SLICES, Grid
from modeseek.bandit.studies.phase_diagram.stored import distinct_runs, grid_of, points_of, runs_of
from modeseek.bandit.studies.phase_diagram.winners import Winners, winners
from modeseek.files import replacing
from modeseek.markdown import Align, markdown_table

HEAD = """# Which method where

Place of the reward's peak against one other condition at a time: who has the highest expected reward after {steps}
gradient steps of {minibatch} responses each? {cells} cells, {methods} methods, {runs:,} runs of GPT-Nano, of which
{distinct:,} are different (an on-policy run knows no offline data, and is the same on every such row).

![Winner maps: one panel per condition, place of the peak from left to right](../figures/phase.png)

A cell has the colour and the marker of the method that won it; hatched are ties, with the markers of all that may be
the best. In every cell each method has the best of {rates} learning rates ({grid}), by {tuning} seeds that
judge nothing. All methods are then run on {first} fresh seeds; those that may still be the best go on, to {last} at
most. A method is out if some other one earns over {margin:g} more than it, by intervals of paired differences that keep
the truly best method in with {confidence:.0%} in a cell, over all comparisons and looks. Cells are judged one by one:
of a hundred cells some may have lost their best. [How it was chosen](../decisions/0088-ties-of-a-phase-diagram.md).

`modeseek phase` draws these maps, `modeseek phase --coarse` makes some of your own in ten minutes, and `modeseek
recommend` asks them about a problem of yours.
"""

HEADINGS = {
    "staleness": "Stale samples",
    "coverage": "Coverage of the offline data",
    "batch": "Samples per collection",
    "kl": "The weight of the KL",
    "width": "A narrow or a wide peak",
    "prompts": "Prompts",
}

NOTES = {
    "kl": "β acts where samples are rewarded: each earns its reward less β log π/π_ref of the policy π that drew it. "
    "Offline data are the reference's own and pay nothing, whatever β is, and all are judged by the reward alone. That "
    "offline methods come to the front where β is large says that nothing holds them back, not that they do better "
    "under a KL.",
}
"""What a reader must know of a slice."""

CALIBRATION = """
## How far the recommender is to be trusted

`modeseek recommend` says how often each method won in cells like a problem, a win shared among those that are tied.
Every row of cells was left out in turn, with the choice of all that is chosen, and predicted from the others:

{table}

Log score {score:.2f} a cell, where how often each method wins in all scores {uninformed:.2f}, and all alike
{alike:.2f}. The bars are two standard errors over rows, of which there are {rows}. What it knows is this map: a reward
of one bump, ten tokens, a network of a hundred thousand numbers. It has not seen a language model.
[How it was chosen](../decisions/0089-the-recommender.md).

![Called best with a probability, against how often it was](../figures/phase-reliability.png)
"""


def page(diagram: xarray.Dataset) -> str:
    """The page as Markdown."""
    grid, found = grid_of(diagram), winners(diagram)
    budget = grid.budget
    parts = [
        HEAD.format(
            steps=budget.steps,
            minibatch=MINIBATCH,
            cells=len(found.leader),
            methods=len(found.methods),
            runs=runs_of(diagram),
            distinct=distinct_runs(diagram),
            rates=len(budget.learning_rates),
            grid=", ".join(f"{rate:g}" for rate in budget.learning_rates),
            tuning=budget.tuning_seeds,
            first=budget.looks[0],
            last=budget.looks[-1],
            margin=budget.margin,
            confidence=1 - budget.miss,
        ),
        _who(found),
        _sides(found),
        *(_slice(name, diagram, found, grid) for name in grid.slices),
        _within(diagram, found),
        _calibration(diagram),
    ]
    return "\n".join(part for part in parts if part)


def _who(found: Winners) -> str:
    alone = found.among & ~found.tied[:, None]
    order = np.argsort(-found.shares.sum(axis=0), kind="stable")
    rows = [
        (
            variant(found.methods[m]).title,
            str(int(alone[:, m].sum())),
            str(int(found.among[:, m].sum())),
            f"{found.gap[:, m].mean():.2f}",
        )
        for m in order
    ]
    tied, equal = int(found.tied.sum()), int((found.tied & found.equal).sum())
    heads: list[tuple[str, Align]] = [
        (head, "right") for head in ("wins alone", "may be the best", "behind, on average")
    ]
    return (
        f"\n## Who wins\n\n{len(found.leader) - tied} cells have one winner, {tied} are ties, and in {equal} of these "
        "the best are known to be within the margin of each other.\n\n"
        f"{markdown_table([('method', 'left'), *heads], rows)}\n"
    )


def _sides(found: Winners) -> str:
    offline = np.asarray([not variant(name).on_policy for name in found.methods])
    negative = np.asarray([variant(name).method.negative_gradient for name in found.methods])
    lines = []
    for names, some, other in (
        ("on-policy", ~offline, "offline"),
        ("negative-gradient", negative, "other"),
    ):
        one, two = found.among[:, some].any(axis=1), found.among[:, ~some].any(axis=1)
        alone, others, both = (int(each.sum()) for each in (one & ~two, two & ~one, one & two))
        lines.append(
            f"- In {alone} of {len(found.leader)} cells only {names} methods may be the best, in {others} only {other} "
            f"ones, in {both} both."
        )
    return "\n".join(lines) + "\n"


def _slice(name: str, diagram: xarray.Dataset, found: Winners, grid: Grid) -> str:
    index = {point: i for i, point in enumerate(points_of(diagram))}
    rows = []
    for value, row in zip(grid.values(name), grid.map(name), strict=True):
        cells = [index[point] for point in row if point in index]
        if len(cells) == len(row):
            best = found.mean[cells, found.leader[cells]]
            rows.append(
                (
                    label(name, value),
                    *(_short(found, cell) for cell in cells),
                    f"{best.min():.2f} to {best.max():.2f}",
                )
            )
    if len(rows) < 2:
        return ""
    columns: list[tuple[str, Align]] = [
        (SLICES[name].title, "left"),
        *((f"peak at {c}", "left") for c in grid.centers),
        ("best reward", "right"),
    ]
    note = f"\n{NOTES[name]}\n" if name in NOTES else ""
    return f"\n### {HEADINGS[name]}\n\n{markdown_table(columns, rows)}\n{note}"


def _short(found: Winners, cell: int) -> str:
    """Who may be the best of a cell, the highest mean first; three at most by name."""
    among = sorted(np.flatnonzero(found.among[cell]), key=lambda m: -found.mean[cell, m])
    named = [
        f"{'' if variant(n).on_policy else 'offline '}{variant(n).method.title}"
        for n in (found.methods[m] for m in among[:3])
    ]
    return ", ".join(named) + (f", {len(among) - 3} more" if len(among) > 3 else "")


def _within(diagram: xarray.Dataset, found: Winners) -> str:
    other = winners(diagram, "reward_within_kl")
    budget = grid_of(diagram).budget
    apart = int((~(found.among & other.among).any(axis=1)).sum())
    order = np.argsort(-other.shares.sum(axis=0), kind="stable")[:3]
    first = ", ".join(
        f"{variant(other.methods[m]).title} {int(other.among[:, m].sum())}" for m in order if other.among[:, m].any()
    )
    return (
        f"\n## Within a KL budget\n\nBy the most reward at any measurement within {budget.kl_budget:g} nats of the "
        f"reference, at the learning rates that end highest, and by {budget.looks[0]} seeds: {int(other.tied.sum())} "
        f"of {len(other.leader)} cells are ties, and in {apart} none of those that may be the best there may be the "
        f"best at the end. Most often among the best: {first}.\n"
    )


def table_of(found: Reliability) -> str:
    """The reliability table as Markdown."""
    rows = [
        (f"{low:g} to {high:g}", str(n), f"{said:.2f}", f"{came:.2f} ± {2 * error:.2f}")
        for low, high, n, said, came, error in zip(
            found.low, found.high, found.predictions, found.said, found.came, found.error, strict=True
        )
        if n
    ]
    columns: list[tuple[str, Align]] = [
        ("called the best with", "left"),
        ("how often", "right"),
        ("on average", "right"),
        ("was the best", "right"),
    ]
    return markdown_table(columns, rows)


def _calibration(diagram: xarray.Dataset) -> str:
    if rows_of(diagram).max() < 2:
        return ""
    found = reliability(diagram, "to_best")
    alike = float(np.log(1 / found.won.shape[1]))
    return CALIBRATION.format(
        table=table_of(found), score=found.log_score, uninformed=found.uninformed, alike=alike, rows=found.rows
    )


def write_page(diagram: xarray.Dataset, docs: Path) -> list[Path]:
    """`explanation/phase.md` and its figures; returns what was written."""
    text = docs / "explanation" / "phase.md"
    with replacing(text) as temporary:
        temporary.write_text(page(diagram), encoding="utf-8")
    written = [text, *save_figure(draw_phase(diagram), docs / "figures" / "phase", ("png",))]
    if rows_of(diagram).max() >= 2:
        found = reliability(diagram, "to_best")
        drawn = reliability_figure(found.said, found.came, found.error, found.predictions)
        written += save_figure(drawn, docs / "figures" / "phase-reliability", ("png",))
    return written
