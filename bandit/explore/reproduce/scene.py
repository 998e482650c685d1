"""How the reproduction is drawn: the figure's panels, verdicts as intervals, the selected row over learning rates."""

import math
import textwrap
from collections.abc import Hashable
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from modeseek.bandit.explore.reproduce.model import READINGS, SHIFTS, ReproduceModel
from modeseek.bandit.explore.toolkit.canvas import Panel, Scene, axes_in, rectangles
from modeseek.bandit.figures.intervals import Interval, draw_intervals
from modeseek.bandit.figures.panels import Panel as Drawn
from modeseek.bandit.figures.panels import draw_panel, points
from modeseek.bandit.figures.style import BLACK, GREY, PURPLE, VERMILLION
from modeseek.bandit.simulator.conventions import PRESETS as CONVENTIONS
from modeseek.bandit.studies.chart import VERDICT_AXIS, verdict_rows
from modeseek.bandit.studies.reproduce.draw import INTERVALS, PANELS, problem_dataset
from modeseek.bandit.studies.reproduce.targets import FIG2, TARGETS, BanditTarget

MOST_ROWS, MOST_COLUMNS, MOST_CURVES = 2, 3, 8
CHOSEN: dict[str, Any] = {"color": PURPLE, "linewidth": 5.0, "alpha": 0.45, "solid_capstyle": "round"}
"""What belongs to the selected row, behind its own line."""


class ReproduceScene(Scene):
    """Left the figure as the paper has it; right its verdicts, and the selected one over the grid of learning rates."""

    size = (11.6, 6.2)

    def panels(self, figure: Figure) -> list[Panel]:
        """Three views."""
        (left,), (above, below) = rectangles(figure, (6.4, 5.6), ((1.0,), (3.9, 2.9)))
        return [_Figure(left), _Verdicts(above), _Rates(below)]


def _stored(model: ReproduceModel) -> Hashable:
    """What the pictures of a target depend on."""
    values = model.values
    rows = tuple((row.protocol, bool(row.cells)) for row in model.result.rows)
    return values.preset, values.conventions, model.result.protocol.name, tuple(model.result.cells), rows


def _forget(axes: Axes, moving: list[Artist]) -> None:
    """Take away what was drawn, but not what moves."""
    for artist in [*axes.lines, *axes.collections, *axes.texts, *axes.patches]:
        if artist not in moving:
            artist.remove()


