"""Figure 2 of the paper: the reference policy and the rewards."""

import numpy as np
import xarray
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from modeseek.bandit.figures.style import BLUE, REFERENCE_BARS, VERMILLION, label_lines, new_figure, style

_REWARD_LINES = ((BLUE, "-"), (VERMILLION, "--"), ("#009E73", (0, (7, 2))), ("#E69F00", (0, (1.2, 1.4))))


def draw_reference(axes: Axes, probs: np.ndarray, label: str = "reference") -> None:
    """The reference as grey hatched steps."""
    axes.stairs(probs, np.arange(len(probs) + 1) - 0.5, fill=True, label=label, **REFERENCE_BARS)


def root_axis(axes: Axes, top: float = 1.05) -> None:
    """A vertical axis of probabilities on which small ones are seen beside a peak: their roots."""
    axes.set_yscale("function", functions=(lambda v: np.sqrt(np.maximum(v, 0)), np.square))
    axes.set(ylim=(0, top), yticks=[0.01, 0.1, 0.3, 1.0])


def problem_figure(dataset: xarray.Dataset) -> Figure:
    """Left: the reference over tokens, on a logarithmic axis. Right: the reward of a token, for each reward."""
    probs = dataset["reference_probs"].values
    tokens = np.arange(len(probs))
    with style():
        figure, axes = new_figure(1, 2, panel=(4.2, 2.6))
        left, right = axes[0]
        draw_reference(left, probs)
        left.set(yscale="log", xlabel="token", ylabel="probability", title="Reference policy, one token")
        for (color, dash), name in zip(_REWARD_LINES * 9, dataset["reward"].values, strict=False):
            rewards = dataset["token_rewards"].sel(reward=name).values
            mean = float(probs @ rewards)
            right.plot(tokens, rewards, color=color, linestyle=dash, label=f"{name}: the reference earns {mean:.2f}")
        right.set(xlabel="token", ylabel="reward", title="Reward of a token")
        right.set_ylim(0, 1.45)
        label_lines(right, loc="upper left", fontsize=8)
    return figure
