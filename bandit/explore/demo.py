"""`DemoExplorer`: which method, when? The recorded run of `modeseek demo`, so that something is seen at once."""

from collections.abc import Hashable
from functools import cache
from importlib.resources import as_file, files
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.figure import Figure, SubFigure

from modeseek.bandit.explore.canvas import Panel, Scene, axes_in, rectangles
from modeseek.bandit.explore.controls import Choice, Number
from modeseek.bandit.explore.explorer import Explorer
from modeseek.bandit.explore.model import ViewModel
from modeseek.bandit.figures.curves import method_line, styles_of
from modeseek.bandit.figures.style import BLACK, GREY, REFERENCE_BARS, method_style
from modeseek.bandit.objectives.registry import variant
from modeseek.bandit.simulator.summary import over_seeds

REWARDS = {"R1": "R1: the reward's peak far from the reference", "R2": "R2: its peak near the reference"}


@cache
def recorded() -> xr.Dataset:
    """The bundled run: five methods, two rewards, three seeds; `bake` says how it was made."""
    with as_file(files("modeseek.bandit.explore") / "data" / "demo.nc") as path:
        return xr.load_dataset(path, engine="h5netcdf")


METHODS = ("best_of_n", "rwr", "ppo", "ipo", "on_policy_ipo")


class DemoResult(NamedTuple):
    """Of one reward; E measured steps, M methods.

    Attributes:
        steps: gradient steps, `[E]`.
        reward: expected reward, mean over seeds, `[M, E]`.
        error: its standard error.
        divergence: KL(policy ‖ reference), nats a response, mean over seeds, `[M, E]`.
        tokens: token distributions at the end, `[M, V]`.
        seeds: how many.
    """

    steps: np.ndarray
    reward: np.ndarray
    error: np.ndarray
    divergence: np.ndarray
    tokens: np.ndarray
    seeds: int


class DemoModel(ViewModel):
    """Five methods on one of two rewards."""

    kind = "demo"
    title = "Which method, when?"
    controls = (
        Choice("preset", "reward", REWARDS, "R1"),
        Choice("method", "method below", {name: variant(name).title for name in METHODS}, "on_policy_ipo", view=True),
        Number("step", "measurement", 0, 200, 100, whole=True, view=True),
    )

    def preset(self, name: str, values: dict[str, Any]) -> dict[str, Any]:
        """A reward."""
        return {}

    def compute(self, values: dict[str, Any]) -> DemoResult:
        """Means over seeds of the recorded run."""
        data = recorded().sel(reward=values["preset"], algorithm=list(METHODS))
        reward, error = over_seeds(data["expected_reward"])
        return DemoResult(
            data["step"].values,
            reward.values,
            error.values,
            data["kl_to_reference"].mean("seed").values,
            data["final_tokens"].mean("seed").values,
            data.sizes["seed"],
        )

    def caption(self) -> str:
        """Every method at the chosen step."""
        result, at = self.result, self.values["step"]
        each = ", ".join(
            f"{variant(name).title} {result.reward[m, at]:.2f} ± {result.error[m, at]:.2f} at "
            f"{result.divergence[m, at]:.1f} nats"
            for m, name in enumerate(METHODS)
        )
        peak = result.tokens[METHODS.index(self.values["method"])]
        return (
            f"Reward {self.values['preset']}, gradient step {result.steps[at]} of {result.steps[-1]}, mean ± standard "
            f"error of {result.seeds} seeds: expected reward and KL(policy ‖ reference) of {each}. At the end "
            f"{variant(self.values['method']).title} puts most mass on token {int(peak.argmax())} ({peak.max():.0%})."
        )

    def table(self) -> dict[str, Any]:
        """One row a method and step."""
        result = self.result
        return {
            "method": np.repeat(METHODS, result.steps.size),
            "step": np.tile(result.steps, len(METHODS)),
            "expected_reward": result.reward.ravel(),
            "standard_error": result.error.ravel(),
            "kl_to_reference": result.divergence.ravel(),
        }


