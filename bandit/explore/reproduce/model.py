"""The view-model of the reproduction: whichever cells of a figure are stored, and the verdicts that follow."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from modeseek.bandit.explore.reproduce.rows import Found, Row, adds, command_for, find, rows_of, subjects
from modeseek.bandit.explore.toolkit.model import ViewModel
from modeseek.bandit.explore.toolkit.values import Values, choice, number
from modeseek.bandit.studies.cells import Results
from modeseek.bandit.studies.contrasts import shifted_values
from modeseek.bandit.studies.document import trend_word
from modeseek.bandit.studies.protocol import Protocol
from modeseek.bandit.studies.reproduce.cells import BanditCell
from modeseek.bandit.studies.reproduce.protocols import QUICK
from modeseek.bandit.studies.reproduce.targets import TARGETS
from modeseek.bandit.studies.verdicts import counted

PROTOCOLS = {
    "best": "the most seeds stored, claim by claim",
    "more": "a hundred seeds (ours: twenty)",
    "whole": "twenty seeds (ours: six)",
    "ten": "ten seeds, no verdicts",
    "short": "six seeds, 500 steps, no verdicts",
    "quick": "two seeds, 200 steps, no verdicts",
}
READINGS = {
    "paper": "the text, tails piled up",
    "figure2": "the text, tails discarded",
    "released_code": "released code",
}
SHIFTS = range(-3, 4)
"""Places along the grid of learning rates at which a selected row is looked at."""
MOST_ROWS = 40


class ReproduceResult(NamedTuple):
    """What is stored of one target.

    Attributes:
        protocol: that is drawn.
        wanted: its cells.
        cells: those that are there.
        rows: what can be selected, each of the most seeds that there are.
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

    preset: str = choice(
        "target",
        {name: f"{name}: {target.about}" for name, target in TARGETS.items()},
        "fig16",
        help="Which figure or table of the paper.",
    )
    conventions: str = choice(
        "conventions",
        READINGS,
        "paper",
        help="Whose conventions the runs follow: the paper's text, or the released code.",
    )
    protocol: str = choice("protocol", PROTOCOLS, "best", help="Which seeds the verdicts rest on.")
    row: int = number(
        "claim or row", 1, MOST_ROWS, 1, whole=True, view=True, help="Which claim or row the text below tells of."
    )


