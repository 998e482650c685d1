"""Divergences, reward and entropy against the step, for every objective of a `modeseek kl` study."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from modeseek.bandit.figures.style import (
    FORWARD_KL,
    GREEN,
    PURPLE,
    REVERSE_KL,
    TARGET,
    LineStyle,
    method_style,
    new_figure,
    style,
)

OBJECTIVE_STYLES = {
    "forward_kl": FORWARD_KL,
    "reverse_kl": REVERSE_KL,
    "jensen_shannon": LineStyle(GREEN, "^", (0, (7, 2))),
    "alpha": LineStyle(PURPLE, "D", (0, (5, 1.5, 1, 1.5))),
}
LABELS = {
    "forward_kl": "forward KL(target ‖ policy)",
    "reverse_kl": "reverse KL(policy ‖ target)",
    "jensen_shannon": "Jensen-Shannon",
    "alpha": "α-divergence",
}


def objective_line(name: str, every: Any) -> dict[str, Any]:
    """How an objective is drawn; offline methods have open markers."""
    chosen = OBJECTIVE_STYLES.get(name) or method_style(name)
    line = chosen.line(every)
    if name.startswith("offline_"):
        line |= {"markerfacecolor": "white", "markeredgecolor": chosen.color, "markeredgewidth": 1.2}
    return line


def objective_label(name: str) -> str:
    """An objective's name in a legend."""
    return LABELS.get(name, name.replace("_", " "))


PANELS = (
    ("expected_reward", "expected reward"),
    ("reverse_kl", "KL(policy ‖ target), nats"),
    ("forward_kl", "KL(target ‖ policy), nats"),
    ("entropy", "entropy, nats"),
)


def kl_curves(data: xr.Dataset) -> Figure:
    """Four panels against the step (logarithmic, so that the first steps show), all objectives in each."""
    with style():
        figure, axes = new_figure(2, 2)
        steps = np.arange(data.sizes["step"]) + 1
        # Markers at equal distances on a logarithmic axis.
        marks = sorted(set(np.geomspace(1, steps[-1], 10).astype(int) - 1))
        for axis, (variable, label) in zip(axes.flat, PANELS, strict=True):
            for name in data.objective.values:
                values = data[variable].sel(objective=name)
                axis.plot(steps, values, label=objective_label(str(name)), **objective_line(str(name), marks))
            axis.set(xscale="log", xlabel="step + 1", ylabel=label)
        reward = axes[0, 0]
        reward.axhline(float(data["achievable_reward"]), **TARGET)
        reward.annotate("target", (1, float(data["achievable_reward"])), va="bottom", fontsize=8)
        for name in data.objective.values:
            _mark_fractions(reward, data.sel(objective=name), objective_line(str(name), 1)["color"])
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8, handlelength=3.2)
        figure.suptitle(f"{data.attrs['optimizer']}: rings mark 10, 50 and 90 % of the achievable reward", fontsize=10)
    return figure


def _mark_fractions(axis: Axes, one: xr.Dataset, color: str) -> None:
    reached = one["steps_to"].values
    for step in reached[reached >= 0]:
        axis.plot(step + 1, float(one["expected_reward"][step]), "o", ms=9, mfc="none", mec=color, mew=1.3)