class _Curves(Panel):
    """Expected reward of every method, against the step or against KL(policy ‖ reference)."""

    def __init__(self, figure: SubFigure, *, against_kl: bool) -> None:
        self.figure, self._against_kl = figure, against_kl
        self._axis = axis = axes_in(figure, 0.6, 0.15, 0.45, 0.3)
        styles = styles_of(list(METHODS))
        self._lines = [axis.plot([], [], **method_line(name, styles[name]))[0] for name in METHODS]
        self._dots = [
            axis.plot([], [], s.marker, color=s.color, ms=9, mec=BLACK, mfc=line.get_markerfacecolor())[0]
            for s, line in zip(styles.values(), self._lines, strict=True)
        ]
        (self._now,) = axis.plot([], [], color=GREY, linewidth=1.0)
        axis.set(ylabel="expected reward", ylim=(-0.02, 1.05))
        axis.set_xlabel("KL(policy ‖ reference), nats per response" if against_kl else "gradient step")
        axis.set_title("… and at what distance?" if against_kl else "How high does each get?", y=1.0, pad=4)
        if not against_kl:
            axis.legend(fontsize=7.5, loc="lower right", handlelength=3.2)
        self.moving: list[Artist] = [self._now, *self._lines, *self._dots]

    def key(self, model: DemoModel) -> Hashable:
        return model.values["preset"]

    def adapt(self, model: DemoModel) -> None:
        result = model.result
        for band in list(self._axis.collections):
            band.remove()
        if not self._against_kl:
            for m, name in enumerate(METHODS):
                low, high = result.reward[m] - result.error[m], result.reward[m] + result.error[m]
                self._axis.fill_between(result.steps, low, high, color=method_style(name).color, alpha=0.2, lw=0)
        self._axis.set_xlim(0, 1.03 * float(result.divergence.max() if self._against_kl else result.steps[-1]))

    def update(self, model: DemoModel) -> None:
        result, at = model.result, model.values["step"]
        for m, (line, dot) in enumerate(zip(self._lines, self._dots, strict=True)):
            x = result.divergence[m] if self._against_kl else result.steps
            line.set_data(x, result.reward[m])
            dot.set_data([x[at]], [result.reward[m, at]])
        if not self._against_kl:
            self._now.set_data([result.steps[at]] * 2, [-0.02, 1.05])


class _Tokens(Panel):
    """The chosen method's token distribution at the end, beside the reference and the reward."""

    def __init__(self, figure: SubFigure) -> None:
        self.figure = figure
        self._axis = axis = axes_in(figure, 0.6, 0.15, 0.45, 0.3)
        reference = recorded()["reference_probs"].values
        edges = np.arange(reference.size + 1) - 0.5
        bars: dict[str, Any] = dict(REFERENCE_BARS)
        axis.stairs(reference, edges, fill=True, label="reference", **bars)
        self._policy = axis.stairs(reference, edges, linewidth=2.0, label="policy at the end")
        (self._reward,) = axis.plot([], [], ":", color=BLACK, linewidth=1.2, label="reward of the token")
        axis.set_yscale("function", functions=(lambda v: np.sqrt(np.maximum(v, 0)), np.square))
        axis.set(ylim=(0, 1.05), yticks=[0.01, 0.1, 0.3, 1.0], xlim=(edges[0], edges[-1]), xlabel="token")
        axis.set_ylabel("probability (root axis)")
        self._title = axis.set_title("", y=1.0, pad=4)
        self.moving: list[Artist] = [self._policy, self._reward]

    def key(self, model: DemoModel) -> Hashable:
        return model.values["method"]

    def adapt(self, model: DemoModel) -> None:
        self._policy.set_edgecolor(method_style(model.values["method"]).color)
        self._axis.legend(fontsize=7.5, loc="upper left", bbox_to_anchor=(0.03, 1.0))
        self._title.set_text(f"Where did the mass go? {variant(model.values['method']).title}, at the end")

    def update(self, model: DemoModel) -> None:
        name = model.values["method"]
        self._policy.set_data(model.result.tokens[METHODS.index(name)])
        rewards = recorded()["token_rewards"].sel(reward=model.values["preset"]).values
        self._reward.set_data(np.arange(rewards.size), rewards)


class DemoScene(Scene):
    """Above both curves, below the tokens."""

    size = (10.5, 5.6)

    def panels(self, figure: Figure) -> list[Panel]:
        """Three views."""
        ((upper, lower),) = rectangles(figure, (1.0,), ((3.1, 2.5),))
        left, right = upper.subfigures(1, 2)
        return [_Curves(left, against_kl=False), _Curves(right, against_kl=True), _Tokens(lower)]


class DemoExplorer(Explorer):
    """The recorded run of `modeseek demo`: `DemoExplorer(preset="R2")`."""

    Model = DemoModel
    Scene = DemoScene
