"""The trajectory as an animation: both policies, frame by frame on a logarithmic clock."""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.animation import PillowWriter

from modeseek.bandit.figures.kl_bars import DASHED, START
from modeseek.bandit.figures.kl_curves import OBJECTIVE_STYLES, objective_label
from modeseek.bandit.figures.style import new_figure, style
from modeseek.files import replacing


def kl_animation(
    data: xr.Dataset,
    path: Path,
    frames: int = 40,
    progress: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> Path:
    """Write a GIF with one panel a divergence.

    Args:
        data: of a `modeseek kl` study.
        path: of the GIF; replaced in one step.
        frames: how many, at most one a step.
        progress: wraps the loop over frames.
    """
    names = [str(name) for name in data.objective.values if name in OBJECTIVE_STYLES][:2]
    last = data.sizes["step"] - 1
    steps = np.unique(np.concatenate([[0], np.geomspace(1, last, frames - 1).astype(int)]))
    edges = np.arange(data.sizes["category"] + 1) - 0.5
    with style():
        figure, axes = new_figure(1, len(names), panel=(4.0, 2.8), sharey=True)
        policies = []
        for axis, name in zip(axes[0], names, strict=True):
            axis.stairs(data["start"].values, edges, fill=True, **START)
            axis.stairs(data["target"].values, edges, **DASHED)
            policies.append(axis.stairs(data["start"].values, edges, color=OBJECTIVE_STYLES[name].color, linewidth=1.8))
            axis.set(title=objective_label(name), xlabel="category", xlim=(edges[0], edges[-1]))
        top = 1.1 * max(float(data["start"].max()), float(np.exp(data["log_prob"].sel(objective=names)).max()))
        axes[0, 0].set(ylim=(0, top), ylabel="probability")
        title = figure.suptitle("step 0", fontsize=10)
        writer = PillowWriter(fps=8)
        with replacing(path) as temporary, writer.saving(figure, str(temporary), dpi=90):
            for step in progress(steps):
                for name, patch in zip(names, policies, strict=True):
                    patch.set_data(np.exp(data["log_prob"].sel(objective=name).values[step]))
                title.set_text(f"step {step}")
                writer.grab_frame()
    return path
