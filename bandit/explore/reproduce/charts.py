"""The reproduction's rows: verdicts as intervals, a page at a time, and the selected number over learning rates."""

import math
import textwrap
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import SubFigure

from modeseek.bandit.explore.reproduce.model import SHIFTS, ReproduceModel
from modeseek.bandit.explore.toolkit.canvas import DPI, Panel, axes_in
from modeseek.bandit.explore.toolkit.panels import round_up
from modeseek.bandit.figures.intervals import Interval, draw_intervals
from modeseek.bandit.figures.style import BLACK, GREY, PURPLE
from modeseek.bandit.studies.chart import VERDICT_AXIS, verdict_rows

MOST_ON_A_PAGE = 12
"""Rows of verdicts that stand below one another and can be read."""
LINE_LENGTH = 74
"""Characters in the width of the column."""
RING: dict[str, Any] = {"ms": 13, "mfc": "none", "mec": PURPLE, "mew": 2.0}
"""Around the selected row's number."""


def stored(model: ReproduceModel) -> Hashable:
    """What the pictures of a target depend on."""
    values = model.values
    rows = tuple((row.protocol.name, bool(row.cells)) for row in model.result.rows)
    cells = tuple(cell.name for cell in model.result.cells)
    return values.preset, values.conventions, model.result.protocol.name, cells, rows


def forget(axes: Axes, moving: Sequence[Artist]) -> None:
    """Take away what was drawn, but not what moves."""
    for artist in [*axes.lines, *axes.collections, *axes.texts, *axes.patches]:
        if artist not in moving:
            artist.remove()


def fit_rows(axes: Axes, figure: SubFigure, below: float, above: float) -> None:
    """Axes of intervals as wide as the figure: the longest label begins inside it, the longest note ends inside."""
    points = 72 / DPI
    width, height = points * figure.bbox.width, points * figure.bbox.height
    left = points * max(label.get_window_extent().width for label in axes.get_yticklabels()) + 12
    right = width - 6
    bottom, top = 72 * below, height - 72 * above
    axes.set_position((left / width, bottom / height, (right - left) / width, (top - bottom) / height))
    longest = points * max(note.get_window_extent().width for note in axes.texts) + 6
    low, start = axes.get_xlim()[0], axes.texts[0].get_position()[0]
    axes.set_xlim(low, low + (start - low) / (1 - longest / (right - left)))
    axes.set_xticks([tick for tick in axes.get_xticks() if low <= tick <= start])  # none below the notes


