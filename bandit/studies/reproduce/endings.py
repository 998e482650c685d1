"""How runs end, seed by seed, beside the means that verdicts are about: tables under a target's verdicts."""

from collections import Counter

import numpy as np
import xarray

from modeseek.bandit.categorical.collapse import Ending, collapsed_at_the_end
from modeseek.bandit.categorical.frontier import reward_at
from modeseek.bandit.studies.aggregates import improvement, interquartile_mean_of, profile
from modeseek.bandit.studies.cells import Cell, Results, fresh_runs
from modeseek.bandit.studies.contrasts import fresh_values, level
from modeseek.bandit.studies.reproduce.measures import (
    EARLY_REWARD,
    EARLY_STEPS,
    FINAL_REWARD,
    KL_BUDGET,
    REWARD_WITHIN_BUDGET,
    reward_within,
    steps_to,
)
from modeseek.bandit.studies.reproduce.store import responses_in
from modeseek.bandit.studies.reproduce.targets import BanditTarget
from modeseek.markdown import markdown_table

HALF = 0.5
"""Expected reward whose first step is asked for."""

HIGH = 0.9
"""Expected reward at or above which a run counts as one that got there."""

BUDGETS = (2.0, 5.0, 10.0, 20.0)
"""Nats a response at which methods are compared at equal KL."""


def tables(target: BanditTarget, results: Results) -> list[str]:
    """The lines of all tables that a target has, each with an empty line behind it."""
    if not target.claims and not target.changes:
        return []
    tuned_for: dict[Cell, str] = {cell: cell.tuned_for for cell in target.cells}
    of = lambda measure: {cell: results[cell] for cell in results if tuned_for[cell] == measure.name}
    plain, within, early = of(FINAL_REWARD), of(REWARD_WITHIN_BUDGET), of(EARLY_REWARD)
    lines = [endings(plain), "", shared_cells(target, results), ""] if plain else []
    if better := improvements(target, results):
        lines += [better, ""]
    if within:
        lines += [trade_off(within), ""]
    if early:
        lines += [first_steps(early), ""]
    return lines


def endings(results: Results) -> str:
    """A row a cell: mean, interquartile mean, share that got high, first step to half, and who collapsed."""
    rows = []
    for cell, dataset in results.items():
        ends = fresh_values(level(FINAL_REWARD, cell), results)
        finite = ends[np.isfinite(ends)]
        if len(finite) < 2:
            continue
        steps = steps_to(fresh_runs(dataset)["expected_reward"], HALF).values
        reached = np.isfinite(steps)
        # The median over all runs, in which one that never gets there counts as later than any that does.
        median = float(np.median(np.where(reached, steps, np.inf)))
        rows.append(
            (
                cell.name,
                f"{dataset.attrs['learning_rate']:g}",
                f"{finite.mean():.3f} ± {finite.std(ddof=1) / np.sqrt(len(finite)):.3f}",
                str(interquartile_mean_of(finite)),
                f"{profile(finite, np.array([HIGH]))[0]:.0%}",
                f"{median:.0f}" if np.isfinite(median) else "never",
                f"{reached.sum()} of {len(steps)}",
                _collapsed(dataset),
            )
        )
    head = ("cell", "rate", "mean ± standard error", "interquartile mean (95 %)", f"≥ {HIGH:g}")
    more = (f"steps to {HALF:g}, median", "that get there", "collapsed · spread · cannot be told")
    return markdown_table([(name, "left" if name == "cell" else "right") for name in (*head, *more)], rows)


def _collapsed(dataset: xarray.Dataset) -> str:
    there = responses_in(dataset)
    if there is None:
        return "—"
    runs = fresh_runs(dataset)
    ends = collapsed_at_the_end(there, runs["expected_reward"].values, runs["kl_to_reference"].values)
    counts = [int((ends == ending).sum()) for ending in (Ending.COLLAPSED, Ending.SPREAD, Ending.UNDECIDED)]
    return " · ".join(map(str, counts))


def improvements(target: BanditTarget, results: Results) -> str:
    """For each claim that one cell ends higher than another: how likely a run of it does; empty if there is none."""
    rows = []
    for claim in target.claims:
        terms = claim.contrast.terms
        if claim.contrast.constant or [t.coefficient for t in terms] != [1.0, -1.0] or terms[0].measure != FINAL_REWARD:
            continue
        if all(term.cell in results for term in terms):
            ends = [fresh_values(level(FINAL_REWARD, term.cell), results) for term in terms]
            better, worse = (values[np.isfinite(values)] for values in ends)
            if len(better) > 1 and len(worse) > 1:
                rows.append((terms[0].cell.name, terms[1].cell.name, str(improvement(better, worse))))
    if not rows:
        return ""
    title = "probability that a run of the first ends higher (95 %)"
    return markdown_table((("cell", "left"), ("against", "left"), (title, "right")), rows)


def shared_cells(target: BanditTarget, results: Results) -> str:
    """A sentence: cells that more than one claim or change of a target rests on, so that their verdicts fall together.

    Args:
        target: whose claims and changes; with none of either there is nothing to say.
        results: those whose cells are not there are not counted.
    """
    judged = [claim.contrast.cells for claim in target.claims]
    judged += [(change.changed, change.plain) for change in target.changes]
    if not judged:
        return ""
    counts = Counter(cell.name for cells in judged for cell in cells if cell in results)
    shared = [(name, count) for name, count in counts.most_common() if count > 1]
    if not shared:
        return "No two verdicts share a cell."
    named = ", ".join(f"{name} ({count})" for name, count in shared)
    return f"Verdicts that share a cell are not independent: {named}."


def trade_off(results: Results) -> str:
    """A row a cell that is tuned for the trade-off: its best reward within each budget, beside the most there is."""
    rows = []
    for cell, dataset in results.items():
        there = responses_in(dataset)
        entries = []
        for nats in BUDGETS:
            values = reward_within(fresh_runs(dataset), nats).values
            finite = values[np.isfinite(values)]
            error = finite.std(ddof=1) / np.sqrt(len(finite))
            most = "" if there is None else f" of {float(reward_at(there, nats)):.3f}"
            entries.append(f"{finite.mean():.3f} ± {error:.3f}{most}")
        rows.append((cell.name, f"{dataset.attrs['learning_rate']:g}", *entries))
    columns = (f"cell, its rate best within {KL_BUDGET:g} nats", "rate", *(f"{b:g} nats" for b in BUDGETS))
    return markdown_table([(name, "right" if i else "left") for i, name in enumerate(columns)], rows)


def first_steps(results: Results) -> str:
    """A row a cell that is tuned for its first gradient steps: its mean reward over these."""
    rows = []
    for cell, dataset in results.items():
        values = fresh_values(level(EARLY_REWARD, cell), results)
        finite = values[np.isfinite(values)]
        error = finite.std(ddof=1) / np.sqrt(len(finite))
        rows.append((cell.name, f"{dataset.attrs['learning_rate']:g}", f"{finite.mean():.3f} ± {error:.3f}"))
    title = f"mean reward of the first {EARLY_STEPS} steps ± standard error"
    columns = (f"cell, its rate best for {EARLY_STEPS} steps", "rate", title)
    return markdown_table([(name, "right" if i else "left") for i, name in enumerate(columns)], rows)
