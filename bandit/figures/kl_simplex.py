"""Both divergences' flows on the triangle of three categories."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from modeseek.bandit.figures.kl_curves import OBJECTIVE_STYLES, objective_label
from modeseek.bandit.figures.style import BLACK, new_figure, style

CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, np.sqrt(3) / 2]])


def to_plane(probs: np.ndarray) -> np.ndarray:
    """Barycentric coordinates `[…, 3]` to the plane `[…, 2]`."""
    return np.asarray(probs @ CORNERS)


def draw_triangle(axis: Axes, corners: Sequence[str]) -> list[Text]:
    """The empty triangle with the names of its corners, which are returned."""
    axis.plot(*CORNERS[[0, 1, 2, 0]].T, color=BLACK, linewidth=1.0)
    axis.set(aspect="equal", xlim=(-0.1, 1.1), ylim=(-0.1, 0.98))
    axis.axis("off")
    places = CORNERS + np.array([[-0.03, -0.05], [0.03, -0.05], [0, 0.03]])
    return [axis.text(x, y, name, ha="center") for (x, y), name in zip(places, corners, strict=True)]


def _triangle(axis: Axes, data: xr.Dataset) -> None:
    draw_triangle(axis, [c if "–" in c else f"category {c}" for c in map(str, data["corner"].values)])
    axis.plot(*to_plane(data["simplex_target"].values), "*", color=BLACK, ms=14, mec="white", zorder=5, label="target")


def kl_simplex(data: xr.Dataset) -> Figure:
    """One triangle a divergence: continuous-time paths, markers at times 1, 3 and 10, the start ringed."""
    with style():
        figure, axes = new_figure(1, 2, panel=(4.2, 4.0))
        time = data["time"].values
        marks = [int(np.abs(time - moment).argmin()) for moment in (1.0, 3.0, 10.0)]
        for axis, name in zip(axes[0], data["divergence"].values, strict=True):
            chosen = OBJECTIVE_STYLES[str(name)]
            _triangle(axis, data)
            for index, path in enumerate(data["simplex_prob"].sel(divergence=name).values):
                x, y = to_plane(path).T
                line = chosen.line(marks) | {"linewidth": 2.2 if index == 0 else 1.0}
                axis.plot(x, y, **line)
                if index == 0:
                    axis.plot(x[0], y[0], "o", ms=10, mfc="none", mec=BLACK, mew=1.5, label="the problem's start")
            axis.set_title(f"{objective_label(str(name))}\nmarkers at times 1, 3, 10", color=chosen.color)
        axes[0, 1].legend(fontsize=8, loc="upper right")
    return figure
