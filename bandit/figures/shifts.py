"""Where a policy's mass moves in training: token distributions at several gradient steps, as figure 1 sketches."""

import numpy as np
import xarray
from matplotlib.figure import Figure

from modeseek.bandit.figures.problem import draw_reference, root_axis
from modeseek.bandit.figures.style import BLACK, ladder, new_figure, style
from modeseek.bandit.objectives.registry import variant


def shift_figure(dataset: xarray.Dataset) -> Figure:
    """A row per method, a column per reward: the reference, the reward of a token, and the policy step by step.

    Args:
        dataset: as `studies.reproduce.figure1.shown` gives it.
    """
    names = [str(name) for name in dataset["algorithm"].values]
    rewards = [str(r) for r in dataset["reward"].values]
    steps = [int(step) for step in dataset["step"].values if step > 0]
    edges = np.arange(dataset.sizes["token"] + 1) - 0.5
    with style():
        figure, axes = new_figure(len(names), len(rewards), panel=(4.4, 1.35), sharex=True, sharey=True)
        for row, name in enumerate(names):
            for column, reward in enumerate(rewards):
                panel, here = axes[row, column], dataset.sel(algorithm=name, reward=reward)
                draw_reference(panel, dataset["reference_probs"].values, "reference π_ref")
                panel.plot(
                    here["token_rewards"], color=BLACK, linestyle=":", linewidth=1.1, label="reward r* of a token"
                )
                for step, line in zip(steps, ladder(len(steps)), strict=True):
                    panel.stairs(
                        here["tokens"].sel(step=step),
                        edges,
                        color=line.color,
                        linestyle=line.dash,
                        linewidth=1.5,
                        label=f"policy, {step} gradient steps",
                    )
                root_axis(panel)
                end = here.isel(step=-1).mean("seed")
                earned, nats = float(end["expected_reward"]), float(end["kl_to_reference"])
                title = f"{variant(name).title}, {reward}: earns {earned:.2f} at {nats:.1f} nats"
                panel.set_title(title, fontsize=8.5, loc="left", pad=3)
        for panel in axes[-1]:
            panel.set_xlabel("token")
        axes[len(names) // 2, 0].set_ylabel("probability of a token (square-root axis)", fontsize=8)
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, handlelength=3)
    return figure
