"""How figure 16 on one token is drawn: curves against step and KL above, all four policies below."""

from collections.abc import Hashable

import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import Figure, SubFigure

from modeseek.bandit.explore.four_methods.model import METHODS, FourMethodsModel
from modeseek.bandit.explore.toolkit.canvas import Panel, Scene, axes_in, rectangles
from modeseek.bandit.explore.toolkit.panels import REWARD_ENDS, Curves, Limit, token_edges
from modeseek.bandit.figures.problem import root_axis
from modeseek.bandit.figures.style import BLACK, REFERENCE_BARS, WIDTH, method_style

STYLES = {name: method_style(name) for name in METHODS}


class _Curves(Curves):
    """Expected reward of every method, against the step or against KL(policy ‖ reference)."""

    def __init__(self, figure: SubFigure, *, against_kl: bool) -> None:
        self._against_kl = against_kl
        lines = [(s, {**s.line(), "label": "_"}) for s in STYLES.values()]
        super().__init__(figure, (0.6, 0.15, 0.45, 0.3), lines, ends=REWARD_ENDS, vertical=not against_kl)
        axes = self.axes
        axes.set(ylabel="expected reward", ylim=self.ends)
        axes.set_xlabel("KL(policy ‖ reference), nats" if against_kl else "step", labelpad=1)
        axes.set_title("… and at what distance?" if against_kl else "How high does each get?", y=1.0, pad=4)
        self._limit = Limit(axes) if against_kl else None

    def _far(self, model: FourMethodsModel) -> float:
        return float(np.ceil(2 * model.result.divergence.max()))

    def key(self, model: FourMethodsModel) -> Hashable:
        return model.values.preset, model.values.steps, self._far(model)

    def adapt(self, model: FourMethodsModel) -> None:
        self.mark_every(10, model.values.steps)
        end = 0.52 * max(self._far(model), 1.0) if self._against_kl else 1.02 * model.values.steps
        self.axes.set_xlim(0, end)
        if self._limit:
            self._limit.show(model.result.frontier)
            self._limit.legend(handlelength=3.2)

    def series(self, model: FourMethodsModel) -> tuple[np.ndarray, np.ndarray]:
        result = model.result
        return result.divergence if self._against_kl else np.arange(result.reward.shape[1]), result.reward


class _Tokens(Panel):
    """All four policies beside the reference and the reward."""

    def __init__(self, figure: SubFigure) -> None:
        self.figure = figure
        self._axis = axis = axes_in(figure, 0.6, 0.15, 0.42, 0.3)
        edges = token_edges(100)
        self._reference = axis.stairs(np.zeros(100), edges, fill=True, label="reference", **REFERENCE_BARS)
        self._lines = [axis.plot([], [], **s.line(7), label=METHODS[n])[0] for n, s in STYLES.items()]
        (self._reward,) = axis.plot([], [], color=BLACK, linewidth=1.0, linestyle=":", label="reward of the token")
        root_axis(axis)
        axis.set_xlim(edges[0], edges[-1])
        axis.set_xlabel("token", labelpad=1)
        axis.set_ylabel("probability (root axis)", labelpad=2)
        axis.set_title("Where is the mass at this step?", y=1.0, pad=4)
        axis.legend(loc="upper center", bbox_to_anchor=(0.46, 1.02), handlelength=3.2, labelspacing=0.3)
        self.moving: list[Artist] = [self._reference, self._reward, *self._lines]

    def update(self, model: FourMethodsModel) -> None:
        result, tokens = model.result, np.arange(100)
        self._reference.set_data(result.reference)
        self._reward.set_data(tokens, result.rewards)
        for line, probs in zip(self._lines, result.probs[:, model.values.step], strict=True):
            line.set_data(tokens, probs)


class FourMethodsScene(Scene):
    """Above both curves, below the tokens."""

    size = (WIDTH, 5.6)

    def panels(self, figure: Figure) -> list[Panel]:
        """Three views."""
        ((upper, lower),) = rectangles(figure, (1.0,), ((3.1, 2.5),))
        left, right = upper.subfigures(1, 2)
        return [_Curves(left, against_kl=False), _Curves(right, against_kl=True), _Tokens(lower)]