class _Figure(Panel):
    """The paper's panels with our runs; the curves that the selected row compares are underlaid."""

    def __init__(self, figure: SubFigure) -> None:
        self.figure = figure
        self._axes = [figure.add_axes((0, 0, 1, 1)) for _ in range(MOST_ROWS * MOST_COLUMNS)]
        self._under = [[axes.plot([], [], **CHOSEN)[0] for _ in range(MOST_CURVES)] for axes in self._axes]
        (self._marks,) = self._axes[0].plot([], [], "o", ms=13, mfc="none", mec=PURPLE, mew=2.0)
        self._title = figure.text(0.02, 0.985, "", fontsize=9.5, va="top")
        self._drawn: list[Drawn] = []
        self._rows: list[Interval] = []
        self._legend: Any = None
        self.moving: list[Artist] = [*(line for lines in self._under for line in lines), self._marks]

    def key(self, model: ReproduceModel) -> Hashable:
        return _stored(model)

    def adapt(self, model: ReproduceModel) -> None:
        target, cells = TARGETS[model.values.preset], model.result.cells
        for axes in self._axes:
            _forget(axes, self.moving)
            axes.set_visible(False)
            axes.set(xscale="linear", yscale="linear")
        if self._legend is not None:
            self._legend.remove()
        self._drawn, self._rows, self._legend = [], [], None
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
            self._drawn = []
        head, *rest = title.split("\n\n", 1)
        conventions = str(model.values.conventions)
        reading = f"conventions {conventions} ({READINGS[conventions]}){protocol}"
        self._title.set_text("\n\n".join([f"{head}\n{reading}", *rest]))

    def _place(self, rows: int, columns: int) -> list[Axes]:
        width, height = self.figure.bbox.width / 100, self.figure.bbox.height / 100
        cell = ((width - 0.1) / columns, (height - 1.1) / rows)
        placed = []
        for i in range(rows * columns):
            row, column = divmod(i, columns)
            left, bottom = 0.05 + column * cell[0] + 0.55, 0.62 + (rows - 1 - row) * cell[1] + 0.45
            axes = self._axes[i]
            axes.set_position((left / width, bottom / height, (cell[0] - 0.68) / width, (cell[1] - 0.78) / height))
            axes.set_visible(True)
            placed.append(axes)
        return placed

    def _curves(self, target: BanditTarget, model: ReproduceModel) -> None:
        rows = PANELS[target][1](model.result.cells)
        if not rows:
            return
        found: dict[str, Any] = {}
        placed = self._place(len(rows), max(len(row) for row in rows))
        columns = max(len(row) for row in rows)
        for r, row in enumerate(rows):
            for c, panel in enumerate(row):
                axes = placed[r * columns + c]
                draw_panel(axes, panel)
                axes.title.set_fontsize(8.5)
                axes.grid(True, axis="both")
                # Numbers on axes take most of a drawing's time; a logarithmic axis chooses its own.
                axes.locator_params("y" if panel.log_steps else "both", nbins=4)
                _fit(axes, panel)
                handles, labels = axes.get_legend_handles_labels()
                found |= dict(zip(labels, handles, strict=True))
                self._drawn.append(panel)
        unused = placed[len(self._drawn) :] if len(rows) * columns > len(self._drawn) else []
        for axes in unused:
            axes.set_visible(False)
        if found:
            self._legend = self.figure.legend(
                found.values(),
                found.keys(),
                loc="lower center",
                ncols=min(4, len(found)),
                handlelength=2.6,
                fontsize=7.5,
                columnspacing=1.2,
            )

    def _intervals(self, target: BanditTarget, model: ReproduceModel) -> None:
        _, intervals, xlabel = INTERVALS[target]
        self._rows = intervals(model.result.cells)
        axes = self._axes[0]
        axes.set_visible(True)
        axes.set_title("")
        axes.set_ylabel("")
        draw_intervals(axes, self._rows, xlabel)
        axes.tick_params(axis="y", labelsize=7.5)
        # Labels stand left of the axis, and the longest begins inside.
        widest = max(label.get_window_extent().width for label in axes.get_yticklabels()) + 16
        left = widest / self.figure.bbox.width
        axes.set_position((left, 0.09, 0.98 - left, 0.8))

    def _problem(self, model: ReproduceModel) -> None:
        data = problem_dataset(CONVENTIONS[model.values.conventions])
        above, below = self._place(2, 1)
        probs = data["reference_probs"].values
        tokens = np.arange(probs.size)
        above.vlines(tokens, 1e-4, probs, color=GREY, linewidth=3)
        above.set(yscale="log", xlim=(-1, 100), ylim=(1e-4, 1), ylabel="probability", xlabel="token")
        above.set_title("reference policy", fontsize=8.5)
        for name, dash, color in (("R1", "-", BLACK), ("R2", "--", VERMILLION)):
            rewards = data["token_rewards"].sel(reward=name).values
            below.plot(tokens, rewards, dash, color=color, label=f"{name}: the reference earns {probs @ rewards:.2f}")
        below.set(xlim=(-1, 100), ylim=(0, 1.05), ylabel="reward", xlabel="token")
        below.set_title("reward of a token", fontsize=8.5)
        handles, labels = below.get_legend_handles_labels()
        self._legend = self.figure.legend(handles, labels, loc="lower center", ncols=2, fontsize=8)

    def update(self, model: ReproduceModel) -> None:
        row = model.selected()
        chosen = row.contrast.cells if row else ()
        drawn: list[Drawn | None] = [*self._drawn, *[None] * len(self._axes)]
        for lines, panel in zip(self._under, drawn, strict=False):
            curves = [curve for curve in panel.curves if curve.cell in chosen] if panel else []
            for line, curve in zip(lines, [*curves, *[None] * MOST_CURVES], strict=False):
                if curve is None or panel is None:
                    line.set_data([], [])
                    continue
                line.set_data(*points(curve, panel)[:2])
        at = [len(self._rows) - 1 - i for i, each in enumerate(self._rows) if each.cell in chosen]
        self._marks.set_data([self._rows[len(self._rows) - 1 - y].value for y in at], at)


def _fit(axes: Axes, panel: Drawn) -> None:
    """Limits from the curves themselves: axes remember what was removed from them."""
    xs, ys = [], []
    for curve in panel.curves:
        x, mean, error = points(curve, panel)
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


