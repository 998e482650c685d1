"""How the phase diagram is drawn: the map of winners, the chosen place over time, the chosen time over places."""

from collections.abc import Hashable
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import Rectangle

from modeseek.bandit.explore.phase.model import PhaseModel, centers, recorded
from modeseek.bandit.explore.toolkit.canvas import Panel, Scene, axes_in, rectangles
from modeseek.bandit.explore.toolkit.panels import REWARD_ENDS, token_edges
from modeseek.bandit.figures.methods import method_line, styles_of
from modeseek.bandit.figures.phase import draw_cells, marker_in_cell, method_key
from modeseek.bandit.figures.style import BLACK, GREY, REFERENCE_BARS, WIDTH

NAMES = ("best_of_n", "rwr", "ppo", "ipo", "on_policy_ipo", "on_policy_dpo")


class PhaseScene(Scene):
    """Left the map above the problem; right both cuts through it."""

    size = (WIDTH, 5.8)

    def panels(self, figure: Figure) -> list[Panel]:
        """Four views."""
        left, right = rectangles(figure, (5.6, 5.8), ((4.4, 2.0), (3.2, 3.2)))
        return [_Map(left[0]), _Problem(left[1]), _Cut(right[0], over_steps=True), _Cut(right[1], over_steps=False)]


class _Map(Panel):
    """The winner's colour and marker in every cell; grey and hatched where the best two are not told apart.

    In a tied cell stands the marker of the one ahead alone: there is no room for both.
    """

    def __init__(self, figure: SubFigure) -> None:
        self.figure = figure
        self._axes = axes = axes_in(figure, 0.6, 0.15, 1.0, 0.3)
        self._chosen = Rectangle((0, 0), 1, 1, fill=False, edgecolor=BLACK, linewidth=2.6)
        axes.add_patch(self._chosen)
        self._drawn: list[Artist] = []
        self._legend: Any = None
        axes.set(xlabel="gradient step", ylabel="peak of the reward, token")
        axes.set_title("who has the highest expected reward? (grey: a tie)", y=1.0, pad=4)
        axes.grid(False)
        self.moving: list[Artist] = [self._chosen]

    def key(self, model: PhaseModel) -> Hashable:
        return model.values.preset

    def adapt(self, model: PhaseModel) -> None:
        for artist in self._drawn:
            artist.remove()
        if self._legend is not None:
            self._legend.remove()
        result, axes, styles = model.result, self._axes, styles_of(list(NAMES))
        places, times = result.winner.shape
        shown = [NAMES.index(name) for name in result.methods]
        winner = np.asarray(shown)[result.winner]
        self._drawn = draw_cells(axes, winner, result.tied, NAMES)
        for m in shown:
            for tied in (False, True):
                c, e = np.nonzero((winner == m) & (result.tied == tied))
                look = marker_in_cell(NAMES[m], styles[NAMES[m]], tied=tied, size=5.5)
                self._drawn += axes.plot(e, c, **look)
        axes.set(xlim=(-0.5, times - 0.5), ylim=(-0.5, places - 0.5))
        ticks = range(0, times, 4)
        axes.set_xticks(list(ticks), [str(result.steps[i]) for i in ticks])
        axes.set_yticks(range(places), [str(c) for c in centers()])
        handles = [method_key(NAMES, m) for m in shown]
        self._legend = self.figure.legend(handles=handles, loc="lower center", ncols=3)

    def update(self, model: PhaseModel) -> None:
        c, e = model.cell
        self._chosen.set_xy((e - 0.5, c - 0.5))


class _Problem(Panel):
    """The reference, and the chosen reward."""

    def __init__(self, figure: SubFigure) -> None:
        self.figure = figure
        axes = axes_in(figure, 0.6, 0.15, 0.42, 0.25)
        reference = recorded()["reference_probs"].values
        edges = token_edges(reference.size)
        axes.stairs(
            reference / reference.max(), edges, fill=True, label="reference, its largest as 1", **REFERENCE_BARS
        )
        (self._reward,) = axes.plot([], [], color=BLACK, linewidth=1.6, label="reward of the token")
        axes.set(xlim=(edges[0], edges[-1]), ylim=(0, 1.45), yticks=[0, 1], xlabel="token")
        axes.legend(loc="upper right", ncols=2)
        self.moving: list[Artist] = [self._reward]

    def update(self, model: PhaseModel) -> None:
        rewards = recorded()["token_rewards"].sel(reward=model.values.center).values
        self._reward.set_data(np.arange(rewards.size), rewards)


class _Cut(Panel):
    """Expected reward of the competing methods along one axis of the map, and the best two's 95 % intervals."""

    def __init__(self, figure: SubFigure, *, over_steps: bool) -> None:
        self.figure, self._over_steps = figure, over_steps
        self._axes = axes = axes_in(figure, 0.6, 0.15, 0.45, 0.3)
        styles = styles_of(list(NAMES))
        self._lines = {name: axes.plot([], [], **method_line(name, styles[name]))[0] for name in NAMES}
        self._ends = {
            name: [axes.plot([], [], color=s.color, linestyle=s.dash, linewidth=0.9)[0] for _ in "ab"]
            for name, s in styles.items()
        }
        (self._now,) = axes.plot([], [], color=GREY, linewidth=1.0)
        axes.set(ylim=REWARD_ENDS, ylabel="expected reward")
        axes.set_xlabel("gradient step" if over_steps else "peak of the reward, token")
        axes.set_xlim(*((0, 1.02 * float(recorded()["step"].values[-1])) if over_steps else (18, 72)))
        if over_steps:
            self._now.set_label("95 % intervals thin")
        seeds = recorded().sizes["seed"]
        axes.set_title(f"mean of {seeds} seeds; thin: 95 % of the best two", y=1.0, pad=4)
        self._where = axes.text(0.98, 0.05, "", transform=axes.transAxes, ha="right")
        ends = [line for pair in self._ends.values() for line in pair]
        self.moving: list[Artist] = [self._now, *ends, *self._lines.values(), self._where]

    def update(self, model: PhaseModel) -> None:
        result, (c, e) = model.result, model.cell
        x = result.steps if self._over_steps else np.asarray(centers())
        at = (c, slice(None)) if self._over_steps else (slice(None), e)
        best = np.argsort(-result.mean[:, c, e], kind="stable")[:2]  # all intervals at once would hide the means
        for name in NAMES:
            there = name in result.methods
            m = result.methods.index(name) if there else 0
            self._lines[name].set_data(x if there else [], result.mean[m][at] if there else [])
            for line, bound in zip(self._ends[name], (result.low, result.high), strict=True):
                shown = there and m in best
                line.set_data(x if shown else [], bound[m][at] if shown else [])
        here = result.steps[e] if self._over_steps else model.values.center
        self._now.set_data([here, here], REWARD_ENDS)
        self._where.set_text(
            f"peak at token {model.values.center}" if self._over_steps else f"after {result.steps[e]} steps"
        )
