"""What a target leaves: its figure, a run card, a table of verdicts; and its chapter of docs/reproduction.md."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from modeseek.bandit.figures.style import save_figure
from modeseek.bandit.simulator.conventions import PRESETS
from modeseek.bandit.simulator.results import processor, save, versions
from modeseek.bandit.studies.assess import Assessment, assess_target, table
from modeseek.bandit.studies.contrasts import Cells, fresh_values, level
from modeseek.bandit.studies.effects import CHANGES, effects_table
from modeseek.bandit.studies.protocol import Protocol
from modeseek.bandit.studies.reproduce.draw import figure_of, problem_dataset, verdict_figure
from modeseek.bandit.studies.reproduce.running import spent
from modeseek.bandit.studies.verdicts import counted
from modeseek.files import replacing

ABOUT = {
    "fig2": "The reference policy and the two rewards.",
    "fig4": "On-policy Best-of-N with B samples a collection: the same data and gradient steps for each B.",
    "fig14": "RWR with T passes over each collection; Best-of-N and PPO beside it for the claim about reuse.",
    "fig16": "Four offline methods, 10 prompts, 100 gradient steps on the whole data set.",
    "fig18": "Implicit reward of preferred and dispreferred responses in offline IPO, by the number of prompts.",
    "fig19": "On-policy IPO, offline IPO, RWR and PPO over 1000 gradient steps.",
    "table3": "Final rewards on R1 beside the paper's. The time is for all learning rates and seeds that were run.",
    "one-token": "Responses of one token, offline (with the released conventions the prompt counts as a second one).",
    "ablation": "R1 under the released conventions, and with one difference at a time brought to the paper's text.",
    "remedies": "On-policy IPO on R1 under the paper's conventions, and what might help it.",
}

DEVIATIONS = {
    "fig2": "Its caption has R2's peak (token 20) roughly at the reference's mode. That is so of the interior, where "
    "token 17 is likeliest; token 0, which takes a tail, is likelier: 18 times under the text's recipe, 2.7 times "
    "under the released code's.",
    "fig4": "The paper names neither B nor the minibatch: B = 100, 200, 500, 1000, minibatches of 100, 100 prompts. A "
    "point of the KL is the highest since the point before.",
    "fig14": "500 gradient steps for each T (the paper: 100 collections, so fewer steps for small T); R1 alone.",
    "fig16": "The paper does not say how many prompts: 10. Each gradient step sees the whole data set.",
    "fig19": "Measured every 10 steps: where RWR passes 10 nats before the second measurement (R2), its reward within "
    "them lies on the line from the start.",
    "fig18": "The paper does not say which reward: R1. Each gradient step sees the whole data set.",
    "table3": "Ten prompts for offline IPO too, whose number the paper does not say, and 1000 gradient steps where it "
    "ran to convergence. Its hours are of other machines; ours are in benchmarks/README.md.",
    "one-token": "Offline, 10 prompts, 100 gradient steps, as figure 16.",
    "ablation": "Ours. 500 steps, three learning rates, 2 tuning seeds.",
    "remedies": "Ours. 500 steps (2000 for `longer`), three learning rates, 2 tuning seeds.",
}


def note_of(protocol: Protocol, conventions: str, cells: Cells) -> str:
    """For titles: conventions, tuning and fresh seeds, and whether this is the whole protocol."""
    if not cells:
        return conventions.replace("_", " ")
    seeds = f"{protocol.tuning_seeds} + {protocol.fresh_seeds} seeds"
    steps = {int(d["step"].values[-1]) for d in cells.values()}
    rates = f"{len(protocol.learning_rates)} learning rates, at most {max(steps, default=0)} steps"
    size = "" if protocol.most_steps is None else f"; {protocol.name.upper()}: {rates}"
    return f"{conventions.replace('_', ' ')}; {seeds}{size}"


def run_card(target: str, protocol: Protocol, conventions: str, cells: Cells) -> dict[str, Any]:
    """Configuration, versions, machine and seconds of everything behind a figure."""
    return {
        "target": target,
        "conventions": conventions,
        "protocol": protocol.as_dict(),
        "versions_now": versions(),
        "machine_now": processor(),
        "seconds": sum(float(d.attrs["seconds"]) for d in cells.values()),
        "cells": {
            name: {
                "learning_rate": float(d.attrs["learning_rate"]),
                "seconds": float(d.attrs["seconds"]),
                "tuned_by": d.attrs.get("tuned_by", protocol.name),
                "created": d.attrs["created"],
                "machine": d.attrs["machine"],
                "versions": json.loads(d.attrs["versions"]),
                "experiment": json.loads(d.attrs["identity"])["experiment"],
            }
            for name, d in cells.items()
        },
    }


def write_target(target: str, protocol: Protocol, conventions: str, cells: Cells, folder: Path) -> str:
    """Save a target's figures (PNG and SVG), its text and its run card into a folder; returns the text.

    The data are the cells, which are files already; of figure 2, which has none, they are saved too.

    Args:
        target: one of `ABOUT`.
        protocol: what the cells were run under.
        conventions: name of the preset.
        cells: all of the target's.
        folder: exists and is writable.
    """
    note = note_of(protocol, conventions, cells)
    saved = save_figure(figure_of(target, cells, note, conventions), folder / target)
    if not cells:
        save(problem_dataset(PRESETS[conventions]), folder / f"{target}.nc", small=True)
        saved.append(folder / f"{target}.nc")
    assessments = assess_target(target, cells)
    text = [f"# {target}: {ABOUT[target]}", "", note, ""]
    if target in DEVIATIONS:
        text += [f"Against the paper: {DEVIATIONS[target]}", ""]
    if cells:
        text += [numbers(cells), "", at_edges(cells), ""]
    if target in CHANGES:
        text += [effects_table(target, cells), ""]
    if assessments:
        text += [table(assessments), ""]
        saved += save_figure(verdict_figure(assessments, note), folder / f"{target}-verdicts")
    card = json.dumps(run_card(target, protocol, conventions, cells), indent=1)
    for name, content in ((f"{target}.md", "\n".join(text)), (f"{target}-run-card.json", card)):
        with replacing(folder / name) as temporary:
            temporary.write_text(content + "\n", encoding="utf-8")
        saved.append(folder / name)
    where = ", ".join(str(path) for path in saved)
    return "\n".join([*text, alt_text(target, conventions, cells), f"Saved {where}", ""])


def chapter(target: str, protocol: Protocol, conventions: str, cells: Cells, assessments: list[Assessment]) -> str:
    """One target under one set of conventions, in markdown: the figure, what deviates, the verdicts or the numbers."""
    stem = f"{protocol.name}-{conventions}-{target}"
    lines = [f"### Conventions `{conventions}`, protocol `{protocol.name}`", ""]
    lines += [f"![{alt_text(target, conventions, cells)}](reproduction/{stem}.png)", ""]
    if cells:
        machines = sorted({str(d.attrs["machine"]) for d in cells.values()})
        computed = f"{len(cells)} cells, {spent(*cells.values(), digits=0)} of computation ({'; '.join(machines)})."
        tuned_by = sorted({str(d.attrs["tuned_by"]) for d in cells.values() if "tuned_by" in d.attrs})
        if tuned_by:
            computed += f" Their learning rates were tuned by the protocol `{'`, `'.join(tuned_by)}`."
        lines += [f"{computed} {at_edges(cells)}".rstrip(), ""]
    if target in CHANGES:
        lines += [effects_table(target, cells), ""]
    if assessments:
        lines += [table(assessments), ""]
    return "\n".join(lines)


def numbers(cells: Cells) -> str:
    """Final rewards of some cells: tuned rate, mean, standard error."""
    lines = ["| cell | rate | expected reward at the end | seeds |", "|---|---:|---:|---:|"]
    for name, dataset in cells.items():
        values = fresh_values(level("final_reward", name), cells)
        finite = values[np.isfinite(values)]
        error = finite.std(ddof=1) / np.sqrt(len(finite)) if len(finite) > 1 else np.nan
        mean = finite.mean() if len(finite) else np.nan
        seeds = counted(len(finite), len(values) - len(finite))
        lines.append(f"| {name} | {dataset.attrs['learning_rate']:g} | {mean:.3f} ± {error:.3f} | {seeds} |")
    return "\n".join(lines)


def at_edges(cells: Cells) -> str:
    """A sentence on cells whose tuned rate is the first or last of the grid, where a wider one might do better."""
    named = [
        f"{name} ({d.attrs['learning_rate']:g})"
        for name, d in cells.items()
        if d.attrs["learning_rate"] in (d["learning_rate"].values.min(), d["learning_rate"].values.max())
    ]
    return f"Tuned rates at an edge of the grid: {', '.join(named)}." if named else ""


def alt_text(target: str, conventions: str, cells: Cells) -> str:
    """One computed sentence: what the picture shows."""
    if target == "fig2":
        recipe = "most likely token 0" if conventions == "paper" else "tails squashed"
        return f"The reference policy ({recipe}) and the rewards R1 and R2 over 100 tokens."
    ends = []
    for name in cells:
        values = fresh_values(level("final_reward", name), cells)
        finite = values[np.isfinite(values)]
        ends.append(f"{name} {finite.mean():.2f}" if len(finite) else f"{name} diverged")
    return f"Expected rewards at the end: {', '.join(ends)}."
