"""The distribution as bars, with an arrow on each: where one step of eq. 12 or eq. 13 pushes it."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from modeseek.bandit.figures.kl_curves import OBJECTIVE_STYLES, objective_label, objective_line
from modeseek.bandit.figures.style import REFERENCE_BARS, TARGET, new_figure, style

# Typed as what `stairs` takes: style.py's dictionaries hold strings and numbers.
START: dict[str, Any] = dict(REFERENCE_BARS)
DASHED: dict[str, Any] = dict(TARGET)


def draw_distribution(axis: Axes, data: xr.Dataset, name: str, step: int) -> None:
    """The start as grey hatched bars, the target as a dashed outline, the policy as a thick outline."""
    edges = np.arange(data.sizes["category"] + 1) - 0.5
    axis.stairs(data["start"].values, edges, fill=True, label="start", **START)
    axis.stairs(data["target"].values, edges, label="target", **DASHED)
    chosen = OBJECTIVE_STYLES[name]
    policy = np.exp(data["log_prob"].sel(objective=name).values[step])
    axis.stairs(policy, edges, color=chosen.color, linewidth=1.8, label="policy")
    axis.set(xlim=(edges[0], edges[-1]), ylabel="probability")


def draw_arrows(axis: Axes, data: xr.Dataset, name: str, step: int) -> None:
    """Bars of log p[t+1]/p[t] with a marker at the tip: up gains mass, down loses it."""
    push = data["push"].sel(objective=name).values[min(step, data.sizes["update"] - 1)]
    push = np.where(np.isfinite(push), push, 0.0)
    category = np.arange(push.size)
    chosen = OBJECTIVE_STYLES[name]
    axis.vlines(category, 0, push, color=chosen.color, linewidth=1.2)
    size = 6.0 if push.size <= 20 else 3.0
    for up, marker in ((True, "^"), (False, "v")):
        tips = category[(push > 0) == up]
        axis.plot(tips, push[tips], marker, color=chosen.color, ms=size, linestyle="none")
    axis.axhline(0, color="black", linewidth=0.8)
    axis.set(xlim=(-0.5, push.size - 0.5), ylabel="push of one step, nats")


def kl_bars(data: xr.Dataset) -> Figure:
    """Both divergences (columns): the first step's push, and the distribution half-way and at the end (rows)."""
    names = [str(name) for name in data.objective.values if name in ("forward_kl", "reverse_kl")]
    with style():
        figure, axes = new_figure(3, len(names), panel=(4.2, 2.3), sharex=True, sharey="row")
        for column, name in zip(axes.T, names, strict=True):
            half = int(data["steps_to"].sel(objective=name, fraction=0.5))
            last = data.sizes["step"] - 1
            column[0].set_title(objective_label(name), color=objective_line(name, 1)["color"])
            draw_arrows(column[0], data, name, 0)
            draw_distribution(column[1], data, name, half if half >= 0 else last)
            column[1].set_title(f"step {half}: half the reward" if half >= 0 else "half the reward: not reached")
            draw_distribution(column[2], data, name, last)
            column[2].set(title=f"step {last}", xlabel="category")
        axes[1, 0].legend(fontsize=8)
    return figure
