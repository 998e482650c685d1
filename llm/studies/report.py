"""What a target leaves: its figure, a run card, a table of verdicts."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from modeseek.bandit.figures.style import save_figure
from modeseek.bandit.simulator.results import versions
from modeseek.bandit.studies.cells import Results, rates_at_edges
from modeseek.bandit.studies.chart import verdict_figure
from modeseek.bandit.studies.contrasts import fresh_values, level
from modeseek.bandit.studies.document import deviations, note_of, numbers_table, tables
from modeseek.files import parse_json, replacing
from modeseek.llm.studies.draw import figure_of
from modeseek.llm.studies.lengths import lengths_figure, read_lengths
from modeseek.llm.studies.measures import FINAL_LENGTH
from modeseek.llm.studies.scales import Scale
from modeseek.llm.studies.targets import FIG3, STUDY, LanguageTarget
from modeseek.machine import processor
from modeseek.report import Report


def run_card(target: LanguageTarget, scale: Scale, results: Results) -> dict[str, Any]:
    """Configuration, versions, machine and seconds of everything behind a figure."""
    return {
        "target": target.name,
        "scale": scale.name,
        "protocol": scale.protocol.as_dict(),
        "versions_now": versions(),
        "machine_now": processor(),
        "seconds": sum(float(d.attrs["seconds"]) for d in results.values()),
        "cells": {
            cell.name: {
                **{name: float(d.attrs[name]) for name in ("learning_rate", "seconds")},
                **{name: d.attrs[name] for name in ("created", "machine")},
                **{name: parse_json(d.attrs[name], name) for name in ("versions", "configuration")},
            }
            for cell, d in results.items()
        },
    }


def picture_of(target: LanguageTarget, results: Results, note: str, folder: Path) -> Figure:
    """Any target's figure.

    Args:
        target: which.
        results: of its cells.
        note: for its title.
        folder: of the cells, and of figure 3's data.
    """
    return lengths_figure(read_lengths(folder), note) if target is FIG3 else figure_of(target, results, note)


def write_target(
    target: LanguageTarget, scale: Scale, results: Results, cells: Path, folder: Path, report: Report
) -> str:
    """Save a target's figures (PNG and SVG), its text and its run card into a folder; returns the text.

    Args:
        target: what is written.
        scale: of its cells.
        results: of all of them.
        cells: the folder that they are in.
        folder: exists and is writable.
        report: figures and files are its parts; one that fails leaves the others.
    """
    note = note_of(scale.protocol, scale.name, results)
    saved: list[Path] = []
    assessments = STUDY.assess(target, results)
    text = [f"# {target.name}: {target.about}", "", note, "", *deviations(target)]
    if results:
        text += [numbers_table(results, FINAL_LENGTH, "length at the end, tokens"), "", rates_at_edges(results), ""]
    text += tables(STUDY, target, results, assessments)
    card = json.dumps(run_card(target, scale, results), indent=1)
    for name, content in ((f"{target.name}.md", "\n".join(text)), (f"{target.name}-run-card.json", card)):
        with report.part(name), replacing(folder / name) as temporary:
            temporary.write_text(content + "\n", encoding="utf-8")
            saved.append(folder / name)
    with report.part(f"the figure {target.name}"):
        saved += save_figure(picture_of(target, results, note, cells), folder / target.name)
    with report.part(f"the figure {target.name}-verdicts"):
        if any(a.verdict for a in assessments):
            saved += save_figure(verdict_figure(assessments, note), folder / f"{target.name}-verdicts")
    where = ", ".join(str(path) for path in saved)
    return "\n".join([*text, alt_text(target, results), f"Saved {where}", ""])


def alt_text(target: LanguageTarget, results: Results) -> str:
    """One computed sentence: what the picture shows."""
    if target is FIG3:
        return "Shares of preferred and dispreferred responses by length, Min and Skew Length."
    ends = []
    for cell in results:
        values = fresh_values(level(FINAL_LENGTH, cell), results)
        finite = values[np.isfinite(values)]
        ends.append(f"{cell.name} {finite.mean():.1f}" if len(finite) else f"{cell.name} diverged")
    return f"Tokens of a response at the end: {', '.join(ends)}."
