"""How figure 18 is drawn: implicit rewards of y_w and y_l against the step, a panel a size of the prompt set."""

from collections.abc import Hashable

from matplotlib.artist import Artist
from matplotlib.figure import Figure, SubFigure

from modeseek.bandit.explore.figure18.model import Figure18Model
from modeseek.bandit.explore.negative.scene import CHOSEN, REJECTED, round_up
from modeseek.bandit.explore.toolkit.canvas import Panel, Scene, axes_in, rectangles
from modeseek.bandit.figures.style import BLACK, GREY


class _Curves(Panel):
    """One size of the prompt set: y_w and y_l, mean and standard error over seeds."""

    def __init__(self, figure: SubFigure, index: int) -> None:
        self.figure, self._index = figure, index
        self._axis = axis = axes_in(figure, 0.74, 0.1, 0.45, 0.3)
        names = ("preferred y_w", "rejected y_l")
        self._lines = [
            axis.plot([], [], **s.line(6), label=n)[0] for s, n in zip((CHOSEN, REJECTED), names, strict=True)
        ]
        self._dots = [axis.plot([], [], s.marker, color=s.color, ms=9, mec=BLACK)[0] for s in (CHOSEN, REJECTED)]
        (self._now,) = axis.plot([], [], color=GREY, linewidth=1.0)
        axis.axhline(0.0, color=BLACK, linewidth=0.8)
        self._title = axis.set_title("", y=1.0, pad=4)
        axis.set_xlabel("gradient step", labelpad=1)
        if index == 0:
            axis.set_ylabel("log π − log π_ref, nats", labelpad=1)
            axis.legend(fontsize=8, loc="lower left", handlelength=3.0)
        self.moving: list[Artist] = [self._now, *self._lines, *self._dots]

    def key(self, model: Figure18Model) -> Hashable:
        return tuple(model.values[name] for name in ("preset", "pairs", "reward"))

    def adapt(self, model: Figure18Model) -> None:
        result = model.result
        for band in list(self._axis.collections):
            band.remove()
        for style, mean, error in zip((CHOSEN, REJECTED), result.mean, result.error, strict=True):
            low, high = (mean[self._index] + sign * error[self._index] for sign in (-1, 1))
            self._axis.fill_between(result.steps, low, high, color=style.color, alpha=0.2, lw=0)
        top = round_up(max(float((result.mean + result.error).max()), 0.5))
        bottom = round_up(float(-(result.mean - result.error).min()))
        self._ends = (-1.05 * bottom, 1.1 * top)
        self._axis.set(xlim=(0, 1.02 * result.steps[-1]), ylim=self._ends)
        self._title.set_text(f"{result.prompts[self._index]} prompts")

    def update(self, model: Figure18Model) -> None:
        result, at = model.result, model.values["step"]
        for line, dot, mean in zip(self._lines, self._dots, result.mean[:, self._index], strict=True):
            line.set_data(result.steps, mean)
            dot.set_data([result.steps[at]], [mean[at]])
        self._now.set_data([result.steps[at]] * 2, self._ends)


class Figure18Scene(Scene):
    """The three sizes side by side, on the same axes."""

    size = (11.0, 3.8)

    def panels(self, figure: Figure) -> list[Panel]:
        """Three views."""
        columns = rectangles(figure, (1.0, 1.0, 1.0), ((1.0,), (1.0,), (1.0,)))
        return [_Curves(column[0], i) for i, column in enumerate(columns)]
