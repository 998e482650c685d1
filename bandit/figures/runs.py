"""Runs whose reward is of any kind, a language model's among them: reward against steps, and against KL."""

import numpy as np
import xarray
from matplotlib.figure import Figure

from modeseek.bandit.figures.methods import styles_of
from modeseek.bandit.figures.panels import Curve, Panel, panels_figure
from modeseek.bandit.objectives.registry import variant


def runs_figure(dataset: xarray.Dataset) -> Figure:
    """Expected reward, mean and standard error over seeds, a line per method.

    Args:
        dataset: `[seed, step]`, with the method as its coordinate `algorithm`, or as a dimension of that name.
    """
    runs = dataset if "algorithm" in dataset.dims else dataset.expand_dims("algorithm")
    names = [str(name) for name in runs["algorithm"].values]
    styles = styles_of(names)
    curves = [
        Curve(variant(name).title, runs.sel(algorithm=name), styles[name], not variant(name).on_policy)
        for name in names
    ]
    panels = [Panel("", curves, x=x, reward_axis=False) for x in ("step", "kl_to_reference")]
    rewards, seeds = ", ".join(map(str, np.unique(runs["reward"].values))), runs.sizes["seed"]
    note = f"mean ± standard error, {seeds} seeds" if seeds > 1 else "one seed"
    return panels_figure(f"{rewards} ({note})", [panels])
