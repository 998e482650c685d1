"""How likelihood displacement is drawn: the boundary, the tokens of a table, and the responses step by step."""

from collections.abc import Hashable

import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import Figure, SubFigure

from modeseek.bandit.explore.displacement.model import RESPONSES, DisplacementModel
from modeseek.bandit.explore.toolkit.canvas import Panel, Scene, axes_in, rectangles
from modeseek.bandit.explore.toolkit.panels import CHOSEN, OTHER, REJECTED, Curves, round_up, token_edges
from modeseek.bandit.figures.style import BLACK, GREEN, GREY, REFERENCE_BARS, WIDTH, LineStyle

STYLES = (CHOSEN, REJECTED, OTHER, LineStyle(GREEN, "s", (0, (5, 1.5, 1, 1.5))))


class DisplacementScene(Scene):
    """Left: on which side of the boundary. Middle: the tokens. Right: the responses, step by step."""

    size = (WIDTH, 4.6)

    def panels(self, figure: Figure) -> list[Panel]:
        """Three views."""
        (left,), (middle,), (right,) = rectangles(figure, (1.1, 0.75, 1.15), ((1.0,), (1.0,), (1.0,)))
        return [_Boundary(left), _Tokens(middle), _Responses(right)]


class _Boundary(Panel):
    """The plane of Σ(π_B - π_C) and N, divided by N Σ(π_B - π_C) = 1; the model's path as it trains."""

    def __init__(self, figure: SubFigure) -> None:
        self.figure = figure
        axis = axes_in(figure, 0.6, 0.15, 0.48, 0.3)
        across = np.linspace(1 / 60, 1.0, 200)
        axis.fill_between(across, 1 / across, 60, facecolor="#F5C9B0", edgecolor="#D9A080", hatch="\\\\", linewidth=0)
        axis.plot(across, 1 / across, color=BLACK, linestyle="--", linewidth=1.4)
        axis.set_yscale("log")
        axis.set_yticks([1, 2, 5, 10, 20, 50], ["1", "2", "5", "10", "20", "50"])
        axis.minorticks_off()
        axis.set(xlim=(-1, 1), ylim=(0.9, 60), xticks=[-1, -0.5, 0, 0.5, 1])
        axis.set_xlabel("Σ(π_B − π_C) over the prompts of a table", labelpad=1)
        axis.set_ylabel("length N", labelpad=1)
        axis.set_title("N Σ(π_B − π_C) = 1: the boundary", y=1.0, pad=4)
        axis.text(0.96, 30, "a step lowers y_w", ha="right", bbox={"facecolor": "white", "lw": 0, "pad": 1})
        axis.text(-0.95, 30, "a step raises y_w")
        (self._path,) = axis.plot([], [], color=GREY, linewidth=2.0)
        (self._first,) = axis.plot([], [], "o", ms=9, mfc="none", mec=BLACK, mew=1.5)
        (self._dot,) = axis.plot([], [], CHOSEN.marker, color=CHOSEN.color, ms=10, mec=BLACK, mew=1.0)
        self.moving: list[Artist] = [self._path, self._first, self._dot]

    def update(self, model: DisplacementModel) -> None:
        apart = model.result.tokens[:, 1] - model.result.tokens[:, 2]
        n = model.values.length
        self._path.set_data(apart, np.full(apart.shape, n))
        self._first.set_data(apart[:1], [n])
        self._dot.set_data([apart[model.values.step]], [n])


class _Tokens(Panel):
    """Mass of A, B and C now and at the start."""

    def __init__(self, figure: SubFigure) -> None:
        self.figure = figure
        axis = axes_in(figure, 0.62, 0.1, 0.48, 0.3)
        edges = token_edges(3)
        self._start = axis.stairs(np.zeros(3), edges, fill=True, label="start", **REFERENCE_BARS)
        self._now = axis.stairs(np.zeros(3), edges, color=BLACK, linewidth=2.0, label="policy")
        axis.set(xlim=(-0.5, 2.5), ylim=(0, 1.18), yticks=[0, 0.5, 1])
        axis.set_xticks(range(3), ["A\n(shared)", "B\n(in y_w)", "C\n(in y_l)"])
        axis.set_ylabel("mass, all prompts' B and C", labelpad=1)
        axis.set_title("tokens of one table", y=1.0, pad=4)
        axis.legend(loc="upper right", ncols=2, handlelength=1.6)
        self.moving: list[Artist] = [self._start, self._now]

    def update(self, model: DisplacementModel) -> None:
        self._start.set_data(model.result.tokens[0])
        self._now.set_data(model.result.tokens[model.values.step])


class _Responses(Curves):
    """Implicit reward of four responses against the step; B…BB may gain more than the axis has room for."""

    def __init__(self, figure: SubFigure) -> None:
        lines = [(s, {**s.line(), "label": n}) for s, n in zip(STYLES, RESPONSES, strict=True)]
        super().__init__(figure, (0.78, 0.12, 0.48, 0.3), lines)
        axes = self.axes
        axes.axhline(0.0, color=BLACK, linewidth=0.8)
        axes.set_xlabel("step", labelpad=1)
        axes.set_ylabel("log π − log π_ref, nats", labelpad=1)
        axes.set_title("who gains, who loses", y=1.0, pad=4)
        axes.legend(loc="lower left", handlelength=3.2)

    def _scale(self, model: DisplacementModel) -> float:
        return round_up(float(np.abs(model.result.gains[:2]).max()))

    def key(self, model: DisplacementModel) -> Hashable:
        return model.values.steps, self._scale(model)

    def adapt(self, model: DisplacementModel) -> None:
        steps, scale = model.values.steps, self._scale(model)
        self.mark_every(9, steps)
        self.ends = (-1.1 * scale, 1.1 * scale)
        self.axes.set(xlim=(0, 1.02 * steps), ylim=self.ends)

    def series(self, model: DisplacementModel) -> tuple[np.ndarray, np.ndarray]:
        return np.arange(model.result.moved.size), model.result.gains
