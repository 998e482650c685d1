"""How a budget's plan is drawn: its reward by samples spent, and where that stands on the way to the best known."""

from collections.abc import Hashable
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from modeseek.bandit.explore.budget.model import BudgetModel
from modeseek.bandit.explore.budget.outcomes import Score
from modeseek.bandit.explore.budget.plan import BUDGET, NAMES
from modeseek.bandit.explore.toolkit.canvas import Panel, Scene, axes_in, rectangles
from modeseek.bandit.explore.toolkit.panels import REWARD_ENDS, STALE, band, warning
from modeseek.bandit.figures.style import BLACK, GREY, WIDTH, method_style
from modeseek.bandit.objectives.registry import METHODS

BEST: dict[str, Any] = {
    "color": BLACK,
    "linestyle": "--",
    "linewidth": 1.4,
    "marker": "D",
    "markersize": 5,
    "markerfacecolor": "white",
}
SHARES = (-0.4, 1.15)
"""Ends of the axis of scores."""
ROWS = ("your plan", "best known", *(METHODS[name].title for name in NAMES))


class BudgetScene(Scene):
    """Left the curves, right the scores."""

    size = (WIDTH, 4.6)

    def panels(self, figure: Figure) -> list[Panel]:
        """Two views."""
        left, right = rectangles(figure, (5.4, 5.0), ((1.0,), (1.0,)))
        return [_Curves(left[0]), _Scores(right[0])]


