"""How figure 16 on one token is drawn: curves against step and KL above, all four policies below."""

from collections.abc import Hashable
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import Figure, SubFigure

from modeseek.bandit.explore.four_methods.model import METHODS, FourMethodsModel
from modeseek.bandit.explore.toolkit.canvas import Panel, Scene, axes_in, rectangles
from modeseek.bandit.figures.style import BLACK, GREY, REFERENCE_BARS, method_style


class _Curves(Panel):
    """Expected reward of every method, against the step or against KL(policy ‖ reference)."""

    def __init__(self, figure: SubFigure, *, against_kl: bool) -> None:
        self.figure, self._against_kl = figure, against_kl
        self._axis = axis = axes_in(figure, 0.6, 0.15, 0.45, 0.3)
        styles = [method_style(name) for name in METHODS]
        self._lines = [axis.plot([], [], **s.line(), label=t)[0] for s, t in zip(styles, METHODS.values(), strict=True)]
        self._dots = [axis.plot([], [], s.marker, color=s.color, ms=9, mec=BLACK)[0] for s in styles]
        (self._now,) = axis.plot([], [], color=GREY, linewidth=1.0)
        axis.set(ylabel="expected reward", ylim=(-0.02, 1.05))
        axis.set_xlabel("KL(policy ‖ reference), nats" if against_kl else "step", labelpad=1)
        axis.set_title("… and at what distance?" if against_kl else "How high does each get?", y=1.0, pad=4)
        if against_kl:
            axis.legend(fontsize=7.5, loc="lower right", handlelength=3.2)
        self.moving: list[Artist] = [self._now, *self._lines, *self._dots]

    def key(self, model: FourMethodsModel) -> Hashable:
        return model.values["steps"], float(np.ceil(2 * model.result.divergence.max()))

    def adapt(self, model: FourMethodsModel) -> None:
        steps, far = model.values["steps"], float(np.ceil(2 * model.result.divergence.max()))
        for line in self._lines:
            line.set_markevery(max(1, steps // 10))
        self._axis.set_xlim(0, 0.52 * max(far, 1.0) if self._against_kl else 1.02 * steps)

    def update(self, model: FourMethodsModel) -> None:
        result, at = model.result, model.values["step"]
        for m, (line, dot) in enumerate(zip(self._lines, self._dots, strict=True)):
            x = result.divergence[m] if self._against_kl else np.arange(result.reward.shape[1])
            line.set_data(x, result.reward[m])
            dot.set_data([x[at]], [result.reward[m, at]])
        if not self._against_kl:
            self._now.set_data([at, at], [-0.02, 1.05])


class _Tokens(Panel):
    """All four policies beside the reference and the reward."""

    def __init__(self, figure: SubFigure) -> None:
        self.figure = figure
        self._axis = axis = axes_in(figure, 0.6, 0.15, 0.42, 0.3)
        bars: dict[str, Any] = dict(REFERENCE_BARS)
        edges = np.arange(101) - 0.5
        self._reference = axis.stairs(np.zeros(100), edges, fill=True, label="reference", **bars)
        styles = [method_style(name) for name in METHODS]
        self._lines = [axis.plot([], [], **s.line(7))[0] for s in styles]
        (self._reward,) = axis.plot([], [], color=BLACK, linewidth=1.0, linestyle=":", label="reward of the token")
        axis.set_yscale("function", functions=(lambda v: np.sqrt(np.maximum(v, 0)), np.square))
        axis.set(ylim=(0, 1.05), yticks=[0.01, 0.1, 0.3, 1.0], xlim=(edges[0], edges[-1]))
        axis.set_xlabel("token", labelpad=1)
        axis.set_ylabel("probability (root axis)", labelpad=2)
        axis.set_title("Where is the mass at this step?", y=1.0, pad=4)
        axis.legend(fontsize=7.5, loc="upper left", bbox_to_anchor=(0.03, 1.0))
        self.moving: list[Artist] = [self._reference, self._reward, *self._lines]

    def key(self, model: FourMethodsModel) -> Hashable:
        return None

    def adapt(self, model: FourMethodsModel) -> None:
        return

    def update(self, model: FourMethodsModel) -> None:
        result, tokens = model.result, np.arange(100)
        self._reference.set_data(result.reference)
        self._reward.set_data(tokens, result.rewards)
        for line, probs in zip(self._lines, result.probs[:, model.values["step"]], strict=True):
            line.set_data(tokens, probs)


class FourMethodsScene(Scene):
    """Above both curves, below the tokens."""

    size = (10.5, 5.6)

    def panels(self, figure: Figure) -> list[Panel]:
        """Three views."""
        ((upper, lower),) = rectangles(figure, (1.0,), ((3.1, 2.5),))
        left, right = upper.subfigures(1, 2)
        return [_Curves(left, against_kl=False), _Curves(right, against_kl=True), _Tokens(lower)]
