"""A reliability plot: what was said against what came."""

import numpy as np
from jaxtyping import Float, Int
from matplotlib.figure import Figure

from modeseek.bandit.figures.style import BLUE, GREY, new_figure, style


def reliability_figure(
    said: Float[np.ndarray, "B"],
    came: Float[np.ndarray, "B"],
    error: Float[np.ndarray, "B"],
    count: Int[np.ndarray, "B"],
) -> Figure:
    """Probability that a method is the best, as predicted and as it came, a point a bin; bars: two standard errors.

    Args:
        said: mean prediction of each bin.
        came: how often those methods were the best.
        error: its standard error.
        count: predictions in it; a bin without any is not drawn.
    """
    figure, grid = new_figure(panel=(4.2, 3.6))
    there = count > 0
    with style():
        axes = grid[0, 0]
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=1.0, label="calibrated")
        axes.errorbar(
            said[there],
            came[there],
            yerr=2 * error[there],
            color=BLUE,
            marker="o",
            linestyle="none",
            capsize=2,
            label="cells that were left out",
        )
        for x, y, n in zip(said[there], came[there], count[there], strict=True):
            axes.annotate(f"{n}", (x, y), xytext=(6, -9), textcoords="offset points", fontsize=7, color=GREY)
        axes.set(xlim=(-0.03, 1.03), ylim=(-0.08, 1.08), xlabel="called the best with probability")
        axes.set_ylabel("was the best")
        axes.legend(fontsize=8, loc="upper left")
    return figure
