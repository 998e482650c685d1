"""Where the probability mass went: the policy's token distribution beside the reference and the reward."""

import numpy as np
import xarray
from matplotlib.figure import Figure

from modeseek.bandit.figures.problem import draw_reference, root_axis
from modeseek.bandit.figures.style import BLACK, method_style, new_figure, style
from modeseek.bandit.objectives.registry import variant


def token_figure(dataset: xarray.Dataset) -> Figure:
    """A row per method, a column per reward: the last token distribution, averaged over positions and seeds.

    Square-root axis: the reference's small masses and the policy's peak are both to be seen.
    """
    names = [str(name) for name in dataset["algorithm"].values]
    rewards = [str(r) for r in dataset["reward"].values]
    final = dataset["token_distribution"].isel(snapshot=-1).mean("position").mean("seed")
    reference = dataset["reference_probs"].values
    edges = np.arange(len(reference) + 1) - 0.5
    with style():
        figure, axes = new_figure(len(names), len(rewards), panel=(4.4, 1.25), sharex=True, sharey=True)
        for row, name in enumerate(names):
            for column, reward in enumerate(rewards):
                panel = axes[row, column]
                draw_reference(panel, reference)
                values = final.sel(algorithm=name, reward=reward).values
                color = method_style(variant(name).method.name).color
                panel.stairs(values, edges, color=color, linewidth=1.8, label="policy after training")
                peak = dataset["token_rewards"].sel(reward=reward).values
                panel.plot(peak * 1.0, color=BLACK, linestyle=":", linewidth=1.1, label="reward of the token")
                root_axis(panel)
                panel.set_title(f"{variant(name).title}, {reward}", fontsize=8.5, loc="left", pad=3)
        for panel in axes[-1]:
            panel.set_xlabel("token")
        axes[len(names) // 2, 0].set_ylabel("probability of a token (square-root axis)", fontsize=8)
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, handlelength=3)
    return figure
