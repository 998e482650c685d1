"""The view-model of the reproduction: whichever cells of a figure are stored, and the verdicts that follow."""

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from modeseek.bandit.explore.toolkit.model import ViewModel
from modeseek.bandit.explore.toolkit.values import Values, choice, number
from modeseek.bandit.simulator.conventions import PRESETS as CONVENTIONS
from modeseek.bandit.studies.assess import Assessment
from modeseek.bandit.studies.cells import Results
from modeseek.bandit.studies.contrasts import Contrast, fresh_values, level, shifted_values
from modeseek.bandit.studies.protocol import Protocol
from modeseek.bandit.studies.reproduce.cells import BanditCell
from modeseek.bandit.studies.reproduce.measures import FINAL_REWARD
from modeseek.bandit.studies.reproduce.protocols import QUICK
from modeseek.bandit.studies.reproduce.store import STORE, read_cell
from modeseek.bandit.studies.reproduce.targets import STUDY, TARGETS
from modeseek.bandit.studies.store import cell_path
from modeseek.bandit.studies.verdicts import counted
from modeseek.files import DEFAULT_ROOT

PROTOCOLS = {
    "best": "the fullest that is stored",
    "more": "a hundred seeds",
    "whole": "twenty seeds",
    "ten": "ten seeds",
    "short": "short",
    "quick": "quick",
}
READINGS = {
    "paper": "the text, tails piled up",
    "figure2": "the text, tails discarded",
    "released_code": "released code",
}
SHIFTS = range(-3, 4)
"""Places along the grid of learning rates at which a selected row is looked at."""
MOST_ROWS = 40


class Row(NamedTuple):
    """What can be selected: a claim, or, in targets of ours that claim nothing, a cell's reward at the end.

    Attributes:
        name: of the claim or the cell.
        text: in words.
        contrast: the number, one a seed.
        assessment: of a claim.
    """

    name: str
    text: str
    contrast: Contrast
    assessment: Assessment | None


