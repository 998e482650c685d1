"""Charts of intervals: a row for each number, with what is said of it."""

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from modeseek.bandit.figures.style import BLACK, GREY, VERMILLION, new_figure, style


class Interval(NamedTuple):
    """One row of an interval chart."""

    label: str
    value: float
    low: float
    high: float
    note: str = ""
    mark: float | None = None
    """Another number to compare with: the paper's."""
    emphasis: bool = False
    cell: Hashable = None
    """Whose runs they are; drawn nowhere."""
    short: str = ""
    """Another label, for where there is little room."""
    lost: int = 0
    """Runs that diverged, which the value leaves out."""

    def brief(self) -> "Interval":
        """The row for where there is little room."""
        paper = f", paper {self.mark:.2f}" if self.mark is not None else ""
        lost = f", {self.lost} diverged" if self.lost else ""
        return self._replace(label=self.short or self.label, note=f"{self.value:z.2f}{paper}{lost}")


def intervals_figure(title: str, rows: Sequence[Interval], xlabel: str, zero: bool = False) -> Figure:
    """A row an interval: a dot, a bar from low to high, a note at the right; what is emphasised in vermillion."""
    with style():
        figure, axes = new_figure(1, 1, panel=(8.2, 0.29 * len(rows) + 1.1))
        draw_intervals(axes[0, 0], rows, xlabel, zero)
        axes[0, 0].set_title(title, fontsize=10, loc="left")
    # Notes stand outside the axes, and are wider when saved than when they were laid out.
    layout = figure.get_layout_engine()
    assert isinstance(layout, ConstrainedLayoutEngine)
    layout.set(w_pad=0.12)
    return figure


def draw_intervals(
    axes: Axes, rows: Sequence[Interval], xlabel: str, zero: bool = False, *, fontsize: float = 8.0
) -> None:
    """The rows of `intervals_figure`, the first on top, at heights `len(rows) - 1` to 0."""
    at = np.arange(len(rows))[::-1]
    finite = [v for r in rows for v in (r.low, r.high, r.value, r.mark) if v is not None and np.isfinite(v)]
    left, right = (min(finite), max(finite)) if finite else (0.0, 1.0)
    if zero:
        left, right = min(left, 0.0), max(right, 0.0)
        axes.axvline(0, color=GREY, linewidth=1)
    width = (right - left) or 1.0
    # An artist a kind of mark, not three a row: an explorer draws forty rows while somebody waits.
    emphasis = np.array([row.emphasis for row in rows], bool)
    lows = [row.low if np.isfinite(row.low) else left for row in rows]
    highs = [row.high if np.isfinite(row.high) else right for row in rows]
    axes.hlines(at, lows, highs, colors=np.where(emphasis, VERMILLION, BLACK).tolist(), linewidth=1.4)
    values = np.array([row.value for row in rows], float)
    for chosen, marker, color in ((~emphasis, "o", BLACK), (emphasis, "s", VERMILLION)):
        axes.plot(values[chosen], at[chosen], marker, color=color, markersize=5)
    marked = [(row.mark, y) for row, y in zip(rows, at, strict=True) if row.mark is not None]
    axes.plot(*np.array(marked, float).reshape(-1, 2).T, "|", color=BLACK, markersize=13, markeredgewidth=2)
    for y, row in zip(at, rows, strict=True):
        axes.text(right + 0.03 * width, y, row.note, va="center", fontsize=fontsize)
    axes.set(yticks=at, xlim=(left - 0.03 * width, right + 0.42 * width), ylim=(-0.7, len(rows) - 0.3), xlabel=xlabel)
    axes.set_yticklabels([row.label for row in rows], fontsize=fontsize)
    axes.tick_params(axis="y", left=False)
    axes.grid(axis="y", visible=False)
