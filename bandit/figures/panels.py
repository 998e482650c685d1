"""Panels of curves over seeds, as the paper has them, with our runs."""

from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter

from modeseek.bandit.categorical.frontier import Responses
from modeseek.bandit.figures.frontier import draw_frontier
from modeseek.bandit.figures.style import GREY, LineStyle, new_figure, style
from modeseek.bandit.simulator.summary import over_seeds


class Curve(NamedTuple):
    """One line: the runs of a cell, `[seed, step]`, and how they are drawn."""

    label: str
    runs: xarray.Dataset
    style: LineStyle
    open: bool = False
    """An open marker: offline."""
    cell: Hashable = None
    """Whose runs they are; drawn nowhere."""
    y: str = ""
    """What is drawn of them, where it is not what the panel says."""


class Panel(NamedTuple):
    """One pair of axes: `y` against gradient steps, or against another variable."""

    title: str
    curves: Sequence[Curve]
    y: str = "expected_reward"
    x: str = "step"
    reward_axis: bool = True
    log_steps: bool = False
    """Steps from 10 on stand on a logarithmic axis."""
    signed: bool = False
    """The sign of y matters: zero is drawn, and a figure's panels have one scale."""
    frontier: Responses | None = None
    """Of what the most reward that KL allows is drawn, where x is KL(policy ‖ reference)."""


LABELS = {
    "step": "gradient step",
    "expected_reward": "expected reward",
    "kl_to_reference": "KL(policy ‖ reference), nats",
    "kl_to_behavior": "KL(policy ‖ behavior), nats",
    "chosen_implicit_reward": "implicit reward, nats",
    "tokens": "length, tokens",
    "proxy_reward": "proxy reward",
    "margin": "margin, nats",
}


Points = tuple[np.ndarray, np.ndarray, np.ndarray]
"""A curve's x, its mean, and its standard error."""


def points(curve: Curve, panel: Panel) -> Points:
    """A curve's x, mean over its finite seeds and their standard error, each `[step]`."""
    mean, error = over_seeds(curve.runs[curve.y or panel.y])
    x = curve.runs["step"] if panel.x == "step" else over_seeds(curve.runs[panel.x])[0]
    return x.values, mean.values, error.values


def draw_panel(axes: Axes, panel: Panel) -> list[Points]:
    """Mean over seeds as a line, its standard error as a band where x is the step; the points of each curve."""
    drawn = [points(curve, panel) for curve in panel.curves]
    for curve, (x, mean, error) in zip(panel.curves, drawn, strict=True):
        keywords = curve.style.line(every=(0.05, 0.17))
        if curve.open:
            keywords |= {"markerfacecolor": "white", "markeredgecolor": curve.style.color, "markeredgewidth": 1.2}
        if panel.x == "step":
            axes.fill_between(x, mean - error, mean + error, color=curve.style.color, alpha=0.18, linewidth=0)
        axes.plot(x, mean, label=curve.label, **keywords)
    axes.set(title=panel.title, xlabel=LABELS[panel.x], ylabel=LABELS.get(panel.y, panel.y))
    if panel.reward_axis:
        axes.set_ylim(0, 1.03)
    if panel.log_steps:
        axes.set_xscale("symlog", linthresh=10)
        axes.set_xlim(left=0)
        axes.xaxis.set_major_formatter(ScalarFormatter())
    if panel.frontier is not None:
        draw_frontier(axes, panel.frontier, np.concatenate([x for x, _, _ in drawn]))
    if panel.signed:
        axes.axhline(0, color=GREY, linewidth=1)
    return drawn


def panels_figure(title: str, panels: Sequence[Sequence[Panel]]) -> Figure:
    """Rows of panels under one title, with one legend for all of them; a row may be shorter than others."""
    with style():
        columns = max(map(len, panels))
        width = 3.9 if columns > 1 else 6.2  # a single column has the title and the legend above and below it
        figure, axes = new_figure(len(panels), columns, panel=(width, 2.7))
        found: dict[str, Any] = {}
        for row, drawn in zip(axes, panels, strict=True):
            for one in row[len(drawn) :]:
                one.remove()
            for one, panel in zip(row, drawn, strict=False):
                draw_panel(one, panel)
                if panel.signed and one is not axes[0, 0]:
                    one.sharey(axes[0, 0])
                    one.autoscale(axis="y")  # sharing alone leaves the first panel's limits
                handles, labels = one.get_legend_handles_labels()
                found |= dict(zip(labels, handles, strict=True))
        figure.legend(
            found.values(),
            found.keys(),
            loc="outside lower center",
            ncols=min(3 if any(p.frontier for row in panels for p in row) else 4, len(found)),
            handlelength=3.2,
            frameon=False,
        )
        figure.suptitle(title, fontsize=10)
    return figure