class _Curves(Panel):
    """The plan's expected reward against samples spent with its 95 % interval; scored, the best known's too."""

    def __init__(self, figure: SubFigure) -> None:
        self.figure = figure
        self._axes = axes = axes_in(figure, 0.65, 0.15, 0.95, 0.35)
        self._band = band(axes, alpha=0.25)
        (self._reference,) = axes.plot([], [], color=GREY, linewidth=1.0, linestyle=":")
        (self._best,) = axes.plot([], [], **BEST)
        (self._line,) = axes.plot([], [])
        (self._now,) = axes.plot([], [], color=GREY, linewidth=1.0)
        (self._dot,) = axes.plot([], [], "o", ms=11, mfc="none", mec=BLACK, mew=1.3)
        axes.set(xlim=(-0.02 * BUDGET, 1.03 * BUDGET), ylim=REWARD_ENDS, ylabel="expected reward")
        axes.set_xlabel("samples spent", labelpad=1)
        self._title = axes.set_title("", y=1.0, pad=4)
        self._plan = figure.text(0.02, 0.075, "")
        self._known = figure.text(0.02, 0.02, "")
        self._warning = warning(axes, 0.5)
        self.moving: list[Artist] = [
            *(self._band, self._reference, self._now, self._best, self._line, self._dot),
            *(self._plan, self._known, self._warning),
        ]

    def key(self, model: BudgetModel) -> Hashable:
        return len(model.run.seeds)

    def adapt(self, model: BudgetModel) -> None:
        seeds = len(model.run.seeds)
        count = f"mean of {seeds} seeds, 95 % interval" if seeds > 1 else "one seed: no interval"
        self._title.set_text(f"what the plan earns ({count})")

    def update(self, model: BudgetModel) -> None:
        run, plan, style = model.run, model.plan, method_style(model.plan.method)
        mean = run.rewards.mean(axis=0)
        low, high = run.interval()
        known = np.isfinite(low)
        self._band.set_data(run.samples, np.where(known, low, mean), np.where(known, high, mean))
        self._band.set_facecolor(style.color)
        self._line.set_data(run.samples, mean)
        face = "white" if plan.collections == 1 else style.color
        self._line.set(color=style.color, marker=style.marker, linestyle=style.dash, markersize=6, linewidth=1.9)
        self._line.set(markerfacecolor=face, markeredgecolor=style.color, markevery=max(1, len(mean) // 9))
        self._reference.set_data([0, BUDGET], [model.result.reference] * 2)
        at = model.values.step
        self._dot.set_data([run.samples[at]], [mean[at]])
        self._now.set_data([run.samples[at]] * 2, REWARD_ENDS)
        best = model.result.best
        every = max(1, best.plan.collections // 8)
        shown = slice(None if model.scored else 0)
        self._best.set_data(best.outcome.samples[shown], best.outcome.rewards.mean(axis=0)[shown])
        self._best.set_markevery(every)
        self._plan.set_text(f"yours: {plan.words()}")
        self._known.set_text(f"best known, dashed: {best.plan.words()}" if model.scored else "dotted: the reference")
        stopped = "" if run.whole else "stopped before the budget was spent"
        self._warning.set_text(STALE if model.stale else stopped)


class _Scores(Panel):
    """Shares of the way to the best known: the plan, the best known, and each method's best on either side."""

    def __init__(self, figure: SubFigure) -> None:
        self.figure = figure
        axes = axes_in(figure, 1.0, 0.15, 0.95, 0.35)
        axes.grid(visible=False, axis="y")
        places = [0.0, 1.0, *(2.5 + i for i in range(len(NAMES)))]
        axes.set(xlim=SHARES, ylim=(places[-1] + 0.7, -0.7), xticks=[0, 0.5, 1])
        axes.set_yticks(places, ROWS)
        axes.tick_params(axis="y", length=0)
        axes.axhline(1.75, color=GREY, linewidth=0.8)
        for share in (0.0, 1.0):
            axes.axvline(share, color=GREY, linewidth=0.8, linestyle=":")
        axes.set_xlabel("share of the way from the reference, 0, to the best known, 1", labelpad=1)
        axes.set_title("score on fresh seeds, with its 95 % interval", y=1.0, pad=4)
        figure.text(0.02, 0.02, "open: one collection, offline · filled: fresh samples; each method's best")
        self._plan = _Mark(axes, places[0])
        self._best = _Mark(axes, places[1])
        self._rivals = [(_Mark(axes, place - 0.2), _Mark(axes, place + 0.2)) for place in places[2:]]
        self._text = axes.text(0.5, 0.0, "", ha="center", va="center")
        self._closed = axes.text(0.4, 4.9, "", ha="center", va="center")
        marks = [self._plan, self._best, *(mark for pair in self._rivals for mark in pair)]
        self.moving: list[Artist] = [
            *(artist for mark in marks for artist in (mark.line, mark.dot)),
            *(self._text, self._closed),
        ]

    def update(self, model: BudgetModel) -> None:
        result, plan, shown = model.result, model.plan, model.scored
        self._plan.show(result.score if shown else None, plan.method, offline=plan.collections == 1)
        self._best.show(result.best.score if shown else None, "", offline=False)
        for name, pair in zip(NAMES, self._rivals, strict=True):
            for mark, rival, offline in zip(pair, result.rivals[name], (True, False), strict=True):
                mark.show(rival.score if shown else None, name, offline=offline)
        self._closed.set_text("" if shown else "Not scored yet.\nSettle on a plan, then choose\n“score my plan”.")
        none = "stopped: no score" if shown and result.score is None else ""
        self._text.set_text(none)
        if shown and result.score is not None:
            left = result.score.mean > 0.4
            self._text.set(text=f"{result.score.mean:z.2f}", ha="right" if left else "left")
            ends = [end for end in result.score[1:] if np.isfinite(end)]
            edge = min([result.score.mean, *ends]) - 0.05 if left else max([result.score.mean, *ends]) + 0.05
            self._text.set_x(min(max(edge, SHARES[0] + 0.2), SHARES[1] - 0.2))


class _Mark:
    """A score on one row: a marker and its interval.

    Attributes:
        dot: the marker.
        line: the interval.
    """

    def __init__(self, axes: Axes, place: float) -> None:
        self._place = place
        (self.line,) = axes.plot([], [], linewidth=1.6)
        (self.dot,) = axes.plot([], [], linestyle="none")

    def show(self, score: Score | None, method: str, *, offline: bool) -> None:
        """Put it there, or take it away; without a method it is the best known's."""
        if score is None:
            self.dot.set_data([], [])
            self.line.set_data([], [])
            return
        style = method_style(method) if method else None
        color, marker = (style.color, style.marker) if style else (BLACK, "D")
        self.dot.set_data([np.clip(score.mean, *SHARES)], [self._place])
        self.dot.set(marker=marker, markersize=7, markeredgecolor=color, markerfacecolor="white" if offline else color)
        self.line.set_data(np.clip([score.low, score.high], *SHARES), [self._place] * 2)
        self.line.set_color(color)
