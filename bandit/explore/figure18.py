"""`Figure18Explorer`: offline IPO on 5, 20 and 100 prompts, recorded. Do y_w and y_l part, or fall together?"""

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
from modeseek.bandit.explore.negative_scene import CHOSEN, REJECTED, round_up
from modeseek.bandit.figures.style import BLACK, GREY
from modeseek.bandit.simulator.summary import over_seeds

POLICIES = {
    "gpt": "GPT-Nano, 94 thousand parameters",
    "table": "one table of logits for all prompts",
}
PAIRS = {"best_worst": "the best of ten against the worst", "all": "all pairs of ten"}
NAMES = ("chosen_implicit_reward", "rejected_implicit_reward")


@cache
def recorded() -> xr.Dataset:
    """The bundled runs; `displacement_bake` says how they were made."""
    with as_file(files("modeseek.bandit.explore") / "data" / "displacement.nc") as path:
        return xr.load_dataset(path, engine="h5netcdf")


class Figure18Result(NamedTuple):
    """Of one policy, reward and way of pairing; D sizes of the prompt set, E measured steps.

    Attributes:
        prompts: `[D]`.
        steps: gradient steps, `[E]`.
        mean: implicit reward of y_w and y_l over the data set's pairs, nats, mean over seeds, `[2, D, E]`.
        error: its standard error over seeds.
        seeds: how many.
    """

    prompts: np.ndarray
    steps: np.ndarray
    mean: np.ndarray
    error: np.ndarray
    seeds: int


class Figure18Model(ViewModel):
    """Does y_w's likelihood rise, and on how many prompts?"""

    kind = "fig18"
    title = "Figure 18: implicit rewards against the number of prompts"
    controls = (
        Choice("preset", "policy", {name: f"{name}: {shows}" for name, shows in POLICIES.items()}, "gpt"),
        Choice("pairs", "pairs", PAIRS, "best_worst"),
        Choice("reward", "reward", {"R1": "R1", "R2": "R2"}, "R2"),
        Number("step", "measurement", 0, 49, 49, whole=True, view=True),
    )

    def preset(self, name: str, values: dict[str, Any]) -> dict[str, Any]:
        """A policy."""
        return {}

    def compute(self, values: dict[str, Any]) -> Figure18Result:
        """Means over seeds of the recorded runs."""
        data = recorded().sel(policy=values["preset"], pairs=values["pairs"], reward=values["reward"])
        found = [over_seeds(data[name].transpose("prompts", "step", "seed")) for name in NAMES]
        mean, error = (np.stack([each[i].values for each in found]) for i in (0, 1))
        return Figure18Result(data["prompts"].values, data["step"].values, mean, error, data.sizes["seed"])

    def caption(self) -> str:
        """Both implicit rewards at the chosen step, for every size of the prompt set."""
        result, at = self.result, self.values["step"]
        each = "; ".join(
            f"{prompts} prompts: y_w {result.mean[0, d, at]:+.2f} ± {result.error[0, d, at]:.2f}, "
            f"y_l {result.mean[1, d, at]:+.2f} ± {result.error[1, d, at]:.2f}"
            for d, prompts in enumerate(result.prompts)
        )
        return (
            f"{POLICIES[self.values['preset']]}, {PAIRS[self.values['pairs']]}, {self.values['reward']}, before "
            "gradient "
            f"step {result.steps[at]} of {result.steps[-1]}; log π - log π_ref in nats, mean over the training "
            "pairs, ± "
            f"standard error of {result.seeds} seeds. {each}."
        )

    def table(self) -> dict[str, Any]:
        """One row a size of the prompt set and step."""
        result = self.result
        sizes, steps = result.prompts.size, result.steps.size
        columns: dict[str, Any] = {
            "prompts": np.repeat(result.prompts, steps),
            "step": np.tile(result.steps, sizes),
        }
        for i, name in enumerate(NAMES):
            columns |= {name: result.mean[i].ravel(), f"{name}_error": result.error[i].ravel()}
        return columns


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


class Figure18Explorer(Explorer):
    """Recorded offline IPO: `Figure18Explorer(preset="gpt", reward="R1")`."""

    Model = Figure18Model
    Scene = Figure18Scene
