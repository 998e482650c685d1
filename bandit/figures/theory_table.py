"""The theory's table as a chart: share of random instances in which each statement holds."""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from modeseek.bandit.figures.style import GREY, VERMILLION, new_figure, style


def theory_chart(data: xr.Dataset) -> Figure:
    """A bar a statement: plain if no counter-example was found, hatched and labelled with its share if some were."""
    with style():
        names = [str(name) for name in data["statement"].values]
        figure, axes = new_figure(1, 1, panel=(7.5, 0.27 * len(names) + 0.8))
        axis = axes[0, 0]
        share = np.nan_to_num(data["share"].values)
        always = data["held"].values == data["tried"].values
        rows = np.arange(len(names))[::-1]
        axis.barh(rows[always], share[always], color="#DDDDDD", edgecolor=GREY, height=0.7)
        axis.barh(rows[~always], share[~always], color="white", edgecolor=VERMILLION, hatch="////", height=0.7)
        for row, value, whole in zip(rows, share, always, strict=True):
            axis.text(value + 0.01, row, "100 %" if whole else f"{value:.1%}", va="center", fontsize=8)
        axis.set(
            yticks=rows,
            xlim=(0, 1.12),
            ylim=(-0.6, len(names) - 0.4),
            xlabel="share of random instances in which the statement holds",
        )
        axis.set_yticklabels(names, fontsize=8)
        axis.grid(axis="y", visible=False)
    return figure
