"""How figure 18 is drawn: implicit rewards of y_w and y_l against the step, a panel a size of the prompt set."""

from collections.abc import Hashable

import numpy as np
from matplotlib.figure import Figure, SubFigure

from modeseek.bandit.explore.figure18.model import Figure18Model
from modeseek.bandit.explore.toolkit.canvas import Panel, Scene, rectangles
from modeseek.bandit.explore.toolkit.panels import CHOSEN, REJECTED, Curves, round_up
from modeseek.bandit.figures.style import BLACK, WIDTH


class _Curves(Curves):
    """One size of the prompt set: y_w and y_l, mean and standard error over seeds."""

    def __init__(self, figure: SubFigure, index: int) -> None:
        self._index = index
        labels = {"preferred y_w": CHOSEN, "rejected y_l": REJECTED}
        super().__init__(
            figure, (0.74, 0.1, 0.45, 0.3), [(s, {**s.line(6), "label": label}) for label, s in labels.items()]
        )
        axes = self.axes
        axes.axhline(0.0, color=BLACK, linewidth=0.8)
        self._title = axes.set_title("", y=1.0, pad=4)
        axes.set_xlabel("gradient step", labelpad=1)
        if index == 0:
            axes.set_ylabel("log π − log π_ref, nats", labelpad=1)
            axes.legend(loc="lower left", handlelength=3.0)

    def key(self, model: Figure18Model) -> Hashable:
        return model.values.preset, model.values.pairs, model.values.reward

    def adapt(self, model: Figure18Model) -> None:
        result = model.result
        for shaded in list(self.axes.collections):
            shaded.remove()
        for style, mean, error in zip((CHOSEN, REJECTED), result.mean, result.error, strict=True):
            low, high = (mean[self._index] + sign * error[self._index] for sign in (-1, 1))
            self.axes.fill_between(result.steps, low, high, color=style.color, alpha=0.2, lw=0)
        top = round_up(max(float((result.mean + result.error).max()), 0.5))
        bottom = round_up(float(-(result.mean - result.error).min()))
        self.ends = (-1.05 * bottom, 1.1 * top)
        self.axes.set(xlim=(0, 1.02 * result.steps[-1]), ylim=self.ends)
        self._title.set_text(f"{result.prompts[self._index]} prompts")

    def series(self, model: Figure18Model) -> tuple[np.ndarray, np.ndarray]:
        return model.result.steps, model.result.mean[:, self._index]


class Figure18Scene(Scene):
    """The three sizes side by side, on the same axes."""

    size = (WIDTH, 3.8)

    def panels(self, figure: Figure) -> list[Panel]:
        """Three views."""
        columns = rectangles(figure, (1.0, 1.0, 1.0), ((1.0,), (1.0,), (1.0,)))
        return [_Curves(column[0], i) for i, column in enumerate(columns)]
