"""What figures of follow-ups share: a curve over seeds, and one legend for all panels."""

from collections.abc import Iterable

import numpy as np
import xarray
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from modeseek.bandit.figures.style import LineStyle


def seeds_curve(axes: Axes, runs: xarray.DataArray, line: LineStyle, label: str, x: str = "step") -> None:
    """Mean over the seeds that are finite as a line, its standard error as a band, against another dimension."""
    mean, error = runs.mean("seed"), runs.std("seed", ddof=1) / np.sqrt(runs.notnull().sum("seed"))
    axes.fill_between(runs[x], mean - error, mean + error, color=line.color, alpha=0.18, linewidth=0)
    axes.plot(runs[x], mean, label=label, **line.line(every=(0.05, 0.17)))


def common_legend(figure: Figure, panels: Iterable[Axes], columns: int = 4) -> None:
    """Every label of some panels once, below the figure."""
    keyed = [panel.get_legend_handles_labels() for panel in panels]
    found = {label: handle for handles, labels in keyed for handle, label in zip(handles, labels, strict=True)}
    figure.legend(
        found.values(), found.keys(), loc="outside lower center", ncols=columns, handlelength=3.2, frameon=False
    )
