"""How the reproduction is drawn: the figure's panels as the paper has them, beside the charts of its rows."""

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from modeseek.bandit.explore.reproduce.charts import RING, Rates, Verdicts, fit_rows, forget, stored
from modeseek.bandit.explore.reproduce.model import READINGS, ReproduceModel
from modeseek.bandit.explore.toolkit.canvas import WIDTH, Panel, Scene, rectangles
from modeseek.bandit.figures.intervals import Interval, draw_intervals
from modeseek.bandit.figures.panels import LABELS, Points, draw_panel
from modeseek.bandit.figures.panels import Panel as Drawn
from modeseek.bandit.figures.style import BLACK, GREY, PURPLE, VERMILLION
from modeseek.bandit.simulator.conventions import PRESETS as CONVENTIONS
from modeseek.bandit.studies.reproduce.draw import INTERVALS, PANELS, problem_dataset
from modeseek.bandit.studies.reproduce.targets import FIG2, TARGETS, BanditTarget

SHORTER = {"R1 (peak far from the reference)": "R1 (peak far)", "R2 (peak near it)": "R2 (peak near)"}
"""Titles of panels, where there is little room."""
MOST_ROWS, MOST_COLUMNS, MOST_CURVES = 2, 3, 8
CHOSEN: dict[str, Any] = {"color": PURPLE, "linewidth": 5.0, "alpha": 0.45, "solid_capstyle": "round"}
"""What belongs to the selected row, behind its own line."""


class ReproduceScene(Scene):
    """Left the figure as the paper has it; right its verdicts, and the selected one over the grid of learning rates."""

    size = (WIDTH, 6.4)

    def panels(self, figure: Figure) -> list[Panel]:
        """Three views."""
        (left,), (above, below) = rectangles(figure, (5.2, 5.2), ((1.0,), (3.6, 2.8)))
        return [_Figure(left), Verdicts(above), Rates(below)]


