"""How the recorded run is drawn: curves against step and KL above, the chosen method's tokens below."""

from collections.abc import Hashable

import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import Figure, SubFigure

from modeseek.bandit.explore.demo.model import METHODS, DemoModel, recorded
from modeseek.bandit.explore.toolkit.canvas import Panel, Scene, axes_in, rectangles
from modeseek.bandit.explore.toolkit.panels import REWARD_ENDS, Curves, Limit, token_edges
from modeseek.bandit.figures.methods import method_line, styles_of
from modeseek.bandit.figures.problem import root_axis
from modeseek.bandit.figures.style import BLACK, REFERENCE_BARS, WIDTH, method_style
from modeseek.bandit.objectives.registry import variant


class _Curves(Curves):
    """Expected reward of every method, against the step or against KL(policy ‖ reference)."""

    def __init__(self, figure: SubFigure, *, against_kl: bool) -> None:
        self._against_kl = against_kl
        lines = [(style, method_line(name, style)) for name, style in styles_of(list(METHODS)).items()]
        super().__init__(figure, (0.6, 0.15, 0.45, 0.3), lines, ends=REWARD_ENDS, vertical=not against_kl)
        axes = self.axes
        axes.set(ylabel="expected reward", ylim=self.ends)
        axes.set_xlabel("KL(policy ‖ reference), nats per response" if against_kl else "gradient step")
        axes.set_title("… and at what distance?" if against_kl else "How high does each get?", y=1.0, pad=4)
        self._limit = Limit(axes) if against_kl else None
        if against_kl:  # below the curves, which rise from the left
            axes.legend(loc="lower right", handlelength=3.2)

    def key(self, model: DemoModel) -> Hashable:
        return model.values.preset

    def adapt(self, model: DemoModel) -> None:
        result = model.result
        if self._limit:
            self._limit.show(result.frontier)
        for shaded in list(self.axes.collections):
            shaded.remove()
        if not self._against_kl:
            for m, name in enumerate(METHODS):
                low, high = result.reward[m] - result.error[m], result.reward[m] + result.error[m]
                self.axes.fill_between(result.steps, low, high, color=method_style(name).color, alpha=0.2, lw=0)
        self.axes.set_xlim(0, 1.03 * float(result.divergence.max() if self._against_kl else result.steps[-1]))

    def series(self, model: DemoModel) -> tuple[np.ndarray, np.ndarray]:
        result = model.result
        return result.divergence if self._against_kl else result.steps, result.reward


class _Tokens(Panel):
    """The chosen method's token distribution at the end, beside the reference and the reward."""

    def __init__(self, figure: SubFigure) -> None:
        self.figure = figure
        self._axis = axis = axes_in(figure, 0.6, 0.15, 0.45, 0.3)
        reference = recorded()["reference_probs"].values
        edges = token_edges(reference.size)
        axis.stairs(reference, edges, fill=True, label="reference", **REFERENCE_BARS)
        self._policy = axis.stairs(reference, edges, linewidth=2.0, label="policy at the end")
        (self._reward,) = axis.plot([], [], ":", color=BLACK, linewidth=1.2, label="reward of the token")
        root_axis(axis)
        axis.set(xlim=(edges[0], edges[-1]), xlabel="token")
        axis.set_ylabel("probability (root axis)")
        self._title = axis.set_title("", y=1.0, pad=4)
        self.moving: list[Artist] = [self._policy, self._reward]

    def key(self, model: DemoModel) -> Hashable:
        return model.values.method

    def adapt(self, model: DemoModel) -> None:
        self._policy.set_edgecolor(method_style(model.values.method).color)
        self._axis.legend(loc="upper center", bbox_to_anchor=(0.46, 1.0))
        self._title.set_text(f"Where did the mass go? {variant(model.values.method).title}, at the end")

    def update(self, model: DemoModel) -> None:
        name = model.values.method
        self._policy.set_data(model.result.tokens[METHODS.index(name)])
        rewards = recorded()["token_rewards"].sel(reward=model.values.preset).values
        self._reward.set_data(np.arange(rewards.size), rewards)


class DemoScene(Scene):
    """Above both curves, below the tokens."""

    size = (WIDTH, 5.6)

    def panels(self, figure: Figure) -> list[Panel]:
        """Three views."""
        ((upper, lower),) = rectangles(figure, (1.0,), ((3.1, 2.5),))
        left, right = upper.subfigures(1, 2)
        return [_Curves(left, against_kl=False), _Curves(right, against_kl=True), _Tokens(lower)]