class ReproduceModel(ViewModel[ReproduceValues, ReproduceResult]):
    """A figure or a table, its claims, and their verdicts."""

    kind = "reproduce"
    title = "What the paper claimed, what comes out"
    defaults = ReproduceValues()
    _of_fresh: tuple[Row, np.ndarray] | None = None
    _of_rates: tuple[Row, dict[int, np.ndarray]] | None = None

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
        rows = max(1, len(subjects(TARGETS[values.preset])))
        if values.row > rows:
            self.notes.append(f"{values.preset} has {rows} rows: set to {rows}")
            values = replace(values, row=rows)
        if changed in ("preset", "protocol") and values.protocol != "best" and not _named(values):
            self.notes.append(f"{values.preset} is not run as `{values.protocol}`: the most seeds stored are shown")
        return values

    def compute(self, values: ReproduceValues) -> ReproduceResult:
        """Read what is stored, and judge it."""
        target, name = TARGETS[values.preset], values.conventions
        found: list[Found] = []
        for protocol in _named(values) or target.fullest_first():
            if adds(target, found, protocol):  # reading takes long
                found.append(find(target, name, protocol))
        # The first that is complete; of incomplete ones that which has the largest share of its cells; of nothing the
        # one that the command runs.
        order = lambda of: (len(of.cells) / max(1, len(of.wanted)), not of.cells and of.protocol is target.default)
        drawn = max(found, key=order)
        command = command_for(target, name, drawn.protocol)
        return ReproduceResult(
            drawn.protocol, drawn.wanted, drawn.cells, rows_of(target, drawn, found), command, drawn.refused
        )

    def selected(self) -> Row | None:
        """The chosen claim or cell; None where a target has neither."""
        rows = self.result.rows
        return rows[self.values.row - 1] if rows else None

    def by_rate(self) -> dict[int, np.ndarray]:
        """Places along the grid → the selected number for each tuning seed, as far as cells and grid reach."""
        row = self.selected()
        if row is None or not row.cells:
            return {}
        if self._of_rates is None or self._of_rates[0] is not row:  # asked for several times a picture
            found = {shift: shifted_values(row.contrast, row.cells, shift) for shift in SHIFTS}
            self._of_rates = row, {shift: values for shift, values in found.items() if values is not None}
        return self._of_rates[1]

    def fresh(self) -> np.ndarray:
        """The selected number for each fresh seed; empty where a cell is missing."""
        row = self.selected()
        if row is None:
            return np.zeros(0)
        if self._of_fresh is None or self._of_fresh[0] is not row:
            self._of_fresh = row, row.fresh()
        return self._of_fresh[1]

    def caption(self) -> str:
        """What is stored, and the selected row in words and numbers."""
        result, target = self.result, str(self.values.preset)
        have = len(result.cells)
        most = result.protocol.most_steps
        cut = f" (at most {most} gradient steps)" if most and TARGETS[target].only is None else ""
        conventions, protocol = self.values.conventions, result.protocol.name
        reading = f"conventions {conventions} ({READINGS[conventions]})"
        text = f"{target}, {reading}, protocol {protocol}{cut}: {TARGETS[target].about} "
        if result.wanted:
            text += f"{have} of {len(result.wanted)} cells of this protocol are here. "
        if result.missing:
            text += f"Missing: {_listed(result.missing)}. Make them with `{result.command}`{_hint(result)}. "
        if result.refused:
            text += f"Not read: {'; '.join(result.refused)}. "
        if any(row.assessment for row in result.rows):
            text += f"{tally(result.rows)}. "
        assessments = [row.assessment for row in result.rows if row.assessment]
        for trend in TARGETS[target].trends:
            text += f"{trend.text} {trend_word(trend, assessments).capitalize()}. "
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
            target, conventions = TARGETS[self.values.preset], str(self.values.conventions)
            return f"{text} Its cells are not here: `{command_for(target, conventions, target.default)}` makes them."
        of = "" if row.protocol is self.result.protocol else f" (protocol {row.protocol.name})"
        a = row.assessment
        if a is None or a.verdict is None:
            error = finite.std(ddof=1) / np.sqrt(finite.size) if finite.size > 1 else np.nan
            mean = finite.mean() if finite.size else np.nan
            seeds = counted(finite.size, values.size - finite.size)
            return f"{text} {mean:z.3f} ± {error:z.3f}; fresh seeds: {seeds}{of}."
        v = a.verdict
        bounds = f"{v.low:+z.3f} to {v.high:+z.3f}" if np.isfinite(v.low) else "unbounded"
        return (
            f"{text} {a.word.capitalize()}: effect {v.effect:+z.3f}, simultaneous 95 % interval {bounds}; fresh seeds: "
            f"{v.counted}{of}; too small to matter is {a.claim.margin:g}. Effects on the tuning seeds one place down "
            f"the grid of learning rates, at the tuned one and one place up: {' · '.join(a.moved_words())}."
        )

    def table(self) -> dict[str, Any]:
        """One row a claim or cell."""
        names = ("row", "text", "effect", "low", "high", "seeds", "protocol", "word")
        columns: dict[str, list[Any]] = {name: [] for name in names}
        for row in self.result.rows:
            values = row.fresh()
            finite = values[np.isfinite(values)]
            v = row.assessment.verdict if row.assessment else None
            entries = (
                row.name,
                row.text,
                float(finite.mean()) if finite.size else np.nan,
                v.low if v else np.nan,
                v.high if v else np.nan,
                finite.size,
                row.protocol.name,
                row.assessment.word if row.assessment else "",
            )
            for column, entry in zip(columns.values(), entries, strict=True):
                column.append(entry)
        return columns


def tally(rows: Sequence[Row], about: str = "") -> str:
    """How many claims have which verdict; those that were not run are no verdict, and are counted last."""
    found = [row.assessment for row in rows if row.assessment]
    words = [a.word.split(",")[0] if a.verdict else "not run" for a in found]
    each = sorted(dict.fromkeys(words), key=lambda word: word == "not run")
    return f"Of {len(words)} claims{about} {', '.join(f'{words.count(word)} {word}' for word in each)}"


def _named(values: ReproduceValues) -> tuple[Protocol, ...]:
    """The protocol of the target that was asked for; none if it is not run so, or if the best was asked for."""
    target = TARGETS[values.preset]
    name = target.default.name if values.protocol == "whole" else values.protocol
    return tuple(protocol for protocol in target.fullest_first() if protocol.name == name)


def _hint(result: ReproduceResult) -> str:
    return "" if result.protocol is QUICK else ", hours, or with --quick minutes; what is made here is shown here"


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
