"""How the negative gradient is drawn: bars and the mass that flows, Lemma E.2's gauge, and the long run."""

from collections.abc import Hashable

import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import Figure, SubFigure

from modeseek.bandit.explore.negative.model import NegativeModel
from modeseek.bandit.explore.toolkit.canvas import Panel, Scene, axes_in, rectangles
from modeseek.bandit.explore.toolkit.panels import CHOSEN, OTHER, REJECTED, Curves, round_up, token_edges
from modeseek.bandit.figures.style import BLACK, BLUE, REFERENCE_BARS, VERMILLION, WIDTH


class NegativeScene(Scene):
    """Left: the policy, and what the negative term moves. Middle: the gauge. Right: the long run."""

    size = (WIDTH, 5.4)

    def panels(self, figure: Figure) -> list[Panel]:
        """Five views."""
        left, middle, right = rectangles(figure, (1.0, 1.0, 1.05), ((2.9, 2.5), (1.0,), (2.9, 2.5)))
        return [_Bars(left[0]), _Flow(left[1]), _Gauge(middle[0]), _Long(right[0], False), _Long(right[1], True)]


class _Bars(Panel):
    """Start hatched, the policy at this step a thick outline; y_w and y_l marked below."""

    def __init__(self, figure: SubFigure) -> None:
        self.figure = figure
        self._axis = axis = axes_in(figure, 0.6, 0.12, 0.3, 0.28)
        self._start = axis.stairs([0, 0], fill=True, label="start", **REFERENCE_BARS)
        self._policy = axis.stairs([0, 0], color=BLACK, linewidth=2.0, label="policy")
        (self._chosen,) = axis.plot([], [], "^", color=BLUE, ms=9, clip_on=False, label="preferred w", ls="none")
        (self._rejected,) = axis.plot([], [], "v", color=VERMILLION, ms=9, clip_on=False, label="rejected l", ls="none")
        axis.set_title("the policy", y=1.0, pad=4)
        axis.set_ylabel("probability", labelpad=2)
        axis.legend(loc="upper right", ncols=2, handlelength=1.6, columnspacing=0.8, borderaxespad=0.1)
        self.moving: list[Artist] = [self._start, self._policy, self._chosen, self._rejected]

    def key(self, model: NegativeModel) -> Hashable:
        return len(model.values.start)

    def adapt(self, model: NegativeModel) -> None:
        size = len(model.values.start)
        edges = token_edges(size)
        for stairs in (self._start, self._policy):
            stairs.set_data(np.zeros(size), edges)
        self._axis.set(xlim=(edges[0], edges[-1]), ylim=(0, 1.2), xticks=range(size), yticks=[0, 0.5, 1])

    def update(self, model: NegativeModel) -> None:
        self._start.set_data(np.asarray(model.values.start))
        self._policy.set_data(model.probs())
        self._chosen.set_data([model.values.chosen], [0.0])
        self._rejected.set_data([model.values.rejected], [0.0])


class _Signed(Panel):
    """A signed number for every response: a bar from zero, up and filled or down and hatched."""

    title, label, names = "", "", ("", "")

    def __init__(self, figure: SubFigure) -> None:
        self.figure = figure
        self._axis = axis = axes_in(figure, 0.92, 0.12, 0.42, 0.4)
        self._up = axis.stairs([0, 0], fill=True, facecolor=BLUE, edgecolor=BLACK, label=self.names[0])
        self._down = axis.stairs([0, 0], fill=True, facecolor="#F5C9B0", edgecolor=VERMILLION, hatch="\\\\\\\\")
        self._down.set_label(self.names[1])
        axis.axhline(0.0, color=BLACK, linewidth=0.8)
        (self._ring,) = axis.plot([], [], "o", ms=13, mfc="none", mec=BLACK, mew=1.6, label="w", ls="none")
        axis.set_title(self.title, y=1.0, pad=4)
        axis.set_ylabel(self.label, labelpad=2)
        axis.set_xlabel("response", labelpad=1)
        axis.legend(loc="upper right", borderaxespad=0.1, handlelength=1.6)
        self.moving: list[Artist] = [self._up, self._down, self._ring]

    def series(self, model: NegativeModel) -> np.ndarray:
        """What the panel draws at every step, `[E, K]`."""
        raise NotImplementedError

    def _scale(self, model: NegativeModel) -> float:
        return round_up(float(np.abs(self.series(model)[model.values.step]).max()))

    def key(self, model: NegativeModel) -> Hashable:
        return len(model.values.start), self._scale(model)

    def adapt(self, model: NegativeModel) -> None:
        size, scale = len(model.values.start), self._scale(model)
        edges = token_edges(size)
        for stairs in (self._up, self._down):
            stairs.set_data(np.zeros(size), edges)
        self._axis.set(xlim=(edges[0], edges[-1]), ylim=(-1.1 * scale, 1.4 * scale), xticks=range(size))
        self._axis.set_yticks([-scale, 0, scale], [f"{-scale:g}", "0", f"{scale:g}"])

    def update(self, model: NegativeModel) -> None:
        values = self.series(model)[model.values.step]
        self._up.set_data(np.maximum(values, 0.0))
        self._down.set_data(np.minimum(values, 0.0))
        self._ring.set_data([model.values.chosen], [values[model.values.chosen]])


class _Flow(_Signed):
    """What the negative term of one step adds to every probability."""

    title, label, names = "what this step's negative term moves", "change of p", ("gains", "loses")

    def series(self, model: NegativeModel) -> np.ndarray:
        return np.asarray(model.result.flow)


class _Gauge(_Signed):
    """Lemma E.2's alignment with y_l, for every response; a bar up is a negative inner product."""

    title = "Lemma E.2: −∇log p_j · ∇log p_l"
    label = "gain of log p_j per unit of η c₂"
    names = ("aligned: gains as y_l falls", "not aligned: falls with it")

    def series(self, model: NegativeModel) -> np.ndarray:
        return np.asarray(model.result.gains)


class _Long(Curves):
    """y_w, y_l and the likeliest other against the step, with the negative term or without."""

    def __init__(self, figure: SubFigure, plain: bool) -> None:
        self._run = int(plain)
        margins = (0.62, 0.15, 0.42 if plain else 0.3, 0.28)
        lines = [(style, style.line()) for style in (CHOSEN, REJECTED, OTHER)]
        super().__init__(figure, margins, lines, size=0, ends=(-0.03, 1.05))
        axes = self.axes
        axes.set_title("the long run with c₂ = 0" if plain else "the long run", y=1.0, pad=4)
        axes.set_ylabel("probability", labelpad=2)
        axes.set(ylim=self.ends, yticks=[0, 0.5, 1])
        if plain:
            axes.set_xlabel("step", labelpad=1)

    def _responses(self, model: NegativeModel) -> tuple[int, int, int]:
        return model.values.chosen, model.values.rejected, model.top_other()

    def key(self, model: NegativeModel) -> Hashable:
        return model.values.steps, self._responses(model)

    def adapt(self, model: NegativeModel) -> None:
        self.mark_every(8, model.values.steps)
        for line, name, response in zip(self.lines, ("w =", "l =", "other:"), self._responses(model), strict=True):
            line.set_label(f"{name} {response}")
        if self._run == 0:
            self.axes.legend(loc="center right", handlelength=3.0)
        self.axes.set_xlim(0, model.values.steps)

    def series(self, model: NegativeModel) -> tuple[np.ndarray, np.ndarray]:
        probs = np.exp(model.result.log_probs[self._run][:, self._responses(model)])
        return np.arange(len(probs)), probs.T