class Verdicts(Panel):
    """Each claim's effect with its simultaneous interval, a page of claims at a time; the selected one ringed."""

    def __init__(self, figure: SubFigure) -> None:
        self.figure = figure
        self._axes = axes_in(figure, 2.45, 0.1, 0.45, 0.3)
        self._title = figure.text(0.02, 0.97, "", va="top")
        (self._ring,) = self._axes.plot([], [], "o", **RING)
        self._rows: list[Interval] = []
        self.moving: list[Artist] = [self._ring]

    def _page(self, model: ReproduceModel) -> tuple[int, int]:
        """The first row and the one after the last of the page that the selected claim stands on."""
        names = [row.name for row in model.result.rows if row.assessment and row.assessment.verdict]
        pages = -(-len(names) // MOST_ON_A_PAGE)
        size = -(-len(names) // max(pages, 1))  # equally many on each
        row = model.selected()
        page = names.index(row.name) // size if row and row.name in names else 0
        return page * size, min((page + 1) * size, len(names))

    def key(self, model: ReproduceModel) -> Hashable:
        """What is stored, and the page."""
        return stored(model), self._page(model)

    def adapt(self, model: ReproduceModel) -> None:
        """Another page."""
        forget(self._axes, self.moving)
        every = verdict_rows([row.assessment for row in model.result.rows if row.assessment])
        first, end = self._page(model)
        self._rows = every[first:end]
        self._axes.set_visible(bool(every))
        self._axes.set_xscale("linear")  # with ticks of its own choice again
        self._title.set_text("")
        if every:
            # What an undecided claim needs is in the caption.
            brief = [row._replace(note=row.note.split(",")[0]) for row in self._rows]
            draw_intervals(self._axes, brief, "", zero=True, fontsize=9.0)
            fit_rows(self._axes, self.figure, 0.45, 0.3)
            self._axes.set_xlabel(VERDICT_AXIS, x=1.0, ha="right", labelpad=1)
            absent = sum(1 for row in model.result.rows if row.assessment) - len(every)
            page = f": {first + 1} to {end} of {len(every)}" if len(self._rows) < len(every) else ""
            self._title.set_text(f"verdicts{page}" + f" ({absent} more claims are not run)" * bool(absent))

    def update(self, model: ReproduceModel) -> None:
        """The ring."""
        row = model.selected()
        at = [i for i, each in enumerate(self._rows) if row and each.label == row.name]
        self._ring.set_data([self._rows[i].value for i in at], [len(self._rows) - 1 - i for i in at])


class Rates(Panel):
    """The selected number, a dot a seed: at the tuned learning rates and at places around them on the grid."""

    def __init__(self, figure: SubFigure) -> None:
        self.figure = figure
        self._axes = axes = axes_in(figure, 0.75, 0.15, 0.45, 0.8)
        self._title = figure.text(0.02, 0.98, "", va="top")
        self._zero = axes.axhline(0, color=GREY, linewidth=1)
        (self._tuning,) = axes.plot([], [], "o", color=BLACK, ms=4, mfc="white", label="tuning seeds")
        (self._means,) = axes.plot([], [], "-", color=BLACK, linewidth=1.0)
        (self._fresh,) = axes.plot([], [], "D", color=PURPLE, ms=5, alpha=0.7, label="fresh seeds, at the tuned rates")
        axes.set(xlim=(SHIFTS[0] - 0.5, SHIFTS[-1] + 0.5), xticks=list(SHIFTS), ylabel="selected number")
        axes.set_xticklabels(["tuned" if s == 0 else f"{s:+d}" for s in SHIFTS])
        axes.set_xlabel("places along the grid of learning rates, all cells together", labelpad=1)
        axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 0.98), ncols=2, borderaxespad=0)
        self.moving: list[Artist] = [self._means, self._tuning, self._fresh, self._title]

    def _ends(self, model: ReproduceModel) -> tuple[float, float] | None:
        """The axis's ends, round numbers, so that most rows have the same; None where there is nothing to show."""
        values = np.concatenate([model.fresh(), *model.by_rate().values()])
        values = values[np.isfinite(values)]
        if not values.size:
            return None
        down, up = (round_up(1.05 * far) if far > 0 else 0.0 for far in (-values.min(), values.max()))
        room = 0.04 * (down + up) or 1.0
        return -down - room, up + room

    def key(self, model: ReproduceModel) -> Hashable:
        """The ends of the axis."""
        return self._ends(model)

    def adapt(self, model: ReproduceModel) -> None:
        """Axes with these ends, or none."""
        ends = self._ends(model)
        self._axes.set_visible(ends is not None)
        if ends is not None:
            self._axes.set_ylim(ends)

    def _said(self, model: ReproduceModel) -> str:
        row = model.selected()
        text = "Nothing is claimed about it." if row is None else row.text
        if row is not None and self._ends(model) is None:
            text += " (its cells are not stored)"
        elif row is not None and row.assessment:
            text += f" — {row.assessment.word}{row.assessment.mark}"
        return "\n".join(textwrap.wrap(text, LINE_LENGTH)[:3])

    def update(self, model: ReproduceModel) -> None:
        """The row's words, and the dots."""
        self._title.set_text(self._said(model))
        found = model.by_rate()
        x = [shift for shift, values in found.items() for _ in values]
        self._tuning.set_data(x, [v for values in found.values() for v in values])
        means = {s: float(np.mean(v[np.isfinite(v)])) if np.isfinite(v).any() else math.nan for s, v in found.items()}
        self._means.set_data(list(means), list(means.values()))
        fresh = model.fresh()
        self._fresh.set_markersize(5 if fresh.size <= 20 else 3)  # a hundred must not hide one another
        self._fresh.set_data(np.linspace(-0.2, 0.2, fresh.size) if fresh.size > 1 else np.zeros(fresh.size), fresh)