class _Verdicts(Panel):
    """Each claim's effect with its simultaneous interval; the selected one ringed."""

    def __init__(self, figure: SubFigure) -> None:
        self.figure = figure
        self._axes = axes_in(figure, 2.45, 0.1, 0.45, 0.3)
        self._axes.set_title("verdicts", y=1.0, pad=4, loc="left")
        (self._ring,) = self._axes.plot([], [], "o", ms=13, mfc="none", mec=PURPLE, mew=2.0)
        self._rows: list[Interval] = []
        self.moving: list[Artist] = [self._ring]

    def key(self, model: ReproduceModel) -> Hashable:
        return _stored(model)

    def adapt(self, model: ReproduceModel) -> None:
        _forget(self._axes, self.moving)
        self._rows = verdict_rows([row.assessment for row in model.result.rows if row.assessment])
        self._axes.set_visible(bool(self._rows))
        if self._rows:
            draw_intervals(self._axes, self._rows, "", zero=True)
            # Of more than twenty rows names and notes would stand on one another.
            small = len(self._rows) > 20
            self._axes.tick_params(axis="y", labelsize=5.5 if small else 7)
            self._make_room(5.5 if small else 7.5)
            self._axes.set_xlabel(VERDICT_AXIS, fontsize=7.5, x=0.1)

    def _make_room(self, size: float) -> None:
        """Lengthen the axis until its longest note ends inside."""
        for note in self._axes.texts:
            note.set_fontsize(size)
        share = (max(note.get_window_extent().width for note in self._axes.texts) + 8) / self._axes.bbox.width
        low, start = self._axes.get_xlim()[0], self._axes.texts[0].get_position()[0]
        self._axes.set_xlim(low, low + (start - low) / (1 - share))

    def update(self, model: ReproduceModel) -> None:
        row = model.selected()
        at = [i for i, each in enumerate(self._rows) if row and each.label == row.name]
        self._ring.set_data([self._rows[i].value for i in at], [len(self._rows) - 1 - i for i in at])


class _Rates(Panel):
    """The selected number, a dot a seed: at the tuned learning rates and at places around them on the grid."""

    def __init__(self, figure: SubFigure) -> None:
        self.figure = figure
        self._axes = axes = axes_in(figure, 0.75, 0.15, 0.45, 0.85)
        self._title = figure.text(0.02, 0.97, "", fontsize=8.5, va="top")
        self._zero = axes.axhline(0, color=GREY, linewidth=1)
        (self._tuning,) = axes.plot([], [], "o", color=BLACK, ms=4, mfc="white", label="tuning seeds")
        (self._means,) = axes.plot([], [], "-", color=BLACK, linewidth=1.0)
        (self._fresh,) = axes.plot([], [], "D", color=PURPLE, ms=5, alpha=0.7, label="fresh seeds, at the tuned rates")
        axes.set(xlim=(SHIFTS[0] - 0.5, SHIFTS[-1] + 0.5), xticks=list(SHIFTS), ylabel="selected number")
        axes.set_xticklabels(["tuned" if s == 0 else f"{s:+d}" for s in SHIFTS])
        axes.set_xlabel("places along the grid of learning rates, all cells together")
        axes.legend(fontsize=7.5, loc="upper left", bbox_to_anchor=(0.0, 1.17), ncols=2, borderaxespad=0)
        self.moving: list[Artist] = [self._means, self._tuning, self._fresh]

    def _finite(self, model: ReproduceModel) -> np.ndarray:
        values = np.concatenate([model.fresh(), *model.by_rate().values()])
        return np.asarray(values[np.isfinite(values)])

    def key(self, model: ReproduceModel) -> Hashable:
        return _stored(model), model.values.row

    def adapt(self, model: ReproduceModel) -> None:
        row, values = model.selected(), self._finite(model)
        self._axes.set_visible(values.size > 0)
        text = "Nothing is claimed about it." if row is None else row.text
        if row is not None and not values.size:
            text += " (its cells are not stored)"
        elif row is not None and row.assessment:
            text += f" — {row.assessment.word}{row.assessment.mark}"
        self._title.set_text("\n".join(textwrap.wrap(text, 78)[:3]))
        if values.size:
            low, high = min(0.0, values.min()), max(0.0, values.max())
            room = 0.08 * (high - low) or 1.0
            self._axes.set_ylim(low - room, high + room)

    def update(self, model: ReproduceModel) -> None:
        found = model.by_rate()
        x = [shift for shift, values in found.items() for _ in values]
        self._tuning.set_data(x, [v for values in found.values() for v in values])
        means = {s: float(np.mean(v[np.isfinite(v)])) if np.isfinite(v).any() else math.nan for s, v in found.items()}
        self._means.set_data(list(means), list(means.values()))
        fresh = model.fresh()
        self._fresh.set_markersize(5 if fresh.size <= 20 else 3)  # a hundred must not hide one another
        self._fresh.set_data(np.linspace(-0.2, 0.2, fresh.size) if fresh.size > 1 else np.zeros(fresh.size), fresh)
