"""What a target leaves: its figure, a run card, a table of verdicts."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from modeseek.bandit.figures.style import save_figure
from modeseek.bandit.simulator.conventions import PRESETS
from modeseek.bandit.simulator.problem import ReferenceRecipe, reference_probs
from modeseek.bandit.simulator.results import save, versions
from modeseek.bandit.studies.cells import Results, rates_at_edges
from modeseek.bandit.studies.chart import verdict_figure
from modeseek.bandit.studies.contrasts import fresh_values, level
from modeseek.bandit.studies.document import deviations, note_of, numbers_table, tables
from modeseek.bandit.studies.protocol import Protocol
from modeseek.bandit.studies.reproduce import endings
from modeseek.bandit.studies.reproduce.draw import figure_of, problem_dataset
from modeseek.bandit.studies.reproduce.measures import FINAL_REWARD
from modeseek.bandit.studies.reproduce.targets import FIG2, STUDY, BanditTarget
from modeseek.files import parse_json, replacing
from modeseek.machine import processor
from modeseek.report import Report


def run_card(target: BanditTarget, protocol: Protocol, conventions: str, results: Results) -> dict[str, Any]:
    """Configuration, versions, machine and seconds of everything behind a figure."""
    return {
        "target": target.name,
        "conventions": conventions,
        "protocol": protocol.as_dict(),
        "versions_now": versions(),
        "machine_now": processor(),
        "seconds": sum(float(d.attrs["seconds"]) for d in results.values()),
        "cells": {
            cell.name: {
                "learning_rate": float(d.attrs["learning_rate"]),
                "seconds": float(d.attrs["seconds"]),
                "tuned_by": d.attrs.get("tuned_by", protocol.name),
                "created": d.attrs["created"],
                "machine": d.attrs["machine"],
                "versions": parse_json(d.attrs["versions"]),
                "experiment": parse_json(d.attrs["identity"])["experiment"],
            }
            for cell, d in results.items()
        },
    }


def write_target(
    target: BanditTarget, protocol: Protocol, conventions: str, results: Results, folder: Path, report: Report
) -> str:
    """Save a target's figures (PNG and SVG), its text and its run card into a folder; returns the text.

    The data are the cells, which are files already; of figure 2, which has none, they are saved too.

    Args:
        target: what is written.
        protocol: what the cells were run under.
        conventions: name of the preset.
        results: of all of the target's cells.
        folder: exists and is writable.
        report: figures and files are its parts; one that fails leaves the others.
    """
    note = note_of(protocol, conventions, results)
    saved: list[Path] = []
    if not results:
        save(problem_dataset(PRESETS[conventions]), folder / f"{target.name}.nc", small=True)
        saved.append(folder / f"{target.name}.nc")
    assessments = STUDY.assess(target, results)
    text = [f"# {target.name}: {target.about}", "", note, "", *deviations(target)]
    if results:
        text += [numbers_table(results, FINAL_REWARD, "expected reward at the end"), "", rates_at_edges(results), ""]
    text += [*tables(STUDY, target, results, assessments), *endings.tables(target, results)]
    card = json.dumps(run_card(target, protocol, conventions, results), indent=1)
    for name, content in ((f"{target.name}.md", "\n".join(text)), (f"{target.name}-run-card.json", card)):
        with report.part(name), replacing(folder / name) as temporary:
            temporary.write_text(content + "\n", encoding="utf-8")
            saved.append(folder / name)
    with report.part(f"the figure {target.name}"):
        saved += save_figure(figure_of(target, results, note, conventions), folder / target.name)
    with report.part(f"the figure {target.name}-verdicts"):
        if assessments:
            saved += save_figure(verdict_figure(assessments, note), folder / f"{target.name}-verdicts")
    where = ", ".join(str(path) for path in saved)
    return "\n".join([*text, alt_text(target, conventions, results), f"Saved {where}", ""])


def alt_text(target: BanditTarget, conventions: str, results: Results) -> str:
    """One computed sentence: what the picture shows."""
    if target is FIG2:
        base = PRESETS[conventions]
        likeliest = int(reference_probs(ReferenceRecipe(), base.reference_recipe, 100).argmax())
        return f"The reference policy (most likely token {likeliest}) and the rewards R1 and R2 over 100 tokens."
    ends = []
    for cell in target.cells:
        if cell not in results or cell.tuned_for_another:  # what is not drawn
            continue
        values = fresh_values(level(FINAL_REWARD, cell), results)
        finite = values[np.isfinite(values)]
        ends.append(f"{cell.name} {finite.mean():.2f}" if len(finite) else f"{cell.name} diverged")
    return f"Expected rewards at the end: {', '.join(ends)}."
