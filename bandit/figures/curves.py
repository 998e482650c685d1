"""Reward against gradient steps, and reward against KL: what the paper's bandit figures draw."""

import numpy as np
import xarray
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from modeseek.bandit.figures.frontier import draw_frontier, responses_of
from modeseek.bandit.figures.methods import method_line, styles_of
from modeseek.bandit.figures.style import LineStyle, label_lines, new_figure, style
from modeseek.bandit.objectives.registry import variant
from modeseek.bandit.simulator.results import experiment_of
from modeseek.bandit.simulator.summary import over_seeds


def _plot(axes: Axes, x: np.ndarray, y: np.ndarray, name: str, line: LineStyle) -> None:
    axes.plot(x, y, **method_line(name, line))


def reward_figure(dataset: xarray.Dataset) -> Figure:
    """A column per reward: expected reward, mean and standard error over seeds, against gradient steps (above) and
    against KL(policy ‖ reference) (below), there beside the most that KL allows."""
    experiment = experiment_of(dataset)
    names = [str(name) for name in dataset["algorithm"].values]
    rewards = [str(r) for r in dataset["reward"].values]
    styles = styles_of(names)
    seeds = dataset.sizes["seed"]
    with style():
        figure, axes = new_figure(2, len(rewards), panel=(4.4, 2.9), sharey=True)
        for column, reward in enumerate(rewards):
            above, below = axes[:, column]
            for name in names:
                cell = dataset.sel(algorithm=name, reward=reward)
                mean, error = over_seeds(cell["expected_reward"])
                kl, _ = over_seeds(cell["kl_to_reference"])
                steps = dataset["step"].values
                _plot(above, steps, mean.values, name, styles[name])
                if seeds > 1:
                    low, high = (mean - error).values, (mean + error).values
                    above.fill_between(steps, low, high, color=styles[name].color, alpha=0.2, linewidth=0)
                _plot(below, kl.values, mean.values, name, styles[name])
            where = "far from" if np.argmax(dataset["token_rewards"].sel(reward=reward).values) > 40 else "near"
            known = reward in ("R1", "R2")
            above.set(title=f"{reward}" + (f" (peak {where} the reference)" if known else ""), xlabel="gradient step")
            below.set(xlabel="KL(policy ‖ reference), nats per response")
            above.set_ylim(0, 1.03)
            responses = responses_of(experiment, reward)
            if responses is not None:
                draw_frontier(below, responses, over_seeds(dataset["kl_to_reference"].sel(reward=reward))[0].values)
        for row in axes:
            row[0].set_ylabel("expected reward")
        handles, labels = axes[1, 0].get_legend_handles_labels()
        across = min(2 * len(rewards), 4, len(labels))  # what is as wide as the panels
        spacing = 0.8 if len(rewards) == 1 else 2.0
        look = {"handlelength": 3.2, "columnspacing": spacing, "frameon": False}
        figure.legend(handles, labels, loc="outside lower center", ncols=across, **look)
        note = f"mean ± standard error, {seeds} seeds" if seeds > 1 else "one seed"
        if lost := int(dataset["expected_reward"].isel(step=-1).isnull().sum()):
            note += f"; {lost} diverged or unfinished run(s) left out from where they end"
        between = "\n" if len(rewards) == 1 else " "
        figure.suptitle(f"Preference fine-tuning on the bandit{between}({note})", fontsize=10)
    return figure


def learning_rate_figure(dataset: xarray.Dataset, finals: xarray.Dataset) -> Figure:
    """A panel per reward: final expected reward, mean and standard error over seeds, against the learning rate."""
    names = [str(name) for name in dataset["algorithm"].values]
    rewards = [str(r) for r in dataset["reward"].values]
    styles = styles_of(names)
    rates = dataset["learning_rate"].values
    with style():
        figure, axes = new_figure(1, len(rewards), panel=(4.4, 3.0), sharey=True)
        for panel, reward in zip(axes[0], rewards, strict=True):
            for name in names:
                mean, error = over_seeds(finals["expected_reward"].sel(algorithm=name, reward=reward))
                line = styles[name].line()
                panel.errorbar(rates, mean, error.fillna(0), label=variant(name).title, capsize=2, **line)
            panel.set(xscale="log", xlabel="learning rate", title=reward)
            panel.set_ylim(0, 1.03)
        axes[0, 0].set_ylabel("expected reward at the end")
        label_lines(axes[0, -1], fontsize=7.5)
    return figure
