"""How three answers are drawn: the simplex, the closed form, and mass and true reward step by step."""

from collections.abc import Hashable

import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import Figure, SubFigure

from modeseek.bandit.explore.out_of_distribution.model import LARGEST, METHODS, OutOfDistributionModel
from modeseek.bandit.explore.toolkit.canvas import Panel, Scene, axes_in, rectangles
from modeseek.bandit.explore.toolkit.panels import Curves, Marker, artists, round_up
from modeseek.bandit.figures.kl_simplex import draw_triangle, to_plane
from modeseek.bandit.figures.style import BLACK, TARGET, WIDTH, method_style

STYLES = tuple(method_style(name) for name in METHODS)
SIZES = (11, 12, 10)
"""Sizes of the markers, in points: a star that lies on a square leaves the square's corners to be seen."""


class OutOfDistributionScene(Scene):
    """Left: the triangle. Middle: the closed form. Right: the unseen answer, and the true reward, step by step."""

    size = (WIDTH, 5.0)

    def panels(self, figure: Figure) -> list[Panel]:
        """Four views."""
        (left,), (middle,), right = rectangles(figure, (1.05, 0.9, 1.05), ((1.0,), (1.0,), (1.0, 1.0)))
        return [_Triangle(left), _Closed(middle), _Curves(right[0], False), _Curves(right[1], True)]


class _Triangle(Panel):
    """Paths of the three methods from the reference, with where each comes to rest."""

    def __init__(self, figure: SubFigure) -> None:
        self.figure = figure
        axis = axes_in(figure, 0.1, 0.1, 0.1, 0.3)
        for corner in draw_triangle(axis, ("y₁ preferred", "y₂ rejected", "y₃ never compared"))[:2]:
            corner.set(y=-0.06, va="top")  # a marker at a corner does not reach down there
        axis.set(xlim=(-0.16, 1.16), ylim=(-0.12, 1.2))
        axis.set_title("the simplex", y=1.0, pad=4)
        self._paths = [axis.plot([], [], **s.line())[0] for s in STYLES]
        self._rests = [
            axis.plot([], [], s.marker, mfc="white", mec=s.color, ms=size, mew=2.0, ls="none")[0]
            for s, size in zip(STYLES, SIZES, strict=True)
        ]
        self._dots = [
            axis.plot([], [], s.marker, color=s.color, ms=size, mec=BLACK, mew=1.0, label=t, ls="none")[0]
            for s, t, size in zip(STYLES, METHODS.values(), SIZES, strict=True)
        ]
        (self._start,) = axis.plot([], [], "o", ms=11, mfc="none", mec=BLACK, mew=1.4, label="reference", ls="none")
        axis.plot([], [], "s", mfc="white", mec=BLACK, ms=9, mew=2.0, label="at rest: open", ls="none")
        axis.legend(loc="upper left", borderaxespad=0.0, ncols=2, columnspacing=0.8, handletextpad=0.4)
        self._paths[0].set_linewidth(3.2)  # DPO's and IPO's are one line: both are to be seen
        self.moving: list[Artist] = [*self._paths, self._start, *self._rests, *self._dots[::-1]]

    def update(self, model: OutOfDistributionModel) -> None:
        result = model.result
        self._start.set_data(*to_plane(np.asarray(model.values.reference))[:, None])
        for line, rest, dot, path, end in zip(
            self._paths, self._rests, self._dots, to_plane(result.probs), to_plane(result.rests), strict=True
        ):
            line.set_data(*path.T)
            line.set_markevery(max(1, len(path) // 9))
            rest.set_data(*end[:, None])
            dot.set_data(*path[model.values.step][:, None])


class _Closed(Panel):
    """π₃(s) = p₃/(p₃ + p₁ e^s + p₂ e^-s), with DPO and IPO on it; RL is free of it."""

    def __init__(self, figure: SubFigure) -> None:
        self.figure = figure
        axis = axes_in(figure, 0.6, 0.12, 0.48, 0.3)
        (self._curve,) = axis.plot([], [], color=BLACK, linewidth=1.6)
        (self._peak,) = axis.plot([], [], "D", color=BLACK, ms=6, label="peak, s = ½ ln(p₂/p₁)", ls="none")
        self._markers = [
            Marker(axis, s, size, label=t) for s, t, size in zip(STYLES[:2], METHODS.values(), SIZES, strict=False)
        ]
        axis.set(xlim=(0, LARGEST), ylim=(0, 1.15), yticks=[0, 0.5, 1])
        axis.set_xlabel("s: half the margin that y₁ has gained", labelpad=1)
        axis.set_ylabel("mass of y₃", labelpad=1)
        axis.set_title("the closed form π₃(s)", y=1.0, pad=4)
        axis.legend(loc="upper right", borderaxespad=0.1)
        self.moving: list[Artist] = [self._curve, self._peak, *artists(self._markers[::-1])]

    def update(self, model: OutOfDistributionModel) -> None:
        result, step = model.result, model.values.step
        self._curve.set_data(*model.curve())
        seen = 0 < result.peak_at <= LARGEST
        self._peak.set_data(*([[result.peak_at], [result.peak]] if seen else [[], []]))
        for m, marker in enumerate(self._markers):
            marker.show(float(result.moved[m, step]), float(result.probs[m, step, 2]))


class _Curves(Curves):
    """Mass of the unseen answer, or the true expected reward, against the step."""

    def __init__(self, figure: SubFigure, reward: bool) -> None:
        self._reward = reward
        super().__init__(figure, (0.72, 0.15, 0.42 if reward else 0.25, 0.28), [(s, s.line()) for s in STYLES])
        axes = self.axes
        axes.set_title("true expected reward" if reward else "mass of the answer never compared", y=1.0, pad=4)
        axes.set_ylabel("E[r], with r₂ = 0" if reward else "mass of y₃", labelpad=1)
        if reward:
            axes.set_xlabel("step: where do you stop?", labelpad=1)
            axes.axhline(0.0, **(TARGET | {"linewidth": 0.8}))
        self.moving = [self.now, *self.lines, *artists(self.markers[::-1])]

    def _highest(self, model: OutOfDistributionModel) -> float:
        return round_up(float(np.abs(model.result.reward).max())) if self._reward else 1.0

    def key(self, model: OutOfDistributionModel) -> Hashable:
        return model.values.steps, self._highest(model)

    def adapt(self, model: OutOfDistributionModel) -> None:
        steps, highest = model.values.steps, self._highest(model)
        self.mark_every(9, steps)
        self.ends = (-1.1 * highest, 1.1 * highest) if self._reward else (-0.03, 1.05)
        self.axes.set(xlim=(0, 1.02 * steps), ylim=self.ends)

    def series(self, model: OutOfDistributionModel) -> tuple[np.ndarray, np.ndarray]:
        result = model.result
        return np.arange(result.reward.shape[1]), result.reward if self._reward else result.probs[..., 2]