class _Figure(Panel):
    """The paper's panels with our runs; the curves that the selected row compares are underlaid."""

    def __init__(self, figure: SubFigure) -> None:
        self.figure = figure
        self._axes = [figure.add_axes((0, 0, 1, 1)) for _ in range(MOST_ROWS * MOST_COLUMNS)]
        self._under = [[axes.plot([], [], **CHOSEN)[0] for _ in range(MOST_CURVES)] for axes in self._axes]
        (self._marks,) = self._axes[0].plot([], [], "o", **RING)
        self._title = figure.text(0.02, 0.985, "", va="top")
        self._drawn: list[Drawn] = []
        self._points: list[list[Points]] = []
        self._rows: list[Interval] = []
        self._legend: Any = None
        self.moving: list[Artist] = [*(line for lines in self._under for line in lines), self._marks]

    def key(self, model: ReproduceModel) -> Hashable:
        return stored(model)

    def adapt(self, model: ReproduceModel) -> None:
        target, cells = TARGETS[model.values.preset], model.result.cells
        for axes in self._axes:
            forget(axes, self.moving)
            axes.set_visible(False)
            axes.set(xscale="linear", yscale="linear")
        if self._legend is not None:
            self._legend.remove()
        self._drawn, self._points, self._rows, self._legend = [], [], [], None
        protocol = "" if not model.result.wanted else f", protocol {model.result.protocol.name}"
        # Intervals were drawn on these: ticks with words, in a size of their own, and no lines across.
        self._axes[0].tick_params(reset=True, top=False, right=False)
        self._axes[0].grid(True)
        if target in PANELS:
            self._curves(target, model)
        elif target in INTERVALS and cells:
            self._intervals(target, model)
        elif target is FIG2:
            self._problem(model)
        title = PANELS.get(target, INTERVALS.get(target, ("Figure 2: reference and rewards",)))[0]
        if model.result.wanted and not cells:
            title += "\n\nNot stored yet. Make it with\n" + f"`{model.result.command}`,\nor with --quick in minutes."
            for axes in self._axes:
                axes.set_visible(False)
            self._drawn, self._points = [], []
        head, *rest = title.split("\n\n", 1)
        conventions = str(model.values.conventions)
        reading = f"conventions {conventions} ({READINGS[conventions]}){protocol}"
        self._title.set_text("\n\n".join([f"{head}\n{reading}", *rest]))

    def _place(self, rows: int, columns: int, below: float, labelled: bool = False) -> list[Axes]:
        """So many axes, row by row, above a foot of this height, inches; `labelled`: each has a label at its left."""
        width, height = self.figure.bbox.width / 100, self.figure.bbox.height / 100
        left, inner = (0.0, 0.66) if labelled else (0.22, 0.4)
        cell = ((width - left - 0.05) / columns, (height - 0.5 - below) / rows)
        placed = []
        for i in range(rows * columns):
            row, column = divmod(i, columns)
            x, y = left + column * cell[0] + inner, below + (rows - 1 - row) * cell[1] + 0.45
            axes = self._axes[i]
            axes.set_position((x / width, y / height, (cell[0] - inner - 0.1) / width, (cell[1] - 0.72) / height))
            axes.set_visible(True)
            placed.append(axes)
        return placed

    def _curves(self, target: BanditTarget, model: ReproduceModel) -> None:
        rows = PANELS[target][1](model.result.cells)
        if not rows:
            return
        columns = max(map(len, rows))
        alike = all(LABELS[panel.y] == LABELS[row[0].y] for row in rows for panel in row)
        found: dict[str, Any] = {}
        for r, row in enumerate(rows):
            for c, panel in enumerate(row):
                axes = self._axes[r * columns + c]
                there = draw_panel(axes, panel)
                axes.set_title(SHORTER.get(panel.title, panel.title))
                if c and alike:
                    axes.set_ylabel("")
                if r + 1 < len(rows) and c < len(rows[r + 1]) and rows[r + 1][c].x == panel.x:
                    axes.set_xlabel("")
                axes.grid(True, axis="both")
                # Numbers on axes take most of a drawing's time; a logarithmic axis chooses its own.
                axes.locator_params("y" if panel.log_steps else "both", nbins=4)
                _fit(axes, panel, there)
                handles, labels = axes.get_legend_handles_labels()
                found |= dict(zip(labels, handles, strict=True))
                self._drawn.append(panel)
                self._points.append(there)
        abreast = 2 if max(map(len, found), default=0) > 12 else 4
        self._place(len(rows), columns, 0.05 + 0.19 * -(-len(found) // abreast), labelled=not alike)
        for axes in self._axes[len(self._drawn) :]:
            axes.set_visible(False)
        if found:
            self._legend = self.figure.legend(
                found.values(),
                found.keys(),
                loc="lower center",
                ncols=abreast,
                handlelength=2.6,
                columnspacing=1.2,
                borderaxespad=0.2,
            )

    def _intervals(self, target: BanditTarget, model: ReproduceModel) -> None:
        _, intervals, xlabel = INTERVALS[target]
        self._rows = [row.brief() for row in intervals(model.result.cells)]
        axes = self._axes[0]
        axes.set_visible(True)
        axes.set_title("")
        axes.set_ylabel("")
        draw_intervals(axes, self._rows, xlabel, fontsize=9.0)
        if self._rows:
            fit_rows(axes, self.figure, 0.45, 0.5)

    def _problem(self, model: ReproduceModel) -> None:
        data = problem_dataset(CONVENTIONS[model.values.conventions])
        above, below = self._place(2, 1, 0.25, labelled=True)
        probs = data["reference_probs"].values
        tokens = np.arange(probs.size)
        above.vlines(tokens, 1e-4, probs, color=GREY, linewidth=3)
        above.set(yscale="log", xlim=(-1, 100), ylim=(1e-4, 1), ylabel="probability", xlabel="token")
        above.set_yticks([0.001, 0.01, 0.1, 1], ["0.001", "0.01", "0.1", "1"])
        above.minorticks_off()
        above.set_title("reference policy")
        for name, dash, color in (("R1", "-", BLACK), ("R2", "--", VERMILLION)):
            rewards = data["token_rewards"].sel(reward=name).values
            below.plot(tokens, rewards, dash, color=color, label=f"{name}: the reference earns {probs @ rewards:z.2f}")
        below.set(xlim=(-1, 100), ylim=(0, 1.05), ylabel="reward", xlabel="token")
        below.set_title("reward of a token")
        handles, labels = below.get_legend_handles_labels()
        self._legend = self.figure.legend(handles, labels, loc="lower center", ncols=2)

    def update(self, model: ReproduceModel) -> None:
        row = model.selected()
        chosen = row.contrast.cells if row else ()
        for lines in self._under:
            for line in lines:
                line.set_data([], [])
        for lines, panel, there in zip(self._under, self._drawn, self._points, strict=False):
            under = [(x, mean) for (x, mean, _), c in zip(there, panel.curves, strict=True) if c.cell in chosen]
            for line, curve in zip(lines, under, strict=False):
                line.set_data(*curve)
        at = [len(self._rows) - 1 - i for i, each in enumerate(self._rows) if each.cell in chosen]
        self._marks.set_data([self._rows[len(self._rows) - 1 - y].value for y in at], at)


def _fit(axes: Axes, panel: Drawn, curves: Sequence[Points]) -> None:
    """Limits from the curves themselves: axes remember what was removed from them."""
    xs, ys = [], []
    for x, mean, error in curves:
        xs.append(x)
        ys += [mean - error, mean + error]
    if not xs:
        axes.text(0.5, 0.5, "not stored yet", transform=axes.transAxes, ha="center", color=GREY)
        return
    axes.set_xlim(0, 1.04 * float(np.nanmax(np.concatenate(xs))))
    if not panel.reward_axis:
        low, high = float(np.nanmin(np.concatenate(ys))), float(np.nanmax(np.concatenate(ys)))
        room = 0.06 * (high - low) or 1.0
        axes.set_ylim(low - room, high + room)