class ReproduceResult(NamedTuple):
    """What is stored of one target.

    Attributes:
        protocol: that is shown.
        wanted: its cells.
        cells: those that are there.
        rows: what can be selected.
        command: that makes what is missing.
        refused: cells that are there but of another configuration, and why.
    """

    protocol: Protocol
    wanted: tuple[BanditCell, ...]
    cells: Results
    rows: tuple[Row, ...]
    command: str
    refused: tuple[str, ...]

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of the cells that are not there."""
        return tuple(cell.name for cell in self.wanted if cell not in self.cells)


@dataclass(frozen=True)
class ReproduceValues(Values):
    """What the explorer is set to; the presets are the figures and tables."""

    preset: str = choice("target", {name: f"{name}: {target.about}" for name, target in TARGETS.items()}, "fig16")
    conventions: str = choice("conventions", READINGS, "paper")
    protocol: str = choice("protocol", PROTOCOLS, "best")
    row: int = number("claim or row", 1, MOST_ROWS, 1, whole=True, view=True)


class ReproduceModel(ViewModel[ReproduceValues, ReproduceResult]):
    """A figure or a table, its claims, and their verdicts."""

    kind = "reproduce"
    title = "What the paper claimed, what comes out"
    defaults = ReproduceValues()

    def limits(self, name: str) -> tuple[float, float]:
        """As many rows as the target has."""
        return (1.0, float(max(1, len(self.result.rows)))) if name == "row" else super().limits(name)

    def preset(self, values: ReproduceValues) -> ReproduceValues:
        """A target; one of ours is about one set of conventions."""
        return replace(values, conventions=TARGETS[values.preset].only or "paper")

    def settle(self, values: ReproduceValues, changed: str, before: ReproduceValues) -> ReproduceValues:
        """Conventions that the target is about, and a row that it has."""
        about = TARGETS[values.preset].only
        if about and values.conventions != about:
            self.notes.append(f"{values.preset} is about the conventions {about}")
            values = replace(values, conventions=about)
        rows = max(1, len(_subjects(values.preset)))
        if values.row > rows:
            self.notes.append(f"{values.preset} has {rows} rows: set to {rows}")
            values = replace(values, row=rows)
        return values

    def compute(self, values: ReproduceValues) -> ReproduceResult:
        """Read what is stored, and judge it."""
        target, name = TARGETS[values.preset], values.conventions
        every = target.fullest_first()
        wanted_name = target.default.name if values.protocol == "whole" else values.protocol
        choices = tuple(protocol for protocol in every if protocol.name == wanted_name) or every
        found = []
        for protocol in choices:
            wanted = target.cells_under(protocol)
            cells, refused = _there(wanted, name, protocol)
            found.append((protocol, wanted, cells, refused))
        # The first that is complete; of incomplete ones that which has the largest share of its cells; of nothing the
        # one that the command runs.
        order = lambda each: (len(each[2]) / max(1, len(each[1])), not each[2] and each[0] is target.default)
        protocol, wanted, cells, refused = max(found, key=order)
        flags = f"{target.name} --conventions {name}{'' if protocol is target.default else f' --{protocol.name}'}"
        claims = {a.claim.name: a for a in STUDY.assess(target, cells)}
        rows = tuple(Row(n, text, contrast, claims.get(n)) for n, text, contrast in _subjects(target.name))
        return ReproduceResult(protocol, wanted, cells, rows, f"modeseek reproduce {flags}", refused)

    def selected(self) -> Row | None:
        """The chosen claim or cell; None where a target has neither."""
        rows = self.result.rows
        return rows[self.values.row - 1] if rows else None

    def by_rate(self) -> dict[int, np.ndarray]:
        """Places along the grid → the selected number for each tuning seed, as far as cells and grid reach."""
        row, cells = self.selected(), self.result.cells
        if row is None or any(name not in cells for name in row.contrast.cells):
            return {}
        found = {shift: shifted_values(row.contrast, cells, shift) for shift in SHIFTS}
        return {shift: values for shift, values in found.items() if values is not None}

    def fresh(self) -> np.ndarray:
        """The selected number for each fresh seed; empty where a cell is missing."""
        row, cells = self.selected(), self.result.cells
        if row is None or any(name not in cells for name in row.contrast.cells):
            return np.zeros(0)
        return np.atleast_1d(fresh_values(row.contrast, cells))

    def caption(self) -> str:
        """What is stored, and the selected row in words and numbers."""
        result, target = self.result, str(self.values.preset)
        have = len(result.cells)
        most = result.protocol.most_steps
        cut = f" (at most {most} gradient steps)" if most and TARGETS[target].only is None else ""
        conventions, protocol = self.values.conventions, result.protocol.name
        text = f"{target}, conventions {conventions}, protocol {protocol}{cut}: {TARGETS[target].about} "
        if result.wanted:
            text += f"{have} of {len(result.wanted)} cells are here. "
        if result.missing:
            text += f"Missing: {_listed(result.missing)}. Make them with `{result.command}`{_hint(result)}. "
        if result.refused:
            text += f"Not read: {'; '.join(result.refused)}. "
        words: dict[str, int] = {}
        for row in result.rows:
            if row.assessment:
                word = row.assessment.word.split(",")[0]
                words[word] = words.get(word, 0) + 1
        if words:
            text += f"Of {sum(words.values())} claims {', '.join(f'{n} {word}' for word, n in words.items())}. "
        return text + self.sentence()

    def sentence(self) -> str:
        """The selected row, its number, its verdict, and how it moves with the learning rate."""
        row = self.selected()
        if row is None:
            return "The paper claims nothing about it."
        text = f"Row {self.values.row} of {len(self.result.rows)}: {row.text}"
        values = self.fresh()
        finite = values[np.isfinite(values)]
        if not values.size:
            return f"{text} Its cells are not here."
        a = row.assessment
        if a is None or a.verdict is None:
            error = finite.std(ddof=1) / np.sqrt(finite.size) if finite.size > 1 else np.nan
            mean = finite.mean() if finite.size else np.nan
            return f"{text} {mean:.3f} ± {error:.3f}; fresh seeds: {counted(finite.size, values.size - finite.size)}."
        v = a.verdict
        bounds = f"{v.low:+.3f} to {v.high:+.3f}" if np.isfinite(v.low) else "unbounded"
        return (
            f"{text} {a.word.capitalize()}: effect {v.effect:+.3f}, simultaneous 95 % interval {bounds}; fresh seeds: "
            f"{v.counted}; too small to matter is {a.claim.margin:g}. On the tuning seeds one place down the grid of "
            f"learning rates, at the tuned one and one place up: {' · '.join(a.moved_words())}."
        )

    def table(self) -> dict[str, Any]:
        """One row a claim or cell."""
        columns: dict[str, list[Any]] = {name: [] for name in ("row", "text", "effect", "low", "high", "seeds", "word")}
        for row in self.result.rows:
            there = all(name in self.result.cells for name in row.contrast.cells)
            values = np.atleast_1d(fresh_values(row.contrast, self.result.cells)) if there else np.zeros(0)
            finite = values[np.isfinite(values)]
            v = row.assessment.verdict if row.assessment else None
            mean = float(finite.mean()) if finite.size else np.nan
            entries = (
                row.name,
                row.text,
                mean,
                v.low if v else np.nan,
                v.high if v else np.nan,
                finite.size,
                row.assessment.word if row.assessment else "",
            )
            for column, entry in zip(columns.values(), entries, strict=True):
                column.append(entry)
        return columns


def _subjects(target: str) -> list[tuple[str, str, Contrast]]:
    """Name, words and number of each row of a target: its claims, or its cells."""
    claims = [(c.name, c.text, c.contrast) for c in TARGETS[target].claims]
    cells = [(c.name, f"{c.name}: expected reward at the end.", level(FINAL_REWARD, c)) for c in TARGETS[target].cells]
    return claims or cells


def _there(wanted: tuple[BanditCell, ...], conventions: str, protocol: Protocol) -> tuple[Results, tuple[str, ...]]:
    """The cells that come with the package or were made here by `modeseek reproduce`, and what could not be read."""
    cells: Results = {}
    refused = []
    made = DEFAULT_ROOT / "reproduce" / protocol.name / conventions / "cells"
    for cell in wanted:
        for folder in (STORE.folder(protocol, conventions), made):
            path = cell_path(folder, cell)
            if not path.exists():
                continue
            try:
                cells[cell] = _read(cell, conventions, protocol, folder.resolve(), path.stat().st_mtime_ns)
                break
            except ValueError as error:
                refused.append(str(error))
    return cells, tuple(refused)


@lru_cache(maxsize=512)
def _read(cell: BanditCell, conventions: str, protocol: Protocol, folder: Path, changed: int) -> xr.Dataset:
    return read_cell(cell, CONVENTIONS[conventions], protocol, folder)


def _hint(result: ReproduceResult) -> str:
    return "" if result.protocol is QUICK else ", hours, or with --quick minutes; what is made here is shown here"


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
