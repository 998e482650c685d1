"""`FourMethodsExplorer`: figure 16 on one token. Two offline methods with a negative gradient, two without."""

from collections.abc import Hashable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import Figure, SubFigure

from modeseek.bandit.categorical.dynamics import simulate
from modeseek.bandit.categorical.optimizers import Settings
from modeseek.bandit.categorical.presets import named_problem
from modeseek.bandit.categorical.problem import Knobs, Problem, from_rewards
from modeseek.bandit.explore.canvas import Panel, Scene, axes_in, rectangles
from modeseek.bandit.explore.controls import Choice, Number
from modeseek.bandit.explore.explorer import Explorer
from modeseek.bandit.explore.model import ViewModel
from modeseek.bandit.figures.style import BLACK, GREY, REFERENCE_BARS, method_style

METHODS = {"best_of_n": "Best-of-N", "rwr": "RWR", "best_of_n_negative": "Best-of-N + neg. gradient", "ipo": "IPO"}
PRESETS = {
    "fig16-R1": "the peak of the reward far from the reference",
    "fig16-R2": "its peak near the reference",
}
OWN = {
    "best_of_n": ("draws",),
    "rwr": ("beta",),
    "best_of_n_negative": ("draws", "weight"),
    "ipo": ("tau", "sharpness"),
}
"""Method → the controls that it reads, beside the optimizer's."""


class FourResult(NamedTuple):
    """Everything the views show; M methods, E = steps + 1.

    Attributes:
        probs: policies, `[M, E, K]`.
        reward: expected reward, `[M, E]`.
        divergence: KL(policy ‖ reference), nats, `[M, E]`.
        reference: `[K]`.
        rewards: of each token, `[K]`.
    """

    probs: np.ndarray
    reward: np.ndarray
    divergence: np.ndarray
    reference: np.ndarray
    rewards: np.ndarray


@lru_cache(maxsize=4)
def _bandit(preset: str) -> Problem:
    return named_problem(preset.removeprefix("fig16-")).problem


@lru_cache(maxsize=64)
def run(
    method: str, preset: str, numbers: tuple[tuple[str, float], ...], optimizer: str, step_size: float, steps: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One method's probabilities, expected reward and KL(policy ‖ reference) along its exact flow; kept for next time.

    Rewards are multiplied by the sharpness of the labels, P(i ≻ j) = σ(s (r_i - r_j)), and β with them, so that nothing
    but the labels depends on it.

    Raises:
        ValueError: it diverged, as `simulate` says.
    """
    given, bandit = dict(numbers), _bandit(preset)
    sharpness = given.get("sharpness", 1.0)
    knobs = Knobs(
        beta=given.get("beta", 0.1) * sharpness,
        tau=given.get("tau", 0.05),
        draws=given.get("draws", 10.0),
        negative_weight=given.get("weight", 1.0),
    )
    problem = from_rewards(np.exp(bandit.log_reference), sharpness * bandit.rewards, knobs)
    settings = Settings(step_size=np.float64(step_size))
    log_probs, metrics = simulate(
        problem, objectives=(f"offline_{method}",), optimizer=optimizer, settings=settings, steps=steps
    )
    probs = np.exp(log_probs[0])
    return probs, probs @ bandit.rewards, metrics.reference_kl[0]


class FourMethodsModel(ViewModel):
    """Does pushing down help, and where?"""

    kind = "fig16"
    title = "Figure 16 on one token: four offline methods"
    controls = (
        Choice("preset", "preset", {name: f"{name}: {shows}" for name, shows in PRESETS.items()}, "fig16-R1"),
        Number("draws", "draws N", 2, 100, 10, whole=True),
        Number("beta", "β of RWR", 0.02, 1.0, 0.1, log=True),
        Number("weight", "β of neg. grad.", 0.01, 3.0, 0.1, log=True),
        Number("tau", "τ of IPO", 0.01, 1.0, 0.05, log=True),
        Number("sharpness", "label sharpness", 1.0, 100.0, 30.0, log=True),
        Choice("optimizer", "optimizer", {"adam": "Adam", "gd": "gradient descent"}, "adam"),
        Number("step_size", "step size η", 0.001, 2.0, 0.05, log=True),
        Number("steps", "steps", 20, 300, 150, whole=True),
        Number("step", "step", 0, 300, 150, whole=True, view=True),
    )

    def limits(self, name: str) -> tuple[float, float]:
        """The player ends with the run."""
        return (0.0, float(self.values["steps"])) if name == "step" else super().limits(name)

    def preset(self, name: str, values: dict[str, Any]) -> dict[str, Any]:
        """A reward."""
        return {}

    def settle(self, values: dict[str, Any], changed: str, before: dict[str, Any]) -> dict[str, Any]:
        """A step size that is usual for the optimizer, and a step of the run."""
        if changed == "optimizer":
            values = values | {"step_size": {"adam": 0.05, "gd": 0.5}[values["optimizer"]]}
            self.notes.append(f"step size set to {values['step_size']:g}, usual for this optimizer")
        return values | {"step": min(values["step"], values["steps"])}

    def compute(self, values: dict[str, Any]) -> FourResult:
        """All four runs; those that no changed number concerns are not made again.

        Raises:
            ValueError: as `run`.
        """
        numbers = (values["optimizer"], values["step_size"], values["steps"])
        runs = [
            run(name, values["preset"], tuple((own, float(values[own])) for own in OWN[name]), *numbers)
            for name in METHODS
        ]
        probs, reward, divergence = (np.stack(each) for each in zip(*runs, strict=True))
        bandit = _bandit(values["preset"])
        return FourResult(probs, reward, divergence, np.exp(bandit.log_reference), np.asarray(bandit.rewards))

    def caption(self) -> str:
        """Every method at the chosen step."""
        values, result, step = self.values, self.result, self.values["step"]
        each = ", ".join(
            f"{title} {result.reward[m, step]:.3f} at {result.divergence[m, step]:.2f} nats"
            for m, title in enumerate(METHODS.values())
        )
        return (
            f"{values['preset']}, exact expected gradients on one token of 100, no sampling noise, "
            f"{'Adam' if values['optimizer'] == 'adam' else 'gradient descent'} with η = "
            f"{values['step_size']:.3g}, step "
            f"{step} of {values['steps']}: expected reward and KL(policy ‖ reference) of {each}."
        )

    def table(self) -> dict[str, Any]:
        """One row a method and step."""
        result = self.result
        steps = result.reward.shape[1]
        return {
            "method": np.repeat(list(METHODS), steps),
            "step": np.tile(np.arange(steps), len(METHODS)),
            "expected_reward": result.reward.ravel(),
            "kl_to_reference": result.divergence.ravel(),
        }


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


class FourMethodsExplorer(Explorer):
    """Figure 16's methods as exact flows on one token: `FourMethodsExplorer(preset="fig16-R2")`."""

    Model = FourMethodsModel
    Scene = FourMethodsScene
