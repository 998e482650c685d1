"""Theorem E.5, case 1, as a map: in which pairs of categories is reverse KL the more aggressive one?"""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from modeseek.bandit.categorical.study import region_map
from modeseek.bandit.figures.style import BLACK, FORWARD_KL, GREY, REVERSE_KL, new_figure, style


def draw_regions(axis: Axes, data: xr.Dataset | None = None) -> None:
    """The plane of u = q₁/p against v = q₂/p, divided by the boundary L(u, v) = 1; it is the same for every problem."""
    data = region_map(np.full(2, 0.5), np.full(2, 0.5)) if data is None else data
    u, v = data["ratio_high"].values, data["ratio_low"].values
    mean = np.where(u[:, None] >= v[None, :], data["region_mean"].values, np.nan).T
    axis.contourf(u, v, mean, levels=[0, 1], colors=["#F6D5C3"])
    axis.contourf(u, v, mean, levels=[1, 1e9], colors=["#CFE3F0"], hatches=["...."])
    axis.contour(u, v, mean, levels=[1], colors=BLACK, linewidths=1.6)
    axis.text(0.05, 0.013, "reverse KL\nseparates more")
    box = {"fc": "white", "ec": "none", "pad": 1}
    axis.text(90, 0.05, "forward KL\nseparates more", ha="right", bbox=box)
    axis.annotate("p = L(q₁, q₂)", (1, 1), (0.05, 1.6), arrowprops={"arrowstyle": "-", "color": GREY})
    axis.set(xscale="log", yscale="log", xlim=(u[0], u[-1]), ylim=(v[0], v[-1]))
    axis.set(xlabel="q₁ / p   (larger target)", ylabel="q₂ / p   (smaller target)")


def kl_regions(data: xr.Dataset) -> Figure:
    """The map with the problem's own pairs."""
    with style():
        figure, axes = new_figure(1, 1, panel=(5.2, 4.4))
        axis = axes[0, 0]
        draw_regions(axis, data)
        u, v = data["ratio_high"].values, data["ratio_low"].values
        for holds, chosen in ((1, REVERSE_KL), (0, FORWARD_KL)):
            mine = data["pair_holds"].values == holds
            if not mine.any():
                continue
            axis.plot(
                np.clip(data["pair_high"].values[mine], u[0], u[-1]),
                np.clip(data["pair_low"].values[mine], v[0], v[-1]),
                chosen.marker,
                color=chosen.color,
                mec="white",
                mew=0.5,
                ms=6,
                linestyle="none",
                label="this problem's pairs: " + ("reverse more" if holds else "forward more"),
            )
        axis.set_title("Two categories with the same p: whose step separates them more?")
        if data.sizes["pair"]:
            axis.legend(loc="upper left", fontsize=8)
    return figure
